"""Grids of experiments: each point computed once, kept on disk as soon as it is there, labelled in the end.

A store is a folder with a journal, ``points.jsonl``, that one driver appends a line to for each finished
point; workers write nothing, so that a cluster needs no shared disk. ``result.nc`` is the whole grid.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import math
import os
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import aetutor
from aetutor import _checks, _files, _progress

if TYPE_CHECKING:
    import xarray

__all__ = ["load", "run"]

_MAGIC = b'{"aetutor.sweep": 1, '


def run(
    function: Callable[..., Any],
    axes: Mapping[str, Sequence[Any]],
    store: str | os.PathLike[str],
    *,
    constants: Mapping[str, Any] | None = None,
    batch: str | None = None,
    retries: int = 3,
    progress: bool = True,
) -> xarray.Dataset:
    """Compute a function on a grid, in parallel, and keep every point.

    Each finished point is flushed to the disk at once. The same call, made again after whatever stopped
    it, computes what is missing and nothing else; so does one with a grid that has grown.

    joblib runs it, on all cores unless one says otherwise: ``with joblib.parallel_config(n_jobs=4)``, or
    ``backend="dask"`` or Ray's for a cluster, once its workers are there: how many points are under way
    follows from their number at the start. The numbers depend on neither the backend nor the order in
    which points end, as long as `function` itself gives the same on any number of threads.

    Parameters
    ----------
    function : callable
        Called by keyword with a value for each axis, and the constants. It has a name by which the store
        knows it again. It returns a real number, which is named "value", or a mapping of names to real
        numbers or arrays, of the same names and shapes at every point. They are kept as float64.
    axes : mapping of str to sequence
        Distinct numbers, strings or bools for each axis; NumPy's become Python's.
    store : path
        Folder, made if it is not there.
    constants : mapping of str to value, optional
        Passed to every call, and a part of what a point is; anything JSON can write, or an array.
    batch : str, optional
        An axis of which one call gets all missing values, as a list, where points agree in all else. What
        it returns has them as first dimension. Points are then equal to those of single calls up to the
        rounding of the function's own arithmetic.
    retries : int
        How often in a row to start again after workers died before any point was finished.
    progress : bool
        Show a progress bar with the time left.

    Returns
    -------
    Dataset
        A variable for each name, with the axes as dimensions and then those of its array,
        ``name_0``, ``name_1`` and so on. The same is in ``result.nc``.

    Raises
    ------
    TypeError, ValueError
        For arguments outside these ranges; for a store that is damaged, foreign or of another function,
        which is left as it is.
    RuntimeError
        If `function` failed at some points, after all others were computed, or workers kept dying, or
        another run is using the store. A later run tries again what is missing.
    OSError
        If the store cannot be written; what was finished before is kept.
    ImportError
        If joblib or xarray is not installed.

    Notes
    -----
    Where the system has no ``flock`` a second run on the same store is not noticed: do not start one.
    """
    grid = _grid(axes, constants)
    if batch is not None and batch not in grid.axes:
        raise ValueError(f"batch must be one of the axes {', '.join(map(repr, grid.axes))}, got {batch!r}")
    retries = _checks.count(retries, "retries", minimum=0)
    for name in ("xarray", "joblib"):
        _package(name)
    with _Journal(_folder(store), _name(function), grid) as journal:
        points, failed = journal.points, dict[str, str]()
        shapes = _shapes(grid, points)
        keys = list(grid.keys())
        with _progress.bar(len(keys), "point", progress, sum(k in points for k in keys)) as bar:
            computed = _computed(function, _tasks(grid, batch, points), retries)
            with contextlib.closing(computed):
                for task, results, error in computed:
                    finished = {}
                    for key, values in zip(task.points, results, strict=True):
                        shapes = shapes or _shape(values)
                        reason = error or _misfit(values, shapes, grid)
                        if reason:
                            failed[key] = reason
                        else:
                            finished[key] = values
                    journal.append({"point": task.points[k], "values": v} for k, v in finished.items())
                    points.update(finished)
                    bar.update(len(task.points))
        if failed:
            first = [key for key in keys if key in failed]
            raise RuntimeError(
                f"function failed at {len(first)} of {len(keys)} points; the others are kept, and the next "
                f"run tries these again: {'; '.join(first[:3])}{'; …' if first[3:] else ''}. "
                f"The first failed with\n{failed[first[0]]}"
            )
        dataset = _dataset(grid, points, journal.function)
        path = journal.path.with_name("result.nc")
        with _writing(path):
            _files.replace(path, _narrow(dataset).to_netcdf(engine="scipy"))
    return dataset


def load(store: str | os.PathLike[str]) -> xarray.Dataset:
    """What a store holds of the grid of its last run, at any time: during a run, or after a kill.

    Parameters
    ----------
    store : path

    Returns
    -------
    Dataset
        As :func:`run` returns it, NaN where a point is missing.

    Raises
    ------
    ValueError
        If there is no store, or it cannot be read.
    ImportError
        If xarray is not installed.
    """
    path = _folder(store) / "points.jsonl"
    if not path.is_file():
        raise ValueError(f"store must be a folder that aetutor.sweep has written, got {str(store)!r}")
    content = _read(path, path.read_bytes())
    if content.grid is None:
        raise ValueError(f"store {str(store)!r} holds nothing yet: its first run was stopped at once")
    return _dataset(content.grid, content.points, content.function)


# The grid


@dataclass(frozen=True)
class _Grid:
    axes: dict[str, list[Any]]
    constants: dict[str, Any]  # as JSON gives them back
    given: dict[str, Any]  # as they came

    def points(self) -> Iterator[dict[str, Any]]:
        for values in itertools.product(*self.axes.values()):
            yield dict(zip(self.axes, values, strict=True))

    def keys(self) -> Iterator[str]:
        return (_key({**point, **self.constants}) for point in self.points())


@dataclass(frozen=True)
class _Task:
    """One call and the points that it is for."""

    points: dict[str, dict[str, Any]]
    arguments: dict[str, Any]
    size: int | None  # how many values the batched axis has, if there is one


def _grid(axes: Any, constants: Any) -> _Grid:
    for name, value in (("axes", axes), ("constants", constants or {})):
        if not isinstance(value, Mapping):
            raise TypeError(f"{name} must be a mapping of names to values, got {value!r}")
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{name} must have strings as names, got {key!r}")
    if not axes:
        raise ValueError(f"axes must name at least one axis, got {axes!r}")
    given = dict(constants or {})
    for name in given:
        if name in axes:
            raise ValueError(f"constants must not name an axis, got {name!r}")
    plain = {}
    for name, value in given.items():
        try:
            plain[name] = json.loads(json.dumps(value, default=methodcaller("tolist")))
        except (AttributeError, TypeError, ValueError):
            raise TypeError(f"constants must be what JSON can write, got {name} = {value!r}") from None
    return _Grid({name: _axis(name, values) for name, values in axes.items()}, plain, given)


def _axis(name: str, values: Any) -> list[Any]:
    items = [] if isinstance(values, str) or not np.iterable(values) else list(values)
    kinds = {np.asarray(item).dtype.kind.replace("i", "f") for item in items}
    array = np.asarray(items) if len(kinds) == 1 else np.zeros(0)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iufUb":
        raise ValueError(
            f"axes must hold at least one value each, all numbers, all strings or all bools, "
            f"got {name} = {values!r}"
        )
    found = array.tolist()
    if len({*found}) < len(found) or any(value != value for value in found):
        raise ValueError(f"axes must hold distinct values and no NaN, got {name} = {values!r}")
    return found


def _key(point: Mapping[str, Any]) -> str:
    """The same text for the same point: 1 and 1.0 are one number."""
    plain = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in point.items()
    }
    return json.dumps(plain, sort_keys=True)


def _tasks(grid: _Grid, batch: str | None, done: Mapping[str, Any]) -> list[_Task]:
    groups: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for key, point in zip(grid.keys(), grid.points(), strict=True):
        if key not in done:
            rest = _key({name: value for name, value in point.items() if name != batch})
            groups.setdefault(rest, []).append((key, point))
    tasks = []
    for group in groups.values():
        arguments = {**group[0][1], **grid.given}
        if batch is not None:
            arguments[batch] = [point[batch] for _, point in group]
        points = {key: {**point, **grid.constants} for key, point in group}
        tasks.append(_Task(points, arguments, None if batch is None else len(group)))
    return tasks


def _shape(values: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: np.shape(value) for name, value in values.items()}


def _misfit(values: Mapping[str, Any], shapes: Mapping[str, Any], grid: _Grid) -> str:
    """What is wrong with the values of a point beside those of the others, if anything."""
    if _shape(values) != shapes:
        return (
            f"function must return the same names and shapes at every point, got {_shape(values)} "
            f"here and {shapes} elsewhere"
        )
    taken = [name for name in values if name in grid.axes]
    return f"function must not return values named as an axis, got {taken[0]!r}" if taken else ""


def _shapes(grid: _Grid, points: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the values that are there, the same at every point."""
    found: dict[str, tuple[int, ...]] = {}
    for key in grid.keys():  # noqa: SIM118
        if key in points:
            found = found or _shape(points[key])
            reason = _misfit(points[key], found, grid)
            if reason:
                raise ValueError(f"store does not fit these axes at {key}: {reason}")
    return found


