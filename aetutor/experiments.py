"""The book's experiments as functions of numbers and words, to call one by one or on a grid.

Each returns what a method reaches beside the limit, and goes as it is to :func:`aetutor.sweep.run`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import torch

from aetutor import _checks, activations, descent, encoders, limits, risk, sgd, sources
from aetutor.activations import Activation
from aetutor.sources import Images, Transform
from aetutor.trajectory import Trajectory

__all__ = ["DATA", "SPECTRA", "measured", "on_gaussian", "on_images", "prepare", "scales_of", "whole"]

SPECTRA: dict[str, Callable[[int], np.ndarray]] = {
    "flat": lambda d: np.ones(d),
    "two blocks": lambda d: np.where(np.arange(d) < d / 3, 2.0, 0.5),
    "three blocks": lambda d: np.where(
        np.arange(d) < d / 3, 3.0, np.where(np.arange(d) < 2 * d / 3, 1.0, 0.3)
    ),
    "linear": lambda d: np.linspace(2.0, 0.02, d),
    "power": lambda d: np.arange(1, d + 1) ** -0.5,
}
"""Scales D_k of a Gaussian source in d dimensions, up to a factor that makes their mean square 1."""

DATA: dict[str, tuple[Callable[[], Images], int]] = {
    "digits": (sources.digits, 40),
    "MNIST sample": (sources.mnist, 100),
    "MNIST": (lambda: sources.mnist("train"), 100),
    "MNIST test": (lambda: sources.mnist("test"), 100),
    "Fashion-MNIST": (lambda: sources.fashion_mnist("train"), 100),
    "CIFAR-10": (lambda: sources.cifar10("train", grey=True), 100),
    **{
        f"CIFAR-10 {name}": (functools.partial(sources.cifar10, "train", name, True), 100)
        for name in sources.CIFAR10_CLASSES
    },
    "patches": (sources.patches, 100),
    "patches, contrast normalised": (lambda: sources.normalize_contrast(sources.patches()), 100),
}
"""Image sets by name, each with the number of leading principal directions that are kept."""

_ACTIVATIONS = ("sign", "hard_tanh", "tanh", "erf", "sin", "cubic", "identity")


def scales_of(spectrum: str, d: int) -> np.ndarray:
    """Scales of a Gaussian source, of mean square 1.

    Parameters
    ----------
    spectrum
        Name in :data:`SPECTRA`.
    d
        Dimension.

    Returns
    -------
    numpy.ndarray
        Of shape (d,).

    Raises
    ------
    ValueError
        If there is no such spectrum.
    """
    _checks.choice(spectrum, "spectrum", SPECTRA)
    D = SPECTRA[spectrum](d)
    return D / np.sqrt(np.mean(D**2))


def on_gaussian(
    rate: float,
    seed: int | Sequence[int] = 0,
    d: int = 100,
    activation: str = "sign",
    spectrum: str = "flat",
    method: str = "projected gradient",
    **options: Any,
) -> dict[str, Any]:
    """Risk that a method reaches on a Gaussian source, beside the limit.

    Parameters
    ----------
    rate : float
        n/d. The number of rows n is the whole number nearest to rate·d, and at least 1.
    seed : int or sequence of int
        Of the start and of the samples. Of several, the problems are independent, and solved at once
        where there is a closed form.
    d : int
        Input dimension.
    activation : {"sign", "hard_tanh", "tanh", "erf", "sin", "cubic", "identity"}
    spectrum : str
        Name in :data:`SPECTRA`.
    method : {"projected gradient", "construction", "samples"}
        :func:`aetutor.descent.projected_gradient` from Gaussian rows; the rows of
        :func:`aetutor.encoders.water_filled`; or :func:`aetutor.sgd.train`.
    **options
        For the method: `steps` and so on.

    Returns
    -------
    dict
        "risk" per dimension, exactly, and "limit", that of :func:`aetutor.limits.anisotropic` at n/d.
        Floats, or arrays with an entry for each seed.

    Raises
    ------
    TypeError, ValueError
        For arguments outside these ranges.
    """
    _checks.choice(activation, "activation", _ACTIVATIONS)
    _checks.choice(method, "method", _METHODS)
    d = _checks.count(d, "d")
    n = _checks.rows(rate, d)
    sigma = getattr(activations, activation)
    D = scales_of(spectrum, d)
    limit = limits.anisotropic(D, n / d, sigma).risk
    # Without scales gradient steps are of one size, and cheaper.
    scales = None if spectrum == "flat" else D
    seeds = np.atleast_1d(np.asarray(seed)).tolist()
    reached = _METHODS[method](n, d, scales, sigma, seeds, options)
    if np.ndim(seed) == 0:
        return {"risk": float(reached[0]), "limit": limit}
    return {"risk": reached, "limit": np.full(len(reached), limit)}


def _descend(
    n: int, d: int, D: Any, sigma: Activation, seeds: list[int], options: dict[str, Any]
) -> np.ndarray:
    # Noise has a seed of its own: with it each problem is solved alone.
    groups = [[seed] for seed in seeds] if options.get("noise") else [seeds]
    risks = []
    for group in groups:
        B = torch.stack([encoders.gaussian(n, d, seed) for seed in group])
        run = whole(descent.projected_gradient(B, sigma, **{"scales": D, "seed": group[0], **options}))
        risks.append(run.risk[..., -1])
    return np.concatenate(risks)


def _construct(
    n: int, d: int, D: Any, sigma: Activation, seeds: list[int], options: dict[str, Any]
) -> np.ndarray:
    each = np.ones(d) if D is None else D
    B = torch.stack([encoders.water_filled(n, each, seed, sigma, **options) for seed in seeds])
    return risk.minimal(B, sigma, D).double().cpu().numpy()


def _train(
    n: int, d: int, D: Any, sigma: Activation, seeds: list[int], options: dict[str, Any]
) -> np.ndarray:
    source = sources.Gaussian(d, D)
    runs = [whole(sgd.train(source, n / d, sigma, seed=seed, **options)) for seed in seeds]
    return np.array([run.risk[-1] for run in runs])


_METHODS = {"projected gradient": _descend, "construction": _construct, "samples": _train}


def whole(run: Trajectory) -> Trajectory:
    """The run, unless Ctrl-C ended it: what it has by then must not be taken for a finished point."""
    if np.any(np.asarray(run.stopped) == "interrupted"):
        raise KeyboardInterrupt
    return run


def prepare(
    images: Images, rank: int, *, whitened: bool = True, samples: int | None = None, seed: int = 0
) -> tuple[Images, Images, Transform, np.ndarray | None]:
    """Split images, fit mean, directions and scales on the training part, and transform both parts.

    Parameters
    ----------
    images : Images
    rank : int
        How many leading principal directions to keep.
    whitened : bool
        Divide by the standard deviations. If not, the coordinates keep them, up to one factor for all,
        and they come back as scales, with the shrinkage of Ledoit and Wolf.
    samples : int, optional
        Train on that many images only.
    seed : int
        Of the split: one image in ten is held out.

    Returns
    -------
    train, test : Images
        In coordinates along the directions, in decreasing order of variance.
    transform : Transform
        From images to coordinates and back.
    scales : ndarray, shape (rank,), or None
        None if whitened.
    """
    train, test = images.split(max(1, len(images) // 10), seed)
    if samples is not None:
        samples = _checks.count(samples, "samples")
        if samples > len(train):
            raise ValueError(f"samples must be at most the {len(train)} images to train on, got {samples}")
        train = Images(train.name, train.data[:samples], train.shape)
    transform = sources.whiten(train, rank, shrinkage=0.0 if whitened else "ledoit-wolf")
    if whitened:
        return transform.apply(train), transform.apply(test), transform, None
    # One factor for all makes the mean square of the scales 1, which suits the defaults of training.
    unit = transform.scales.square().mean().sqrt()
    one = torch.full_like(transform.scales, float(unit))
    scaled = Transform(transform.mean, transform.directions, one, transform.kept_variance)
    return scaled.apply(train), scaled.apply(test), scaled, (transform.scales / unit).numpy()


def on_images(
    data: str,
    rate: float,
    seed: int = 0,
    whitened: bool = True,
    activation: str = "sign",
    samples: int | None = None,
    rank: int | None = None,
    **options: Any,
) -> dict[str, float]:
    """Train on images, test on others, beside the limit and what theory says of a random encoder.

    The trained encoder acts on the coordinates of :func:`prepare` as they are, whitened or not.

    All risks are divided by the variance of what they were measured on, so that 1 is the risk of storing
    nothing.

    Parameters
    ----------
    data : str
        Name in :data:`DATA`.
    rate : float
        n/d in the coordinates that are kept.
    seed : int
        Of split, start and samples.
    whitened : bool
        As in :func:`prepare`; the limit is isotropic if so, and anisotropic if not.
    activation : str
        As in :func:`on_gaussian`.
    samples : int, optional
        Train on that many images; nine in ten of those there are, if not given.
    rank : int, optional
        Another number of principal directions than the usual.
    **options
        For :func:`aetutor.sgd.train`. 3,000 steps and the cosine schedule, if not given.

    Returns
    -------
    dict of str to float
        "risk", held out, and "train_risk" of the trained pair; "limit"; "random", held out, of an encoder
        that knows the covariance only (:func:`aetutor.encoders.water_filled`) with the decoder by least
        squares; "factor", :func:`aetutor.sources.scale_factor` of the whitened training images; "mixture",
        what a Gaussian of such random scales gives, 1 − factor·(1 − limit); "images", how many were
        trained on.
    """
    _checks.choice(data, "data", DATA)
    _checks.choice(activation, "activation", _ACTIVATIONS)
    images, usual = _load(data), DATA[data][1]
    train, test, _, scales = prepare(images, rank or usual, whitened=whitened, samples=samples, seed=seed)
    sigma, d = getattr(activations, activation), train.dimension
    n = _checks.rows(rate, d)
    D = np.ones(d) if scales is None else scales
    limit = float(limits.anisotropic(D, n / d, sigma).risk)
    options.setdefault("steps", 3000)
    options.setdefault("record", max(1, options["steps"]))  # only the end is looked at
    options.setdefault("schedule", "cosine")
    # Without scales even if raw: divided by them, weak directions would take up as much of the noise as
    # strong ones, for less to gain.
    run = whole(sgd.train(train, rate, sigma, validation=test, seed=seed, **options))
    assert run.A is not None and run.B is not None
    A, B = run.A.cpu().double(), run.B.cpu().double()
    fixed = encoders.water_filled(n, D, seed, sigma)
    decoder = risk.least_squares_decoder(fixed, sigma, train.data, scales)

    def relative(A: torch.Tensor, B: torch.Tensor, part: Images, scales: Any = None) -> float:
        return float(risk.empirical(A, B, sigma, part.data, scales) / part.data.square().mean())

    factor = sources.scale_factor(train.data / torch.from_numpy(D))
    return {
        "risk": relative(A, B, test),
        "train_risk": relative(A, B, train),
        "limit": limit,
        "random": relative(decoder, fixed, test, scales),
        "factor": factor,
        "mixture": 1 - factor * (1 - limit),
        "images": float(len(train)),
    }


def measured() -> dict[str, Any]:
    """What :func:`on_images` found, also on data that a reader may not have: the book's record.

    Returns
    -------
    dict
        "points", over data, rate and whitened, and "few", over data, rate and samples: dicts of what
        :func:`on_images` returns, means over "seeds" runs, with standard errors "risk_error" and
        "random_error". Made by ``python -m benchmarks.images``.
    """
    return json.loads(files("aetutor").joinpath("images.json").read_text(encoding="utf-8"))


@functools.lru_cache(maxsize=2)
def _load(data: str) -> Images:
    return DATA[data][0]()
