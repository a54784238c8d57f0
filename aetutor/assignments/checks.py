"""What the tests of the assignments are written with.

A test compares in the grader's process; the student's functions may run in another one, so all that goes in
and out is plain data: numbers, text, arrays, lists and dicts of these, and functions given as source code.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SEED = "AETUTOR_SEED"


def array(got: Any, what: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Give a student's answer as an array of real numbers, from NumPy, torch or lists.

    Parameters
    ----------
    got
        The answer.
    what
        What was asked for, as it reads in the message: ``"gram(B)"``.
    shape
        The shape it must have, if one is given.

    Raises
    ------
    AssertionError
        With what was expected and what came.
    """
    if got is None or got is ...:
        raise AssertionError(f"{what}: there is no answer yet (it gives {got!r})")
    if hasattr(got, "detach"):
        got = got.detach().cpu().numpy()
    try:
        values = np.asarray(got)
        values = values.astype(float if values.dtype.kind in "biuf" else values.dtype)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{what}: expected numbers, got {type(got).__name__}: {error}") from None
    if values.dtype.kind != "f":
        raise AssertionError(f"{what}: expected real numbers, got {type(got).__name__} ({values.dtype})")
    if shape is not None and values.shape != shape:
        raise AssertionError(f"{what}: expected shape {shape}, got {values.shape}")
    if not np.isfinite(values).all():
        raise AssertionError(f"{what}: not all numbers are finite: {_show(values)}")
    return values


def close(got: Any, expected: Any, what: str, rtol: float = 1e-6, atol: float = 1e-8) -> None:
    """Check that an answer has the expected shape and numbers.

    Parameters
    ----------
    got, expected
        The answer, and numbers with the shape it must have. A number may come as an array of one element.
    what
        What was asked for, as it reads in the message.
    rtol, atol
        Accepted deviation of each element: ``atol + rtol * abs(expected)``.

    Raises
    ------
    AssertionError
        With what was expected, what came, and the largest deviation.
    """
    expected = np.asarray(expected, float)
    values = array(got, what)
    if expected.ndim == 0 and values.size == 1:
        values = values.reshape(())
    if values.shape != expected.shape:
        raise AssertionError(f"{what}: expected shape {expected.shape}, got {values.shape}")
    off = np.abs(values - expected)
    if (off > atol + rtol * np.abs(expected)).any():
        message = f"{what}: expected {_show(expected)}, got {_show(values)}"
        raise AssertionError(message + (f"; largest deviation {off.max():.3g}" if off.size > 1 else ""))


def holds(condition: Any, message: str) -> None:
    """Check a condition; the message says what was expected and what came."""
    if not bool(condition):
        raise AssertionError(message)


class Function:
    """A function given by its source, so that it can be handed to a student's function in any process.

    Parameters
    ----------
    source
        An expression in ``np`` (NumPy) whose value is a function: ``"lambda x: np.tanh(3 * x)"``.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._call = eval(source, {"np": np})

    def __call__(self, *arguments: Any) -> Any:
        """Give the function's value."""
        return self._call(*arguments)

    def __repr__(self) -> str:
        return self.source


function = Function


@dataclass
class test_case:
    """Marks a function of a test file as a test, as Otter's decorator of this name does."""

    points: float
    hidden: bool = False
    success_message: str | None = None
    failure_message: str | None = None

    def __call__(self, test: Callable[..., None]) -> test_case:
        """Take the function."""
        self.test = test
        return self


@dataclass(frozen=True)
class Outcome:
    """How one test ended."""

    passed: bool
    message: str
    """What was expected and what came; empty if it passed."""
    advice: str
    """Where to read on."""


def run(source: str, names: Mapping[str, Any]) -> list[Outcome]:
    """Run the tests of a test file.

    Parameters
    ----------
    source
        The file's text.
    names
        What the notebook has defined.
    """
    file: dict[str, Any] = {}
    exec(source, file)
    outcomes = []
    for case in file.values():
        if not isinstance(case, test_case):
            continue
        arguments = {name: names.get(name) for name in inspect.signature(case.test).parameters}
        missing = [name for name, value in arguments.items() if value is None]
        message = f"there is no {', '.join(missing)} yet: run the cell that defines it" if missing else ""
        try:
            if not missing:
                case.test(**arguments)
        except AssertionError as error:
            message = str(error)
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
        outcomes.append(Outcome(not message, message, case.failure_message or ""))
    return outcomes


def rng() -> np.random.Generator:
    """Randomness for a hidden test: fresh at every grading, or that of the seed in ``AETUTOR_SEED``.

    The seed is mixed with the name of the calling test, so that tests draw independently and a test draws
    the same whatever ran before it.
    """
    seed = os.environ.get(SEED)
    if seed is None:
        return np.random.default_rng()
    name = sys._getframe(1).f_code.co_name
    return np.random.default_rng(list(hashlib.sha256(f"{seed} {name}".encode()).digest()))


def _show(values: np.ndarray) -> str:
    if values.ndim == 0:
        return f"{values:.6g}"
    return np.array2string(values, precision=4, threshold=12, edgeitems=3).replace("\n", "")
