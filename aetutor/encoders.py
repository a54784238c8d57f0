"""Encoders B of shape (..., n, d) with rows of unit norm, made at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from aetutor import _checks, activations, limits
from aetutor.activations import Activation

__all__ = ["gaussian", "normalize", "orthogonal", "tight_frame", "water_filled"]


def normalize(B: torch.Tensor) -> torch.Tensor:
    """Divide each row by its norm.

    Parameters
    ----------
    B : Tensor, shape (..., n, d)
        Rows must be finite and nonzero.

    Returns
    -------
    Tensor, shape (..., n, d)

    Raises
    ------
    ValueError
        If a row is zero or an entry is not finite.
    """
    B = _checks.tensor(B, "B")
    norms = torch.linalg.vector_norm(B, dim=-1, keepdim=True)
    if not bool((norms > 0).all()):
        raise ValueError("B must have nonzero rows, got a row of zeros")
    return B / norms


def gaussian(
    n: int,
    d: int,
    seed: int | torch.Generator = 0,
    *,
    batch: int | Sequence[int] = (),
    dtype: torch.dtype = torch.float64,
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """Rows independent and uniform on the unit sphere: Gaussian rows, normalised.

    Parameters
    ----------
    n, d : int
        Number of rows (bits, when the activation is the sign) and input dimension.
    seed : int or torch.Generator
        Numbers are drawn on the CPU in double precision: the same on every device.
    batch : int or sequence of int
        Leading dimensions: that many independent encoders.
    dtype, device
        Of the result.

    Returns
    -------
    Tensor, shape (*batch, n, d)

    Raises
    ------
    TypeError, ValueError
        If `n`, `d` or `batch` is not a whole number of at least 1.
    """
    shape = _shape(n, d, batch)
    return normalize(_draw(shape, seed)).to(device, dtype)


def orthogonal(
    n: int,
    d: int,
    seed: int | torch.Generator = 0,
    *,
    batch: int | Sequence[int] = (),
    dtype: torch.dtype = torch.float64,
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """Orthonormal rows, Haar-distributed: BBᵀ = I, the minimiser for rates n/d ≤ 1.

    Takes what :func:`gaussian` does; raises ValueError if n > d, where no such B exists.
    """
    shape = _shape(n, d, batch)
    if n > d:
        raise ValueError(
            f"n must be at most d for orthonormal rows, got n = {n} and d = {d}; "
            "for rates above one use tight_frame"
        )
    return _stiefel((*shape[:-2], d, n), seed).mT.contiguous().to(device, dtype)


def tight_frame(
    n: int,
    d: int,
    seed: int | torch.Generator = 0,
    *,
    batch: int | Sequence[int] = (),
    dtype: torch.dtype = torch.float64,
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """Haar frame: √(n/d) times n × d orthonormal columns, rows then normalised.

    As d → ∞ at fixed rate n/d > 1, BᵀB → (n/d) I and the least risk of this encoder tends to
    :func:`aetutor.limits.isotropic`.

    Takes what :func:`gaussian` does; raises ValueError if n < d, where n vectors cannot span.
    """
    shape = _shape(n, d, batch)
    if n < d:
        raise ValueError(
            f"n must be at least d for a frame, got n = {n} and d = {d}; for rates at most one use orthogonal"
        )
    return normalize(_stiefel(shape, seed)).to(device, dtype)


def water_filled(
    n: int,
    scales: Any,
    seed: int | torch.Generator = 0,
    activation: Activation | float = activations.sign,
    *,
    batch: int | Sequence[int] = (),
    dtype: torch.dtype = torch.float64,
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """Encoder for a source of given scales: n × k Haar columns times √s_k, rows then normalised.

    The s_k > 0 are the allocation of :func:`aetutor.limits.anisotropic`; the columns of directions
    under water are zero. As d → ∞ at fixed rate, the least risk tends to that limit. Equal scales give
    :func:`orthogonal` or :func:`tight_frame`.

    Parameters
    ----------
    n : int
        Number of rows.
    scales : array_like, shape (d,)
        Standard deviations D_k ≥ 0 of the source, in any order, not all zero.
    seed : int or torch.Generator
    activation : Activation or float
        The activation, or its gain.
    batch, dtype, device
        As for :func:`gaussian`.

    Returns
    -------
    Tensor, shape (*batch, n, d)
        Acts on whitened coordinates x/D, as ``scales=`` means in :mod:`aetutor.risk`.

    Raises
    ------
    TypeError, ValueError
        For bad numbers, as :func:`gaussian` and :func:`aetutor.limits.anisotropic`.
    """
    D = scales.detach().cpu().numpy() if isinstance(scales, torch.Tensor) else scales
    rate = _checks.count(n, "n") / max(1, np.size(D))
    s = torch.from_numpy(limits.anisotropic(D, rate, activation).allocation)
    active = (s > 0).nonzero().squeeze(-1)
    shape = _shape(n, len(s), batch)
    B = torch.zeros(shape, dtype=torch.float64)
    B[..., active] = _stiefel((*shape[:-1], len(active)), seed) * s[active].sqrt()
    return normalize(B).to(device, dtype)


def _shape(n: Any, d: Any, batch: int | Sequence[int]) -> tuple[int, ...]:
    leading = (batch,) if isinstance(batch, int) else tuple(batch)
    return (
        *(_checks.count(size, "batch") for size in leading),
        _checks.count(n, "n"),
        _checks.count(d, "d"),
    )


def _draw(shape: tuple[int, ...], seed: int | torch.Generator) -> torch.Tensor:
    return torch.randn(shape, generator=_checks.generator(seed, "encoder"), dtype=torch.float64)


def _stiefel(shape: tuple[int, ...], seed: int | torch.Generator) -> torch.Tensor:
    """Haar-distributed matrices with orthonormal columns, rows ≥ columns."""
    q, r = torch.linalg.qr(_draw(shape, seed))
    # QR fixes the signs of R's diagonal; giving them back makes Q Haar (Mezzadri, 2007).
    return q * torch.where(r.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).unsqueeze(-2)
