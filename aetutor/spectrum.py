"""Learning curves without a matrix: the encoder's spectrum evolves by itself.

In high dimension the risk and its gradient see the encoder only through the eigenvalues λ of
BBᵀ, and projected gradient descent acts on these by a map in one variable. The chapter
"The spectrum's own life" derives it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from aetutor import _checks, activations
from aetutor.activations import Activation
from aetutor.trajectory import Trajectory, diverged

__all__ = ["MarchenkoPastur", "default_step_size", "fitness", "learning_curve", "replicator"]

_SIZE = 1000  # eigenvalues that stand for the Marchenko–Pastur law


@dataclass(frozen=True)
class MarchenkoPastur:
    """Law of the min(n, d) nonzero eigenvalues of BBᵀ for independent random rows, n, d → ∞.

    Written λ = max(1, r)(1 + 2q cos θ + q²) with q = √min(r, 1/r), the angle θ has density
    (2/π) sin²θ/(1 + 2q cos θ + q²) on [0, π], which has no singularity at the edges.

    Parameters
    ----------
    rate : float
        r = n/d > 0.

    Notes
    -----
    Source: Marchenko and Pastur (1967).
    """

    rate: float

    def __post_init__(self) -> None:
        _checks.rates(self.rate)

    @property
    def _q(self) -> float:
        return float(np.sqrt(min(self.rate, 1 / self.rate)))

    @property
    def mean(self) -> float:
        """max(1, r), since the rows have unit norm."""
        return max(1.0, self.rate)

    @property
    def edges(self) -> tuple[float, float]:
        """Smallest and largest eigenvalue, (1 − √r)² and (1 + √r)²."""
        root = float(np.sqrt(self.rate))
        return (1 - root) ** 2, (1 + root) ** 2

    def density(self, x: ArrayLike) -> Any:
        """Probability density of the nonzero eigenvalues at `x`, any shape; 0 outside the edges."""
        x = _checks.real_array(x, "x")
        low, high = self.edges
        inside = np.sqrt(np.maximum((high - x) * (x - low), 0))
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.where(inside > 0, inside / (2 * np.pi * min(self.rate, 1.0) * x), 0.0)
        return value if value.ndim else float(value)

    def cdf(self, x: ArrayLike) -> Any:
        """Fraction of the nonzero eigenvalues that are at most `x`, any shape."""
        x = _checks.real_array(x, "x")
        q = self._q
        half = np.clip((x / self.mean - (1 - q) ** 2) / (4 * q), 0, 1)  # cos²(θ/2)
        value = 1 - self._angle_cdf(2 * np.arctan2(np.sqrt(1 - half), np.sqrt(half)))
        return value if value.ndim else float(value)

    def quantile(self, p: ArrayLike) -> Any:
        """Eigenvalue below which the fraction `p` of them lies, any shape, p in [0, 1]."""
        p = _checks.real_array(p, "p")
        if not np.all((p >= 0) & (p <= 1)):
            raise ValueError(f"p must be between 0 and 1, got {p}")
        q, table = self._q, np.linspace(0, np.pi, 2049)
        angle = np.interp(1 - p, self._angle_cdf(table), table)
        for _ in range(4):  # Newton, which the table has brought within reach
            residual = self._angle_cdf(angle) - (1 - p)
            slope = np.where(np.abs(residual) > 1e-14, self._angle_density(angle), np.inf)
            angle = np.clip(angle - np.clip(residual / slope, -1e-3, 1e-3), 0, np.pi)
        # 1 + 2q cos θ + q² without cancellation near θ = π.
        value = self.mean * ((1 - q) ** 2 + 4 * q * np.cos(angle / 2) ** 2)
        return value if value.ndim else float(value)

    def _angle_density(self, angle: np.ndarray) -> np.ndarray:
        q = self._q
        square = (1 - q) ** 2 + 4 * q * np.cos(angle / 2) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(square > 0, 2 / np.pi * np.sin(angle) ** 2 / square, 2 / np.pi)

    def _angle_cdf(self, angle: np.ndarray) -> np.ndarray:
        """∫₀^θ of the density, as the Fourier series of a Poisson kernel or in closed form."""
        q = self._q
        if q < 0.1:  # the closed form divides by q²
            k = np.arange(1, 19)
            waves = (
                np.sin(np.multiply.outer(angle, k + 2)) / (k + 2) - np.sin(np.multiply.outer(angle, k)) / k
            )
            return (angle - np.sin(angle) * np.cos(angle) - (waves * (-q) ** k).sum(axis=-1)) / np.pi
        turned = np.arctan2((1 - q) * np.sin(angle / 2), (1 + q) * np.cos(angle / 2))
        closed = (1 + q * q) * angle - 2 * (1 - q * q) * turned - 2 * q * np.sin(angle)
        return closed / (2 * np.pi * q * q)


def fitness(eigenvalue: ArrayLike, gain: float) -> Any:
    """w(λ) = 2g/(λ + g)²: how fast an eigenvalue would grow if the rows were free of their spheres.

    Decreasing in λ ≥ 0, so that small eigenvalues catch up. Array in, array out.
    """
    return 2 * gain / (np.asarray(eigenvalue) + gain) ** 2


def default_step_size(rate: float, activation: Activation = activations.sign) -> float:
    """Step size for projected gradient descent: 2gm/(g + m), with m = max(1, r).

    The harmonic mean of the gain g and the eigenvalue m that all end at. With it, whatever the
    spectrum, the spectral map keeps the order of the eigenvalues and lowers the risk at every step
    (proved in the chapter "The spectrum's own life"). It is 0 for a linear activation, whose risk is
    already least at every encoder of full rank.
    """
    rate, gain = float(_checks.rates(rate)), activations.check(activation).gain
    flat = max(1.0, rate)
    return max(0.0, 2 * gain * flat / (gain + flat))


def learning_curve(
    rate: float,
    activation: Activation = activations.sign,
    steps: int = 100,
    step_size: float | None = None,
    *,
    spectrum: ArrayLike | None = None,
    spectrum_at: Collection[int] = (),
) -> Trajectory:
    """Risk after each step of projected gradient descent as n, d → ∞, from the spectrum alone.

    Each eigenvalue λ becomes λ(1 + η(w(λ) − w̄))² with w = :func:`fitness`, w̄ = Σλw(λ)/Σλ, and all
    are then rescaled to their old sum.

    Parameters
    ----------
    rate : float
        r = n/d > 0.
    activation : Activation
    steps : int
        At least 0.
    step_size : float, optional
        η, the step on the gradient of d·R; :func:`default_step_size` if not given.
    spectrum : array_like, shape (k,), optional
        Eigenvalues to start from, at least 0: those of BBᵀ if r ≤ 1 and of BᵀB if r > 1 (the
        smaller of the two matrices), or k that stand for them in equal parts. Their mean is
        max(1, r), since rows have unit norm. Marchenko–Pastur, a random start, if not given.
    spectrum_at : collection of int
        Steps after which to keep the eigenvalues.

    Returns
    -------
    Trajectory
        Without matrices; `risk` has steps + 1 values.

    Raises
    ------
    TypeError, ValueError
        For arguments outside these ranges.
    """
    rate, gain, eigenvalues = _start(rate, activation, spectrum)
    steps = _checks.count(steps, "steps", minimum=0)
    eta = (
        default_step_size(rate, activation) if step_size is None else _checks.positive(step_size, "step_size")
    )
    wanted = _checks.steps(spectrum_at, "spectrum_at", steps)
    total = eigenvalues.sum()
    risks, spectra = [], {}
    stopped = "steps"
    for step in range(steps + 1):
        risks.append(_risk(eigenvalues, rate, gain))
        if step in wanted:
            spectra[step] = np.sort(eigenvalues)
        if step < steps:
            w = fitness(eigenvalues, gain) if gain else np.zeros_like(eigenvalues)
            with np.errstate(over="ignore", invalid="ignore"):
                grown = eigenvalues * (1 + eta * (w - eigenvalues @ w / total)) ** 2
                grown *= total / grown.sum()
            if not np.all(np.isfinite(grown)):
                stopped = "diverged"
                break
            eigenvalues = grown
    risk = np.array(risks)
    if diverged(risk, np.finfo(float).eps):
        stopped = "diverged"
    return Trajectory(
        "spectral learning curve",
        activation,
        rate,
        np.arange(len(risk)),
        risk,
        stopped,
        eta,
        spectra=spectra,
    )


def replicator(
    rate: float,
    activation: Activation = activations.sign,
    times: ArrayLike = 100.0,
    *,
    spectrum: ArrayLike | None = None,
) -> Trajectory:
    """The learning curve of small steps: λ′ = 2λ(w(λ) − w̄), a replicator equation.

    After k steps of size η the spectral map has followed it for the time kη, up to O(η).

    Parameters
    ----------
    rate, activation, spectrum
        As for :func:`learning_curve`.
    times : float or array_like, shape (recorded,)
        Increasing times, the first of them 0; a number T > 0 stands for 201 times from 0 to T.

    Returns
    -------
    Trajectory
        Integrated to a relative tolerance of 1e-8. Without matrices.

    Raises
    ------
    TypeError, ValueError
        For arguments outside these ranges.
    """
    rate, gain, eigenvalues = _start(rate, activation, spectrum)
    at = _checks.times(times, "times")
    alive = eigenvalues > 0  # zero stays zero
    total, start = eigenvalues.sum(), np.log(eigenvalues[alive])

    def velocity(_: float, log: np.ndarray) -> np.ndarray:
        values = np.exp(log)
        w = fitness(values, gain) if gain else np.zeros_like(values)
        return 2 * (w - values @ w / total)

    solution = solve_ivp(velocity, (at[0], at[-1]), start, "DOP853", at, rtol=1e-8, atol=1e-10)
    path = np.zeros((len(at), len(eigenvalues)))
    path[:, alive] = np.exp(solution.y.T)
    risk = np.array([_risk(values * (total / values.sum()), rate, gain) for values in path])
    return Trajectory("replicator equation", activation, rate, at, risk, "steps")


def _risk(eigenvalues: np.ndarray, rate: float, gain: float) -> float:
    """1 − (1/d) Σ λ/(λ + g), over the min(n, d) eigenvalues that can differ from 0."""
    kept = np.divide(eigenvalues, eigenvalues + gain, out=np.zeros_like(eigenvalues), where=eigenvalues > 0)
    return 1 - min(rate, 1.0) * float(kept.mean())


def _start(rate: Any, activation: Activation, spectrum: Any) -> tuple[float, float, np.ndarray]:
    rate, gain = float(_checks.rates(rate)), activations.check(activation).gain
    law = MarchenkoPastur(rate)
    if spectrum is None:
        eigenvalues = law.quantile((np.arange(_SIZE) + 0.5) / _SIZE)
        return rate, gain, eigenvalues * (law.mean / eigenvalues.mean())
    eigenvalues = _checks.real_array(spectrum, "spectrum")
    if eigenvalues.ndim != 1 or eigenvalues.size == 0:
        raise ValueError(f"spectrum must have shape (k,), k at least 1, got {eigenvalues.shape}")
    slack = 1e-9 * law.mean  # eigenvalues come with rounding
    if not np.all(eigenvalues >= -slack) or abs(eigenvalues.mean() - law.mean) > 1e-6 * law.mean:
        raise ValueError(
            f"spectrum must be at least 0 and have mean max(1, rate) = {law.mean:.6g}, as eigenvalues of "
            f"{'BBᵀ' if rate <= 1 else 'BᵀB'} do, got least {eigenvalues.min():.6g} and mean "
            f"{eigenvalues.mean():.6g}"
        )
    return rate, gain, np.maximum(eigenvalues, 0)
