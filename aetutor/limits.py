"""What is achievable: closed forms in NumPy, vectorised over the rate.

Distortion is the mean squared error per dimension for a source of unit variance.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve_banded
from scipy.special import ndtr, ndtri

from aetutor import _checks, activations
from aetutor.activations import Activation

__all__ = [
    "Quantizer",
    "WaterFilling",
    "anisotropic",
    "isotropic",
    "lloyd_max",
    "lloyd_max_quantizer",
    "pca",
    "rate_distortion",
    "shannon",
]


def isotropic(rate: ArrayLike, activation: Activation | float = activations.sign) -> Any:
    """Least population risk of a two-layer autoencoder on an isotropic Gaussian source.

    1 − r/(1 + g) for r ≤ 1 and 1 − r/(r + g) = g/(r + g) for r > 1, with g the activation's gain.
    No encoder and decoder of any dimension do better. For r ≤ 1 orthonormal rows attain it; for
    r > 1 it is approached as d → ∞ and, unless σ is linear, never attained.

    Parameters
    ----------
    rate : array_like
        r = n/d > 0, bits per input dimension when the activation is the sign.
    activation : Activation or float
        The activation, or its gain g ≥ 0 as a number.

    Returns
    -------
    float or ndarray
        Distortion per dimension, shaped like `rate`.

    Raises
    ------
    ValueError, TypeError
        If a rate is not finite and positive, or a gain is negative or not finite.

    Notes
    -----
    Source: Shevchenko, Kögler, Hassani, Mondelli (ICML 2023); proved in the book's chapters
    "Rate at most one" and "Rate above one".
    """
    r, gain = _checks.rates(rate), _gain(activation)
    # One formula, written so that no digits cancel when the distortion is small.
    result = (np.maximum(1 - r, 0) + gain) / (np.maximum(r, 1) + gain)
    return result if result.ndim else float(result)


def shannon(rate: ArrayLike) -> Any:
    """Gaussian distortion–rate function D(r) = 2^{−2r}, r in bits per dimension.

    Takes rates r ≥ 0 and returns a float or an array like `rate`; raises ValueError for a rate
    that is negative or not finite. Source: Shannon (1959); Cover and Thomas, section 10.3.
    """
    r = _checks.real_array(rate, "rate")
    if not np.all(np.isfinite(r)) or np.any(r < 0):
        raise ValueError(f"rate must be finite and at least 0, got {rate!r}")
    result = np.exp2(-2 * r)
    return result if result.ndim else float(result)


@dataclass(frozen=True)
class WaterFilling:
    """How a budget is best spread over directions of different strength.

    Attributes
    ----------
    risk : float or ndarray, shape of the rate
        Mean squared error per dimension, in the units of the squared scales: it is not divided by the
        source's variance.
    allocation : ndarray, shape (..., d)
        What each direction gets, in the order in which the scales came. The sum is rate·d.
    level : float or ndarray, shape of the rate
        The water level, the same for all directions that get anything.
    active : int or ndarray of int, shape of the rate
        How many directions get anything.
    """

    risk: Any
    allocation: np.ndarray
    level: Any
    active: Any


def anisotropic(
    scales: ArrayLike, rate: ArrayLike, activation: Activation | float = activations.sign
) -> WaterFilling:
    """Limit of a two-layer autoencoder on N(0, Σ), where Σ has the eigenvalues D₁², …, D_d².

    The least (1/d) Σ_k D_k²/(1 + s_k/g) over s_k ≥ 0 with Σ s_k = n, at most n of them not zero: the
    n largest scales, if n < d, get s_k = (μD_k − g)₊. Where n = rate·d is not whole, the last of them
    counts with the fraction that is left, as in a spectrum of many directions.

    Parameters
    ----------
    scales : array_like, shape (d,)
        Standard deviations D_k ≥ 0, in any order, not all zero.
    rate : array_like
        r = n/d > 0.
    activation : Activation or float
        The activation, or its gain g ≥ 0 as a number. At g = 0 the limit is that of :func:`pca`.

    Returns
    -------
    WaterFilling
        `allocation` holds the s_k and `level` is μ. For equal scales of 1 the risk is
        :func:`isotropic`'s.

    Raises
    ------
    ValueError, TypeError
        If scales are negative, not finite, all zero or not in one dimension, or a rate or gain is bad.

    Notes
    -----
    Sorts once and sums along: O(d log d), without iteration. Source: Shevchenko, Kögler, Hassani,
    Mondelli (ICML 2023), the general covariance.
    """
    D, order = _sorted_scales(scales)
    r, g, d = _checks.rates(rate), _gain(activation), len(D)

    def fill(one: float) -> tuple[float, np.ndarray, float, int]:
        n = one * d
        n = round(n) if abs(n - round(n)) < 1e-9 * n else n  # (n/d)·d, up to rounding
        weight = np.clip(n - np.arange(d), 0, 1)  # 1 for the n largest; the last may count in part
        weighted = np.cumsum(weight * D)
        level = (n + g * np.cumsum(weight)) / weighted
        # A direction is active if it is above the water when it is the last one: true of a first stretch.
        active = int(np.count_nonzero((level * D > g) & (weight > 0)))
        mu = float(level[active - 1])
        allocation = np.zeros(d)
        allocation[order[:active]] = weight[:active] * (mu * D[:active] - g)
        lost = float(((1 - weight[:active]) * D[:active] ** 2).sum() + (D[active:] ** 2).sum())
        return (g / mu * float(weighted[active - 1]) + lost) / d, allocation, mu, active

    return _water_filling(fill, r)


def rate_distortion(scales: ArrayLike, rate: ArrayLike) -> WaterFilling:
    """Shannon's limit for N(0, Σ), where Σ has the eigenvalues D₁², …, D_d²: reverse water-filling.

    (1/d) Σ_k min(θ, D_k²), with the level θ such that the bits ½ log₂(D_k²/θ)₊ add up to rate·d.

    Parameters
    ----------
    scales : array_like, shape (d,)
        Standard deviations D_k ≥ 0, in any order, not all zero.
    rate : array_like
        Bits per dimension, greater than 0.

    Returns
    -------
    WaterFilling
        `allocation` holds the bits of each direction and `level` is θ.

    Raises
    ------
    ValueError, TypeError
        If scales are negative, not finite, all zero or not in one dimension, or a rate is bad.

    Notes
    -----
    Source: Cover and Thomas, section 10.3.3.
    """
    D, order = _sorted_scales(scales)
    r, d = _checks.rates(rate), len(D)
    D = D[: np.count_nonzero(D)]  # a direction without variance costs nothing
    logs = 2 * np.log2(D)
    number = np.arange(1, len(D) + 1)

    def fill(one: float) -> tuple[float, np.ndarray, float, int]:
        level = (np.cumsum(logs) - 2 * one * d) / number  # log₂ θ
        active = int(np.count_nonzero(logs > level))
        theta = float(level[active - 1])
        allocation = np.zeros(d)
        allocation[order[:active]] = (logs[:active] - theta) / 2
        return (active * 2**theta + float((D[active:] ** 2).sum())) / d, allocation, 2**theta, active

    return _water_filling(fill, r)


def pca(scales: ArrayLike, rate: ArrayLike) -> Any:
    """Error of the rate·d leading principal components, kept as real numbers: (1/d) Σ_{k>n} D_k².

    Not a compressor to bits; it is the limit of :func:`anisotropic` for a linear activation. Takes and
    raises what that does; returns a float or an array like `rate`.
    """
    return anisotropic(scales, rate, 0.0).risk


@dataclass(frozen=True)
class Quantizer:
    """A scalar quantiser of N(0, 1) that satisfies both of Lloyd's conditions.

    Attributes
    ----------
    points : ndarray, shape (levels,)
        Reproduction points, increasing: each is the mean of its cell.
    thresholds : ndarray, shape (levels − 1,)
        Cell boundaries: halfway between neighbouring points.
    distortion : float
        Mean squared error.
    entropy : float
        Entropy of the cell's index in bits, at most log₂(levels).
    """

    points: np.ndarray
    thresholds: np.ndarray
    distortion: float
    entropy: float

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """Replace each entry by the point of its cell."""
        return self.points[np.searchsorted(self.thresholds, np.asarray(x), side="right")]


def lloyd_max(levels: ArrayLike) -> Any:
    """Distortion of the best scalar quantiser of N(0, 1) with a given number of levels.

    Parameters
    ----------
    levels : int or array_like of int
        At least 1. log₂(levels) is the rate in bits.

    Returns
    -------
    float or ndarray
        Mean squared error: 1, 1 − 2/π, 0.190174…, 0.117482… for 1, 2, 3, 4 levels.

    See Also
    --------
    lloyd_max_quantizer : the quantiser itself.
    """
    array = np.asarray(levels)
    if array.ndim == 0:
        return lloyd_max_quantizer(levels).distortion
    flat = [lloyd_max_quantizer(n).distortion for n in array.ravel()]
    return np.array(flat, dtype=float).reshape(array.shape)


def lloyd_max_quantizer(levels: Any) -> Quantizer:
    """The best scalar quantiser of N(0, 1) with a given number of levels, by Newton's method.

    The Gaussian density is log-concave, so Lloyd's two conditions have one solution only and it is
    the best quantiser. Raises TypeError or ValueError unless `levels` is a whole number from 1 to
    65,536. Source: Lloyd (1982), Max (1960); uniqueness: Fleischer (1964).
    """
    number = _checks.count(levels, "levels")
    if number > 2**16:
        raise ValueError(f"levels must be at most 65536, got {number}")
    return _lloyd_max_quantizer(number)


@functools.cache
def _lloyd_max_quantizer(levels: int) -> Quantizer:
    # Asymptotically the points have density φ^{1/3}, which is N(0, 3): a start within Newton's reach.
    points = np.sqrt(3) * ndtri((np.arange(levels) + 0.5) / levels)
    for _ in range(100):
        t = (points[1:] + points[:-1]) / 2
        mass, first = _cells(t)
        centroid = first / mass
        pull = points - centroid
        # Moving the threshold t between cells moves their means at the rate φ(t)(t − mean)/mass.
        phi = np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi)
        upper = phi * (t - centroid[:-1]) / mass[:-1]  # d centroid_i / d t_i
        lower = phi * (centroid[1:] - t) / mass[1:]  # d centroid_{i+1} / d t_i
        band = np.zeros((3, levels))
        band[1] = 1 - (np.append(upper, 0) + np.append(0, lower)) / 2
        band[0, 1:], band[2, :-1] = -upper / 2, -lower / 2
        step = solve_banded((1, 1), band, pull)
        points = np.sort(points - step)
        points = (points - points[::-1]) / 2
        if np.abs(step).max() < 1e-13:
            break
    t = (points[1:] + points[:-1]) / 2
    mass, first = _cells(t)
    # E(x − y)² = 1 − 2Σ y·first + Σ y²·mass, summed as cells' variances would be: both conditions
    # hold, so first = y·mass and the cross terms combine.
    distortion = 1 - 2 * float(points @ first) + float(points**2 @ mass)
    for array in (points, t):
        array.setflags(write=False)
    return Quantizer(points, t, distortion, float(-mass @ np.log2(mass)))


def _cells(thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probability and first moment of N(0, 1) on each cell, without cancellation in the tails."""
    edges = np.concatenate([[-np.inf], thresholds, [np.inf]])
    left, right = edges[:-1], edges[1:]
    flip = left > 0
    low, high = np.where(flip, -right, left), np.where(flip, -left, right)
    density = np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi)
    return ndtr(high) - ndtr(low), density[:-1] - density[1:]