def _dataset(grid: _Grid, points: Mapping[str, Any], function: str) -> xarray.Dataset:
    xarray = _package("xarray")
    shapes, sizes = _shapes(grid, points), [len(values) for values in grid.axes.values()]
    arrays = {name: np.full((math.prod(sizes), *shape), np.nan) for name, shape in shapes.items()}
    for k, key in enumerate(grid.keys()):
        for name, value in points.get(key, {}).items():
            arrays[name][k] = value
    variables = {
        name: (
            [*grid.axes, *(f"{name}_{k}" for k in range(len(shape)))],
            arrays[name].reshape(*sizes, *shape),
        )
        for name, shape in shapes.items()
    }
    about = {"function": function, "constants": json.dumps(grid.constants), "aetutor": aetutor.__version__}
    about |= {package: version(package) for package in ("torch", "numpy")}
    return xarray.Dataset(variables, dict(grid.axes), about)


def _narrow(dataset: xarray.Dataset) -> xarray.Dataset:
    """The same without integers that netCDF 3, which has 32 bits for them, would refuse."""
    wide = {
        name: axis.astype(float)
        for name, axis in dataset.coords.items()
        if axis.dtype.kind in "iu" and abs(axis.astype(float)).max() >= 2**31
    }
    return dataset.assign_coords(wide)


