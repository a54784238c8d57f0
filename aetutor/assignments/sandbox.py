"""A submission runs in a process of its own, apart from the tests, as confined as the system allows.

The grader sends arguments and gets answers as plain data (:mod:`._wire`); it compares them itself. A
submission sees neither tests nor scores, so patching NumPy, printing a score or changing files gains nothing.
What the process may do to the machine depends on the isolation, see :data:`ISOLATION`.
"""

from __future__ import annotations

import functools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aetutor import __version__
from aetutor.assignments import GRADING, _wire

ISOLATION = {
    "docker": "a container of the image aetutor-grading: no network, nothing writable but its own /tmp",
    "bubblewrap": "namespaces of its own: no network, no other processes, nothing writable but its own /tmp",
    "user": "another, unprivileged user (the grader must be root), without network where the system allows",
    "none": "limits on time, memory and files only; for submissions that you trust",
}
"""Ways to confine a submission. All of them limit time, memory, processes and the size of files."""

IMAGE = "aetutor-grading"


class Absent:
    """Stands for what a submission lacks, and says so whatever a test does with it."""

    def __init__(self, message: str) -> None:
        self._message = message

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Say so."""
        raise SubmissionError(self._message)

    def __array__(self, *_: Any, **__: Any) -> Any:
        """Say so."""
        raise SubmissionError(self._message)


class SandboxError(Exception):
    """The submission's process ended, ran out of its time, or sent what is no answer."""


class SubmissionError(Exception):
    """A function of the submission raised an error; the message says which."""


@dataclass(frozen=True)
class Limits:
    """Most that a submission may use."""

    seconds: float = 120
    """In all, while the grader waits for it."""
    memory: float = 4
    """GiB of address space; of resident memory in a container."""
    cell: float = 60
    """Seconds for one cell; a longer one is stopped and the next begins."""
    call: float = 20
    """Seconds for one call of a function."""

    def __post_init__(self) -> None:
        for name in ("seconds", "memory", "cell", "call"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}")

    def message(self) -> str:
        """What the worker is told."""
        return json.dumps(vars(self) | {"memory": int(self.memory * 2**30)})