def _gain(activation: Activation | float) -> float:
    """Gain of an activation, or a number that is one."""
    if isinstance(activation, (int, float)) and not isinstance(activation, bool):
        gain = float(activation)
        if not (np.isfinite(gain) and gain >= 0):
            raise ValueError(f"activation, when it is a gain, must be finite and at least 0, got {gain}")
        return gain
    return max(0.0, activations.check(activation).gain)


def _sorted_scales(scales: Any) -> tuple[np.ndarray, np.ndarray]:
    """Scales in decreasing order, and where each stood."""
    D = _checks.real_array(scales, "scales")
    if D.ndim != 1 or not D.size:
        raise ValueError(f"scales must have one dimension and at least one entry, got shape {D.shape}")
    if not np.all(np.isfinite(D)) or np.any(D < 0) or not D.any():
        raise ValueError(
            f"scales must be finite, at least 0 and not all 0, got numbers from {D.min()} to {D.max()}"
        )
    order = np.argsort(-D, kind="stable")
    return D[order], order


def _water_filling(fill: Callable[[float], tuple[Any, ...]], rates: np.ndarray) -> WaterFilling:
    """One filling for each rate."""
    if rates.ndim == 0:
        return WaterFilling(*fill(float(rates)))
    columns = zip(*map(fill, rates.ravel().tolist()), strict=True) if rates.size else ((), (), (), ())
    risk, allocation, level, active = (np.array(column) for column in columns)
    return WaterFilling(
        risk.reshape(rates.shape),
        allocation.reshape(*rates.shape, -1),
        level.reshape(rates.shape),
        active.reshape(rates.shape),
    )
