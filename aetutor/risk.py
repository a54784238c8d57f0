"""Risk of the autoencoder x̂ = Aσ(Bx), exact and by simulation, and the best decoder.

Shapes: B is (..., n, d) with rows of unit norm, A is (..., d, n), samples are (..., batch, d).
Leading dimensions are independent problems. Risk is the mean squared error per dimension.
Formulas are derived in the chapter "The population risk".

A source x ~ N(0, Σ) comes in the coordinates of Σ's eigenvectors, with ``scales`` D, the standard
deviations along them. The code is then σ(B(x/D)), entry by entry: B acts on whitened coordinates and
its rows keep unit norm, while A rebuilds x itself. See the chapter "Water-filling with signs".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from aetutor import _checks, _progress, activations
from aetutor.activations import Activation
from aetutor.sources import Source

__all__ = [
    "MonteCarlo",
    "empirical",
    "kernel_matrix",
    "least_squares_decoder",
    "minimal",
    "monte_carlo",
    "optimal_decoder",
    "population",
    "reconstruct",
]


def kernel_matrix(B: torch.Tensor, activation: Activation) -> torch.Tensor:
    """f(BBᵀ), entrywise: the second moments E[σ(Bx)σ(Bx)ᵀ] for x ~ N(0, I).

    Parameters
    ----------
    B : Tensor, shape (..., n, d)
        Rows of unit norm.
    activation : Activation

    Returns
    -------
    Tensor, shape (..., n, n)
        Diagonal exactly f(1).

    Raises
    ------
    TypeError, ValueError
        If `B` is not a finite floating-point tensor with rows of unit norm.
    """
    return _kernel_matrix(_checks.encoder(B), activations.check(activation))


def population(A: torch.Tensor, B: torch.Tensor, activation: Activation, scales: Any = None) -> torch.Tensor:
    """Population risk d⁻¹ E‖x − Aσ(Bx)‖² for x ~ N(0, I), or with scales x ~ N(0, diag D²), exactly.

    R(A, B) = 1 − (2c₁/d) Tr(BA) + (1/d) Tr(AᵀA f(BBᵀ)); with scales d⁻¹ Tr D² − (2c₁/d) Tr(B D A) +
    (1/d) Tr(AᵀA f(BBᵀ)).

    Parameters
    ----------
    A : Tensor, shape (..., d, n)
    B : Tensor, shape (..., n, d)
        Rows of unit norm; same dtype and device as `A`.
    activation : Activation
    scales : array_like or Tensor, shape (d,), optional
        Standard deviations D_k ≥ 0 of the source; the code is σ(B(x/D)).

    Returns
    -------
    Tensor, shape (...)
        Differentiable in `A` and `B`. The gradient in `B` is that of the formula as a function on
        all matrices; project it on the tangent space of the spheres before a step.

    Raises
    ------
    TypeError, ValueError
        If shapes, dtypes or devices do not go together, rows are not of unit norm, or entries are
        not finite.
    """
    B = _checks.encoder(B)
    A = _checks.decoder(A, B)
    F = _kernel_matrix(B, activations.check(activation))
    target, variance = _target(B, scales)
    linear = (A * target.mT).sum(dim=(-2, -1))
    quadratic = (A * (A @ F)).sum(dim=(-2, -1))
    return variance + (quadratic - 2 * activation.c1 * linear) / B.shape[-1]


def optimal_decoder(B: torch.Tensor, activation: Activation, scales: Any = None) -> torch.Tensor:
    """Decoder of least population risk for a given encoder, A* = c₁Bᵀ f(BBᵀ)⁻¹, or c₁DBᵀ f(BBᵀ)⁻¹.

    Where f(BBᵀ) is singular to working precision (repeated or opposite rows, a polynomial
    activation with many rows) this is the least-squares solution of least norm.

    Parameters
    ----------
    B : Tensor, shape (..., n, d)
        Rows of unit norm.
    activation : Activation
    scales : array_like or Tensor, shape (d,), optional
        As in :func:`population`.

    Returns
    -------
    Tensor, shape (..., d, n)
        Differentiable in `B`.

    Raises
    ------
    TypeError, ValueError
        As :func:`kernel_matrix`, and for bad scales.
    """
    F = kernel_matrix(B, activation)
    target, _ = _target(B, scales)
    return activation.c1 * _solve(F, target).mT


def minimal(B: torch.Tensor, activation: Activation, scales: Any = None) -> torch.Tensor:
    """Risk of an encoder with its best decoder, d⁻¹ [Tr D² − c₁² Tr(DBᵀ f(BBᵀ)⁻¹ BD)]; D = I if not given.

    Takes what :func:`optimal_decoder` does and returns a tensor of shape (...), differentiable.
    """
    F = kernel_matrix(B, activation)
    target, variance = _target(B, scales)
    return variance - activation.c1**2 / B.shape[-1] * (target * _solve(F, target)).sum(dim=(-2, -1))


def reconstruct(
    A: torch.Tensor, B: torch.Tensor, activation: Activation, x: torch.Tensor, scales: Any = None
) -> torch.Tensor:
    """x̂ = Aσ(Bx), or Aσ(B(x/D)), for each row x of a batch.

    Parameters
    ----------
    A : Tensor, shape (..., d, n)
    B : Tensor, shape (..., n, d)
        Any finite rows.
    activation : Activation
    x : Tensor, shape (..., batch, d)
    scales : array_like or Tensor, shape (d,), optional
        What x is divided by before it meets `B`, all greater than 0.

    Returns
    -------
    Tensor, shape (..., batch, d)
    """
    B = _checks.tensor(B, "B")
    A = _checks.decoder(A, B)
    return _codes(B, activation, _samples(x, "x", B), scales) @ A.mT


def empirical(
    A: torch.Tensor, B: torch.Tensor, activation: Activation, data: torch.Tensor, scales: Any = None
) -> torch.Tensor:
    """Mean squared error per dimension of x̂ over the rows of `data`.

    Takes what :func:`reconstruct` does, with `data` of shape (..., batch, d); returns shape (...).
    """
    return (data - reconstruct(A, B, activation, data, scales)).square().mean(dim=(-2, -1))


def least_squares_decoder(
    B: torch.Tensor, activation: Activation, data: torch.Tensor, scales: Any = None
) -> torch.Tensor:
    """Decoder of least empirical risk on `data`: linear regression of x on its code.

    Parameters
    ----------
    B : Tensor, shape (..., n, d)
        Any finite rows.
    activation : Activation
    data : Tensor, shape (..., batch, d)
        Centre it first: there is no intercept.
    scales : array_like or Tensor, shape (d,), optional
        As in :func:`reconstruct`.

    Returns
    -------
    Tensor, shape (..., d, n)
        Of least norm where the codes do not determine it, as with fewer samples than rows.
    """
    B = _checks.tensor(B, "B")
    data = _samples(data, "data", B)
    codes = _codes(B, activation, data, scales)
    count = data.shape[-2]
    return _solve(codes.mT @ codes / count, codes.mT @ data / count).mT


@dataclass(frozen=True)
class MonteCarlo:
    """A simulated mean and its uncertainty.

    Attributes
    ----------
    mean, standard_error : float or Tensor, shape (...)
        Floats when there is one problem, tensors over the leading dimensions otherwise.
    samples : int
        How many samples each problem saw.
    """

    mean: Any
    standard_error: Any
    samples: int


@torch.no_grad()
def monte_carlo(
    A: torch.Tensor,
    B: torch.Tensor,
    activation: Activation,
    source: Source,
    samples: int,
    seed: int | torch.Generator = 0,
    *,
    scales: Any = None,
    progress: bool = False,
) -> MonteCarlo:
    """Risk of x̂ on samples of a source, with its standard error.

    Samples are drawn and forgotten in chunks, so 10⁷ of them need no more memory than one chunk
    (about 4 million numbers).

    Parameters
    ----------
    A : Tensor, shape (..., d, n)
    B : Tensor, shape (..., n, d)
        Any finite rows.
    activation : Activation
    source : Source
        Of dimension d. All problems of a batch see the same samples.
    samples : int
        At least 2.
    seed : int or torch.Generator
    scales : array_like or Tensor, shape (d,), optional
        As in :func:`reconstruct`. It does not change what is sampled: give the source its own.
    progress : bool
        Show a progress bar.

    Returns
    -------
    MonteCarlo

    Raises
    ------
    TypeError, ValueError
        If shapes do not go together or `samples` is less than 2.
    """
    B = _checks.tensor(B, "B")
    A = _checks.decoder(A, B)
    activations.check(activation)
    if not isinstance(source, Source):
        raise TypeError(f"source must be an aetutor.sources.Source, got {type(source).__name__}")
    n, d = B.shape[-2:]
    if source.dimension != d:
        raise ValueError(f"source must have dimension d = {d} to go with B, got {source.dimension}")
    total = _checks.count(samples, "samples", minimum=2)
    generator = _checks.generator(seed, "monte carlo")
    problems = math.prod(torch.broadcast_shapes(A.shape[:-2], B.shape[:-2]))
    chunk = max(1, 2**22 // (problems * (n + d)))

    done, mean, squares = 0, torch.zeros(()), torch.zeros(())
    bar = _progress.bar(total, "sample", progress)
    while done < total:
        count = min(chunk, total - done)
        x = source.sample(count, generator, dtype=B.dtype, device=B.device)
        error = (x - _codes(B, activation, x, scales) @ A.mT).square().mean(dim=-1).double()
        # Chan, Golub and LeVeque's pairwise update: no cancellation, whatever the chunk.
        chunk_mean = error.mean(dim=-1)
        shift = chunk_mean - mean
        squares = squares + (error - chunk_mean.unsqueeze(-1)).square().sum(dim=-1)
        squares = squares + shift.square() * (done * count / (done + count))
        mean = mean + shift * (count / (done + count))
        done += count
        bar.update(count)
    bar.close()
    standard_error = (squares / (total - 1) / total).sqrt()
    if problems == 1 and mean.ndim == 0:
        return MonteCarlo(float(mean), float(standard_error), total)
    return MonteCarlo(mean, standard_error, total)


def _samples(x: Any, name: str, B: torch.Tensor) -> torch.Tensor:
    x = _checks.tensor(x, name)
    _checks.alike(x, name, B, "B")
    if x.shape[-1] != B.shape[-1]:
        raise ValueError(
            f"{name} must have shape (..., batch, d) with d = {B.shape[-1]}, got {tuple(x.shape)}"
        )
    _checks.batches(x.shape[:-2], name, B.shape[:-2], "B")
    return x


def _codes(B: torch.Tensor, activation: Activation, x: torch.Tensor, scales: Any) -> torch.Tensor:
    """σ(B(x/D)) for each row x."""
    z = x if scales is None else x / _checks.scales(scales, B, zero=False)
    return activations.check(activation)(z @ B.mT)


def _target(B: torch.Tensor, scales: Any) -> tuple[torch.Tensor, torch.Tensor | float]:
    """BD, what the codes should tell of x, and the variance d⁻¹ Tr D² that there is to explain."""
    if scales is None:
        return B, 1.0
    D = _checks.scales(scales, B)
    return B * D, D.square().mean()


def _kernel_matrix(B: torch.Tensor, activation: Activation) -> torch.Tensor:
    F = activation.kernel(B @ B.mT)
    diagonal = torch.eye(B.shape[-2], dtype=torch.bool, device=B.device)
    return torch.where(diagonal, F.new_tensor(activation.second_moment), F)


def _solve(F: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """F⁻¹ right for symmetric F ⪰ 0, by Cholesky; by least squares where F is nearly singular."""
    n = F.shape[-1]
    scale = F.detach().diagonal(dim1=-2, dim2=-1).amax(dim=-1)
    L, info = torch.linalg.cholesky_ex(F)
    sound = _is_sound(L.detach(), info, scale)
    if bool(sound.all()):
        return torch.cholesky_solve(right, L)
    batch = torch.broadcast_shapes(F.shape[:-2], right.shape[:-2])
    F, right = F.expand(*batch, n, n), right.expand(*batch, *right.shape[-2:])
    sound = sound.expand(batch)
    # The factor of a singular matrix must not enter the graph: its derivative is NaN.
    eye = torch.eye(n, dtype=F.dtype, device=F.device)
    safe = torch.where(sound[..., None, None], F, eye)
    direct = torch.cholesky_solve(right, torch.linalg.cholesky(safe))
    fallback = torch.linalg.pinv(F, rtol=_threshold(F), hermitian=True) @ right
    return torch.where(sound[..., None, None], direct, fallback)


def _is_sound(L: torch.Tensor, info: torch.Tensor, scale: torch.Tensor | float) -> torch.Tensor:
    """Whether the Cholesky factor of a matrix with diagonal up to `scale` can be trusted."""
    pivots = L.diagonal(dim1=-2, dim2=-1).square().amin(dim=-1)
    return (info == 0) & (pivots > _threshold(L) * scale)


def _threshold(F: torch.Tensor) -> float:
    return 10 * F.shape[-1] * torch.finfo(F.dtype).eps