# The work


def _computed(
    function: Callable[..., Any], tasks: list[_Task], retries: int
) -> Generator[tuple[_Task, list[dict[str, Any]], str], None, None]:
    """Each task with its results, as they come; workers that die are started again."""
    if not tasks:
        return
    joblib = _package("joblib")
    backend, n_jobs = joblib.parallel.get_active_backend()
    _mend(backend)
    left, deaths, idle = dict(enumerate(tasks)), Counter[int](), 0
    while left:
        before, started = len(left), list[int]()
        # What workers died of goes last, and in the end alone: it must not keep others from being computed.
        calls = _calls(function, tasks, sorted(left, key=deaths.__getitem__), started)
        parallel = joblib.Parallel(
            n_jobs=-1 if n_jobs is None else n_jobs,
            return_as="generator_unordered",
            batch_size=1,  # a finished point comes back at once
            pre_dispatch=1 if idle else "2*n_jobs",  # and a worker finds the next one waiting
        )
        try:
            results = parallel(calls)
            try:
                for k, values, error in results:
                    del left[k]
                    yield tasks[k], values, error
            finally:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of tasks that are left when a run is stopped
                    results.close()
        except Exception as error:  # of the backend: those of the function are among the results
            idle = 0 if len(left) < before else idle + 1
            lost = [k for k in started if k in left]
            deaths.update(lost)
            if idle > retries:
                keys = [key for k in lost for key in tasks[k].points]
                raise RuntimeError(
                    f"the workers failed {idle} times in a row ({type(error).__name__}: {error}) at "
                    f"{'; '.join(keys[:3])}{'; …' if keys[3:] else ''}. What was finished is kept, and the "
                    f"next run computes the rest"
                ) from error


def _calls(
    function: Callable[..., Any], tasks: Sequence[_Task], order: list[int], started: list[int]
) -> Iterator[Any]:
    for k in order:
        started.append(k)
        yield _call, (function, k, tasks[k].arguments, len(tasks[k].points), tasks[k].size), {}


def _call(
    function: Callable[..., Any], k: int, arguments: Mapping[str, Any], count: int, size: int | None
) -> tuple[int, list[dict[str, Any]], str]:
    """In the worker: the values for each point, or the text of the error. Both can be sent back."""
    try:
        outcome = function(**arguments)
        named = outcome if isinstance(outcome, Mapping) else {"value": outcome}
        arrays = {str(name): _checks.real_array(v, f"value {name!r}") for name, v in named.items()}
        if not arrays:
            raise ValueError("function must return at least one value, got an empty mapping")
        if size is None:
            return k, [{name: array.tolist() for name, array in arrays.items()}], ""
        for name, array in arrays.items():
            if array.shape[:1] != (size,):
                raise ValueError(f"value {name!r} must have first dimension {size}, got shape {array.shape}")
        return k, [{name: array[i].tolist() for name, array in arrays.items()} for i in range(size)], ""
    except Exception:
        return k, [{}] * count, traceback.format_exc()