class Sandbox:
    """A submission that has been run and can be asked.

    Parameters
    ----------
    cells
        Sources of the submission's code cells.
    limits
        Most that it may use.
    isolation
        A key of :data:`ISOLATION`; the best that there is if none is given.

    Attributes
    ----------
    names
        Names that the submission has defined.
    errors
        Cells that failed.
    failure
        Why the sandbox is no longer of use; empty while it is.

    Raises
    ------
    SandboxError
        If the submission's process ended or ran out of its time before all cells were run.
    RuntimeError
        If the machine cannot isolate in this way.
    """

    def __init__(
        self, cells: Sequence[str], limits: Limits | None = None, isolation: str | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.isolation = isolation or best()
        if self.isolation not in ISOLATION:
            raise ValueError(f"isolation must be one of {', '.join(ISOLATION)}; got {self.isolation!r}")
        self._left = self.limits.seconds
        self.failure = ""
        self._folder = tempfile.TemporaryDirectory(prefix="aetutor-", ignore_cleanup_errors=True)
        self._start()
        try:
            self._receive(what="starting Python", patience=60)  # the machine's time, not the submission's
            self._send(list(cells))
            told = self._receive(what="its cells")
            try:
                self.names = frozenset(map(str, told["names"]))
                self.errors = [
                    f"cell {int(e['cell'])} ({e['begins']!s:.80}): {e['error']!s:.600}"
                    for e in told["errors"]
                ]
            except (KeyError, TypeError, ValueError):
                self._fail("sent what is no answer")
        except BaseException:
            self.close()
            raise

    def call(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        """Call a function of the submission.

        Raises
        ------
        SubmissionError
            If it raised an error, took too long, or gave something that is not plain data.
        SandboxError
            If the process has ended or runs out of its time.
        """
        self._send({"call": name, "arguments": arguments, "keywords": keywords})
        return self._value(name, f"{name}(…)")

    def environment(self, wanted: Iterable[str]) -> dict[str, Any]:
        """Give the submission's values by name, and its functions as functions that ask the sandbox."""
        found: dict[str, Any] = {}
        for name in wanted:
            found[name] = Absent(f"{name} is not defined: has its cell failed?")
            if name in self.names:
                self._send({"get": name})
                try:
                    found[name] = self._value(name, name)
                except SubmissionError as error:
                    found[name] = Absent(str(error))
        return found

    def close(self) -> None:
        """End the process and all that it started."""
        if self._process.poll() is None or self.isolation != "bubblewrap":
            self._kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        self._folder.cleanup()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    # The process

    def _start(self) -> None:
        self._user = user = _user(self.isolation)
        home = Path(self._folder.name)
        if user is not None:
            os.chown(home, user, user)
        self._container = f"aetutor-{os.getpid()}-{time.monotonic_ns()}"
        command, options = _command(self.isolation, home, user, self.limits, self._container)
        self._process = subprocess.Popen(
            [*command, self.limits.message()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
            **options,
        )

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if self.isolation == "docker":
            subprocess.run(["docker", "kill", self._container], capture_output=True, check=False)
        elif self.isolation == "user" and not _namespaces_allowed():
            # A process that left the group is still the user's; this kills all that are.
            subprocess.run(
                [sys.executable, "-c", "import os; os.kill(-1, 9)"],
                user=self._user,
                group=self._user,
                extra_groups=[],
                capture_output=True,
                check=False,
            )

    # The conversation

    def _send(self, message: Any) -> None:
        if self.failure:
            raise SandboxError(self.failure)
        packed = memoryview(_wire.pack(message))
        pipe = self._process.stdin.fileno()  # type: ignore[union-attr]
        os.set_blocking(pipe, False)
        try:
            while packed:
                self._wait([], [pipe], "reading what it was sent")
                packed = packed[os.write(pipe, packed) :]
        except OSError:
            self._ended()

    def _receive(self, what: str, patience: float = 0.0) -> Any:
        pipe = self._process.stdout.fileno()  # type: ignore[union-attr]
        self._left += patience
        before = self._left

        def read(size: int) -> bytes:
            parts = bytearray()
            while len(parts) < size:
                self._wait([pipe], [], what)
                part = os.read(pipe, min(size - len(parts), 2**20))
                if not part:
                    self._ended()
                parts += part
            return bytes(parts)

        try:
            message = _wire.unpack(read)
        except ValueError:
            self._fail("sent what is no answer")
        if patience:
            self._left = before - patience
            if message.get("ready") != __version__:
                self._fail(f"has another version of aetutor ({message.get('ready')}, not {__version__})")
        return message

    def _wait(self, readable: list[int], writable: list[int], what: str) -> None:
        began = time.monotonic()
        ready = select.select(readable, writable, [], max(0.0, self._left))
        self._left -= time.monotonic() - began
        if not (ready[0] or ready[1]):
            self._fail(f"ran out of its {self.limits.seconds:g} s in {what}")

    def _value(self, name: str, what: str) -> Any:
        answer = self._receive(what)
        if not isinstance(answer, dict):
            self._fail("sent what is no answer")
        if "error" in answer:
            raise SubmissionError(f"{name}: {answer['error']!s:.600}")
        if answer.get("callable") is True:
            return functools.partial(self.call, name)
        if "value" not in answer:
            self._fail("sent what is no answer")
        return answer["value"]

    def _ended(self) -> None:
        self._fail("ended its own process, or was ended for using too much")

    def _fail(self, how: str) -> None:
        self.failure = f"the submission {how}"
        self._kill()
        raise SandboxError(self.failure)


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _succeeds(*command: str, **options: Any) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=30, check=False, **options)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def available() -> list[str]:
    """Isolation that this machine can give, the best first; ``"none"`` is always last."""
    able = {
        "docker": lambda: _succeeds("docker", "image", "inspect", IMAGE),
        "bubblewrap": lambda: _works("bubblewrap"),
        "user": lambda: _works("user"),
        "none": lambda: True,
    }
    return [name for name in ISOLATION if able[name]()]


def best() -> str:
    """The best isolation that this machine can give.

    Raises
    ------
    RuntimeError
        If there is none but ``"none"``, which must be asked for.
    """
    found = available()[0]
    if found == "none":
        raise RuntimeError(
            "this machine has no way to isolate submissions: install bubblewrap (Linux), or Docker and "
            f"build the image {IMAGE}, or ask for isolation 'none' if you trust all submissions"
        )
    return found


def readable(paths: Iterable[Path], isolation: str) -> list[Path]:
    """Those of these paths that a submission could read; they are asked about only where it sees the disk."""
    if isolation != "user":
        return []
    user = _user(isolation)
    who: dict[str, Any] = {"user": user, "group": user, "extra_groups": []}
    return [path for path in paths if _succeeds("test", "-r", str(path.resolve()), **who)]


@functools.cache
def _works(isolation: str) -> bool:
    """Try: whether Python starts when it is confined so."""
    if sys.platform != "linux" or (isolation == "user" and not _is_root()):
        return False
    user = _user(isolation)
    if isolation == "user" and not _succeeds(sys.executable, "-c", "0", user=user, group=user):
        return False  # Python lies where only root can reach it
    command, options = _command(isolation, Path(tempfile.gettempdir()), user, Limits(), "")
    return _succeeds(*command[:-2], "-c", "import IPython, numpy, aetutor", **options)


@functools.cache
def _namespaces_allowed() -> bool:
    """Whether root may make namespaces here; in most containers it may not."""
    return shutil.which("setpriv") is not None and _succeeds(*_unshare(), "true")


def _unshare() -> list[str]:
    return [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "unshare",
        "--net",
        "--ipc",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]


def _user(isolation: str) -> int | None:
    """An unprivileged user of this process's own, where root can become one."""
    return os.getpid() % 4000 + 61184 if _is_root() and isolation in ("bubblewrap", "user") else None


def _command(
    isolation: str, home: Path, user: int | None, limits: Limits, container: str
) -> tuple[list[str], dict[str, Any]]:
    """The command that starts a worker, less its argument, and options for Popen."""
    worker = ["-I", "-m", "aetutor.assignments._worker"]
    become = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups", "--no-new-privs"]
    if isolation == "docker":
        memory = f"{limits.memory:g}g"
        command = [
            *("docker", "run", "--rm", "--interactive", "--name", container, "--network", "none"),
            *("--read-only", "--tmpfs", "/tmp:size=256m", "--workdir", "/tmp", "--user", "65534:65534"),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "256"),
            *("--memory", memory, "--memory-swap", memory, "--cpus", "1"),
            *(part for name, value in _environment("/tmp").items() for part in ("--env", f"{name}={value}")),
            *(IMAGE, "python", *worker),
        ]
        return command, {}
    if isolation == "bubblewrap":
        inner = [] if user is None else become
        return [*_bubblewrap(user is not None), *inner, sys.executable, *worker], {
            "env": _environment("/tmp")
        }
    options: dict[str, Any] = {"env": _environment(str(home)), "cwd": home}
    if isolation == "user":
        if user is None:
            raise RuntimeError("isolation 'user' needs root, which alone may start programs as another user")
        if _namespaces_allowed():
            return [*_unshare(), *become, sys.executable, *worker], options
        options |= {"user": user, "group": user, "extra_groups": []}
    return [sys.executable, *worker], options


def _bubblewrap(root: bool) -> list[str]:
    """Namespaces in which only the system's programs, Python and the package are to be seen."""
    read = {
        *("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/ld.so.conf"),
        *("/etc/alternatives", "/etc/fonts", "/etc/localtime", "/etc/ssl"),
        *(sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parents[1])),
        *(sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")),
        # Not all of sys.path: it may hold the repository, with tests and solutions.
        *(path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")),
        str(Path(__file__).resolve().parents[1]),
    }
    above = {str(parent) for path in read for parent in Path(path).parents} - {"/"} - read
    outer = [path for path in sorted(above) if not any(path.startswith(f"{other}/") for other in read)]
    spaces = ("user", "ipc", "pid", "net", "uts")
    return [
        *("bwrap", "--die-with-parent", "--new-session", "--unshare-cgroup-try"),
        # Root needs no namespace of users, and becomes another user inside.
        *(f"--unshare-{space}" for space in spaces if not (root and space == "user")),
        *(part for cap in ("SETUID", "SETGID") if root for part in ("--cap-add", f"CAP_{cap}")),
        *("--proc", "/proc", "--dev", "/dev"),
        *("--perms", "1777", "--size", str(256 * 2**20), "--tmpfs", "/tmp"),
        *(part for path in outer if path != "/tmp" for part in ("--perms", "0755", "--dir", path)),
        *(part for path in sorted(read) for part in ("--ro-bind-try", path, path)),
        *("--remount-ro", "/", "--chdir", "/tmp"),
    ]


def _environment(home: str) -> dict[str, str]:
    """Variables of the worker: none of the grader's but those that BLAS needs on this processor."""
    blas = {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}
    return blas | {
        "PATH": os.defpath,
        "HOME": home,
        "TMPDIR": home,
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        GRADING: "1",
    }
