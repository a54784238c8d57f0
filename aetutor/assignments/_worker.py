"""Runs a submission inside the sandbox: executes its cells, then calls its functions as the grader asks.

All that a submission can reach in this process is its own: the tests, the expected answers and the scores are
in the grader's. So a submission that takes this process over can give wrong answers, and no more.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """End this process when its parent ends, whatever it is doing then; where the system can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def main() -> None:
    """Serve the grader at the other end of standard input and output."""
    limits = json.loads(sys.argv[1])
    _confine(limits)
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # what a submission prints is no answer
        os.dup2(nothing, stream)

    from aetutor import __version__
    from aetutor.assignments import _wire

    def read(size: int) -> bytes:
        parts = []
        while size:
            part = os.read(requests, min(size, 2**20))
            if not part:
                os._exit(0)  # the grader is gone
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def reply(message: dict[str, Any]) -> None:
        try:
            packed = _wire.pack(message)
        except _wire.NotPlainDataError as error:
            packed = _wire.pack({"error": f"gives {error}; expected numbers, text, arrays or lists of them"})
        except MemoryError:
            packed = _wire.pack({"error": "MemoryError: the answer does not fit in the memory allowed"})
        while packed:
            packed = packed[os.write(replies, packed) :]

    reply({"ready": __version__})
    names, errors = _execute(_wire.unpack(read), limits["cell"])
    reply({"names": sorted(name for name in names if isinstance(name, str)), "errors": errors})
    while True:
        request = _wire.unpack(read)
        reply(_answer(names, request, limits["call"]))


def _confine(limits: dict[str, Any]) -> None:
    """Set hard limits, before anything of the submission runs."""
    die_with_parent()
    wanted = {
        resource.RLIMIT_CPU: int(limits["seconds"]) + 5,
        resource.RLIMIT_AS: int(limits["memory"]),
        resource.RLIMIT_FSIZE: 64 * 2**20,
        resource.RLIMIT_NOFILE: 256,
        resource.RLIMIT_NPROC: 256,
        resource.RLIMIT_CORE: 0,
    }
    for what, most in wanted.items():
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(OSError, ValueError):  # macOS refuses some
            resource.setrlimit(what, (most, most))


@contextlib.contextmanager
def _at_most(seconds: float, what: str) -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise TimeoutError(f"{what} took more than {seconds:g} s")

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)  # and again: code that catches everything
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _execute(cells: list[str], seconds: float) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run the cells like a notebook: one that fails does not stop the next."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell.instance(config=config)
    for show in ("showtraceback", "showsyntaxerror"):  # no one reads them
        setattr(shell, show, lambda *_, **__: None)
    errors = []
    for number, source in enumerate(cells, 1):
        error = _guarded(functools.partial(_run_cell, shell, source), seconds, "the cell")[1]
        if error:
            errors.append({"cell": number, "begins": source.strip().splitlines()[0][:80], "error": error})
    return shell.user_ns, errors


def _run_cell(shell: Any, source: str) -> None:
    result = shell.run_cell(source, silent=True)
    error = result.error_before_exec or result.error_in_exec
    if error is not None:
        raise error


def _answer(names: dict[str, Any], request: dict[str, Any], seconds: float) -> dict[str, Any]:
    if "get" in request:
        value, error = names.get(request["get"]), ""
        if callable(value):
            return {"callable": True}
    else:
        function = names.get(request["call"])
        value, error = _guarded(
            lambda: function(*request["arguments"], **request["keywords"]),  # type: ignore[misc]
            seconds,
            f"{request['call']}(…)",
        )
    return {"error": error} if error else {"value": value}


def _guarded(action: Callable[[], Any], seconds: float, what: str) -> tuple[Any, str]:
    """Do something of the submission's; give its value and what went wrong."""
    try:
        with _at_most(seconds, what):
            return action(), ""
    except BaseException as error:
        message = f"{type(error).__name__}: {str(error)[:500]}"
        error.__traceback__ = None
    for name in ("last_traceback", "last_value", "last_exc"):  # they keep what the frames hold
        if hasattr(sys, name):
            delattr(sys, name)
    gc.collect()
    return None, message


if __name__ == "__main__":
    main()
