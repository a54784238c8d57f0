"""What a training run leaves behind, whatever the method: times, risks, weights, why it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from aetutor import limits
from aetutor.activations import Activation

if TYPE_CHECKING:
    import torch

__all__ = ["Trajectory"]


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory:
    """The way down: one value of the risk for each recorded time.

    Projected gradient descent, the weight-tied flow, training on samples and the spectral learning
    curve all return one, and ``plotting.trajectory`` draws any of them against the limit.

    Attributes
    ----------
    method : str
        Name of the method.
    activation : Activation
    rate : float
        n/d.
    times : ndarray, shape (recorded,)
        Steps taken, or the time of a flow. The first is the start.
    risk : ndarray, shape (..., recorded)
        Population risk at these times, the last of the final weights; on a source without a
        closed form the risk on held-out samples. Leading dimensions are those of the problems.
    stopped : str or ndarray of str, shape (...)
        Why it ended: "steps" (all were taken), "tolerance", "diverged" or "interrupted".
    step_size : float or None
        None for a flow, and where it was searched for.
    A : Tensor, shape (..., d, n), or None
        The final decoder. None, as `B`, where there are no matrices.
    B : Tensor, shape (..., n, d), or None
        The final encoder.
    path : Tensor, shape (..., recorded, n, d), or None
        The encoder at each time, for the weight-tied flow.
    log_det : ndarray, shape (..., recorded), or None
        log det BBᵀ at each time, for the weight-tied flow.
    spectra : mapping of int to ndarray, shape (..., k)
        Eigenvalues, increasing, at the steps that were asked for.
    grams : mapping of int to ndarray, shape (..., n, n)
        BBᵀ at the steps that were asked for.
    scales : ndarray, shape (d,), or None
        Standard deviations of an anisotropic source; B then acts on x/scales.
    """

    method: str
    activation: Activation
    rate: float
    times: np.ndarray
    risk: np.ndarray
    stopped: Any
    step_size: float | None = None
    A: torch.Tensor | None = None
    B: torch.Tensor | None = None
    path: torch.Tensor | None = None
    log_det: np.ndarray | None = None
    spectra: Mapping[int, np.ndarray] = field(default_factory=dict)
    grams: Mapping[int, np.ndarray] = field(default_factory=dict)
    scales: np.ndarray | None = None

    def __repr__(self) -> str:
        shape = self.risk.shape[:-1]
        many = f", {shape} problems" if shape else ""
        ends = f"{self.risk[..., -1].mean():.5f}"
        return (
            f"Trajectory({self.method!r}, {self.activation.name}, rate {self.rate:.4g}{many}: "
            f"risk {self.risk[..., 0].mean():.5f} → {ends}, limit {self.limit:.5f})"
        )

    @property
    def limit(self) -> float:
        """Least risk at this rate, ``limits.isotropic``; with scales ``limits.anisotropic``."""
        if self.scales is None:
            return float(limits.isotropic(self.rate, self.activation))
        return float(limits.anisotropic(self.scales, self.rate, self.activation).risk)

    def time_to(self, excess: float) -> Any:
        """First recorded time at which the risk is at most (1 + `excess`) times the limit.

        Parameters
        ----------
        excess : float
            0.01 for one percent.

        Returns
        -------
        float or ndarray, shape (...)
            NaN where the run did not get there.
        """
        there = self.risk <= (1 + excess) * self.limit
        first = np.where(there.any(axis=-1), self.times[there.argmax(axis=-1)], np.nan)
        return first if first.ndim else float(first)


def diverged(risk: np.ndarray, epsilon: float) -> np.ndarray:
    """Whether noiseless descent with these risks, shape (..., steps), had too large a step.

    A small step never raises the risk. Too large a one throws it above its start, or keeps it
    jumping above a level that it had reached before.
    """
    start, lowest, last = risk[..., 0], risk.min(axis=-1), risk[..., -1]
    slack = 1e3 * epsilon
    return (last > start + slack) | (last > lowest + 0.01 * (start - lowest) + slack)