def _mend(backend: Any) -> None:
    """Mend what joblib does with Dask, on this instance of its backend."""
    submit = getattr(backend, "submit", None)
    if type(backend).__module__ != "joblib._dask" or submit is None or "submit" in vars(backend):
        return
    effective = backend.effective_n_jobs

    def heard(task: Any, callback: Any = None) -> Any:
        job = submit(task, callback)
        job.add_done_callback(lambda done: done.exception() and callback(done.exception()))
        return job

    backend.submit = heard  # it would wait for ever for a task that Dask gives up as it kills its workers
    backend.effective_n_jobs = lambda n_jobs: max(2, effective(n_jobs))  # of 1, it would do the work here


# The store


@dataclass(frozen=True)
class _Content:
    function: str
    grid: _Grid | None  # of the last run
    points: dict[str, dict[str, Any]]
    size: int  # in bytes, without a last line that was cut off


class _Journal:
    """The one writer of a store."""

    def __init__(self, folder: Path, function: str, grid: _Grid) -> None:
        self.path, self.function = folder / "points.jsonl", function
        if folder.exists() and not self.path.exists() and any(folder.iterdir()):
            raise ValueError(f"store must be a new or empty folder, or one of a sweep, got {str(folder)!r}")
        with _writing(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            self.file = self.path.open("a+b", buffering=0)
        try:
            _lock(self.file, folder)
            self.file.seek(0)
            content = _read(self.path, self.file.read())
            if content.function not in ("", function):
                raise ValueError(
                    f"store {str(folder)!r} is of another function: it was {content.function}, and is "
                    f"{function} now"
                )
            self.points = content.points
            self.file.truncate(content.size)
            if not content.function:
                self.append([{"aetutor.sweep": 1, "function": function}])
            now = {"axes": grid.axes, "constants": grid.constants}
            if content.grid is None or now != {
                "axes": content.grid.axes,
                "constants": content.grid.constants,
            }:
                self.append([now])
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> _Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write these lines and see them to the disk; on an error, none of them."""
        rest = memoryview(b"".join(map(_line, records)))
        end = self.file.seek(0, os.SEEK_END)
        with _writing(self.path):
            try:
                while rest:
                    rest = rest[self.file.write(rest) :]
                os.fsync(self.file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    self.file.truncate(end)
                raise


def _line(record: Mapping[str, Any]) -> bytes:
    return _seal(json.dumps(record).encode())


def _seal(body: bytes) -> bytes:
    return body[:-1] + b', "crc": "%08x"}\n' % zlib.crc32(body)


def _record(line: bytes) -> dict[str, Any] | None:
    body = line.rpartition(b', "crc": "')[0] + b"}"
    return json.loads(body) if line + b"\n" == _seal(body) else None


def _read(path: Path, data: bytes) -> _Content:
    """What a journal says. What follows the last end of a line was cut off, and counts for nothing."""
    if data[: len(_MAGIC)] != _MAGIC[: len(data)]:
        raise ValueError(f"store must be one that aetutor.sweep has written, got {str(path)!r}")
    whole = data[: data.rfind(b"\n") + 1]
    function, grid, points = "", None, {}
    for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
        record = _record(line)
        if record is None:
            raise ValueError(
                f"store is damaged: line {number} of {str(path)!r} does not have its checksum; take the line "
                f"out to have its point computed anew"
            )
        if "function" in record:
            function = record["function"]
        elif "axes" in record:
            grid = _Grid(record["axes"], record["constants"], record["constants"])
        else:
            points[_key(record["point"])] = record["values"]
    return _Content(function, grid, points, len(whole))


def _lock(file: Any, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RuntimeError(
            f"store {str(folder)!r} is in use by another run; wait for its end, or take another store"
        ) from None
    except OSError:  # a file system without locks
        return


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"could not be written ({error.strerror}); what was finished before is kept"
        raise OSError(error.errno, reason, str(path)) from error


def _folder(store: Any) -> Path:
    if not isinstance(store, (str, os.PathLike)):
        raise TypeError(f"store must be a path, got {store!r}")
    folder = Path(store)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"store must be a folder, got the file {str(store)!r}")
    return folder


def _name(function: Any) -> str:
    name = getattr(function, "__qualname__", None)
    if not callable(function) or name is None:
        raise TypeError(
            f"function must be a function with a name that the store knows it by, got {function!r}; "
            f"arguments that are the same at every point go into constants"
        )
    return f"{function.__module__}.{name}"


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"a sweep needs {name}: pip install 'aetutor[sweep]'") from error
