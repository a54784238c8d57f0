"""Gradient methods on the closed form of the risk: no samples, no automatic differentiation.

Shapes: B is (..., n, d) with rows of unit norm; leading dimensions are independent problems that
are trained at once. Derived in the chapters "Weights tied" and "Projected gradient descent".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from aetutor import _checks, _progress, activations, encoders
from aetutor.activations import Activation
from aetutor.risk import _is_sound, _kernel_matrix, _solve
from aetutor.spectrum import default_step_size
from aetutor.trajectory import Trajectory, diverged

__all__ = ["gradient", "projected_gradient", "tied_flow"]

_BLOCK = {"cpu": 2**17}  # entries at a time for the entrywise kernel: they stay in the cache


def gradient(B: torch.Tensor, activation: Activation = activations.sign, scales: Any = None) -> torch.Tensor:
    """Gradient of d·R*(B) on the product of spheres, R* the risk with the best decoder.

    Row i is the part orthogonal to b_i of 2c₁²[(XXᵀ ∘ f′(BBᵀ))B − XD]_i, X = f(BBᵀ)⁻¹BD, with D = I
    for the isotropic source. The diagonal of XXᵀ ∘ f′ is left out: it moves b_i along itself only.

    Parameters
    ----------
    B : Tensor, shape (..., n, d)
        Rows of unit norm.
    activation : Activation
    scales : array_like or Tensor, shape (d,), optional
        Standard deviations D_k ≥ 0 of the source, as in :mod:`aetutor.risk`.

    Returns
    -------
    Tensor, shape (..., n, d)
        Rows orthogonal to those of `B`.

    Raises
    ------
    TypeError, ValueError
        If `B` is not a finite floating-point tensor with rows of unit norm, or scales are bad.
    """
    B = _checks.encoder(B).detach()
    D = None if scales is None else _checks.scales(scales, B)
    step = _Step(B, activations.check(activation), D)
    step.solve(B)
    step.differentiate(B)
    return 2 * activation.c1**2 * step.X


@torch.no_grad()
def projected_gradient(
    B: torch.Tensor,
    activation: Activation = activations.sign,
    *,
    scales: Any = None,
    steps: int = 100,
    step_size: float | None = None,
    noise: float = 0.0,
    tolerance: float | None = None,
    record: int = 1,
    spectrum_at: Collection[int] = (),
    gram_at: Collection[int] = (),
    seed: int | torch.Generator = 0,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    progress: bool = False,
    callback: Callable[[int, torch.Tensor], object] | None = None,
) -> Trajectory:
    """Projected gradient descent on the population risk, with the best decoder at every step.

    B ← normalise(B − η ∇ + noise), ∇ = :func:`gradient`. A step costs one Cholesky factorisation, two
    triangular solves and three matrix products, in buffers that are reused.

    Parameters
    ----------
    B : Tensor, shape (..., n, d)
        Start, rows of unit norm. It is left as it is.
    activation : Activation
    scales : array_like or Tensor, shape (d,), optional
        Standard deviations D_k ≥ 0 of the source, as in :mod:`aetutor.risk`.
    steps : int
        How many to take, at least 0.
    step_size : float, optional
        η, the step on the gradient of d·R; :func:`aetutor.spectrum.default_step_size` if not given.
        With scales, if neither it nor noise is given, it is searched for: strong directions bear
        short steps only, weak ones need long ones. A step that raises the risk is taken back and the
        next is half as long; after one that does not, the next is 1.2 times as long.
    noise : float
        Each step moves each row by a Gaussian vector of about this length.
    tolerance : float, optional
        A problem stops moving once the root mean square of its rows' gradients is at most this;
        the run ends when all have stopped.
    record : int
        Keep the risk of every so many steps, and always of the start and the end.
    spectrum_at, gram_at : collection of int
        Steps after which to keep the eigenvalues of BBᵀ (of BᵀB if n > d), and the matrix BBᵀ.
    seed : int or torch.Generator
        Of the noise.
    device : str or torch.device, optional
        Where to compute, "auto" for the fastest; where `B` is, if not given.
    dtype : torch.dtype, optional
        Precision to compute in; that of `B`, if not given.
    progress : bool
        Show a progress bar.
    callback : callable, optional
        Called with the number of steps taken and the risk, shape (...), whenever it is recorded. If it
        raises KeyboardInterrupt the run ends as after Ctrl-C.

    Returns
    -------
    Trajectory
        Interrupted by Ctrl-C, it returns what it has, and `stopped` says so. A step size under which
        the risk rises instead of falling gives `stopped` "diverged" and a RuntimeWarning.

    Raises
    ------
    TypeError, ValueError
        For arguments outside these ranges.
    """
    start = _checks.encoder(B)
    activations.check(activation)
    dtype = _checks.floating(B.dtype if dtype is None else dtype)
    place = _checks.device(B.device if device is None else device, dtype)
    steps, record = _checks.count(steps, "steps", minimum=0), _checks.count(record, "record")
    noise = _checks.positive(noise, "noise", zero=True)
    generator = _checks.generator(seed, "noise")
    n, d = B.shape[-2:]
    usual = default_step_size(n / d, activation)
    if scales is not None:
        usual = (usual or 1.0) / float(_checks.scales(scales, start).max()) ** 2
    eta = usual if step_size is None else _checks.positive(step_size, "step_size")
    small = None if tolerance is None else _checks.positive(tolerance, "tolerance")
    keep_spectrum = _checks.steps(spectrum_at, "spectrum_at", steps)
    keep_gram = _checks.steps(gram_at, "gram_at", steps)

    B = encoders.normalize(start.detach().to(place, dtype, copy=True))
    batch = B.shape[:-2]
    D = None if scales is None else _checks.scales(scales, B)
    variance = 1.0 if D is None else float(D.double().square().mean())
    work = _Step(B, activation, D)
    search = D is not None and step_size is None and not noise
    scale: Any = eta * 2 * activation.c1**2
    before, best = (B.clone(), torch.full(batch, -torch.inf, dtype=dtype, device=place)) if search else (B, B)
    moving = torch.ones(batch, dtype=torch.bool, device=place)
    broken = torch.zeros_like(moving)
    times: list[int] = []
    risks: list[torch.Tensor] = []
    spectra: dict[int, np.ndarray] = {}
    grams: dict[int, np.ndarray] = {}
    interrupted = False
    bar = _progress.bar(steps, "step", progress)
    step = 0
    try:
        while True:
            explained = work.solve(B).sum(dim=-1)
            if search:
                worse = ~(explained >= best)
                if bool(worse.any()):
                    B.copy_(torch.where(worse.unsqueeze(-1).unsqueeze(-1), before, B))
                    explained = work.solve(B).sum(dim=-1)
                before.copy_(B)
                best = explained
                scale = torch.where(worse, 0.5, 1.2) * scale
            last = step == steps or not bool(moving.any())
            if last or step % record == 0:
                times.append(step)
                risks.append(variance - activation.c1**2 / d * explained)
                if callback is not None:
                    callback(step, risks[-1])
            if step in keep_spectrum:
                smaller = work.G if n <= d else B.mT @ B
                spectra[step] = torch.linalg.eigvalsh(smaller).cpu().numpy()
            if step in keep_gram:
                grams[step] = work.G.cpu().numpy().copy()
            if last:
                break
            work.differentiate(B)
            slope = torch.linalg.vector_norm(work.X, dim=(-2, -1)) / n**0.5
            if small is not None:
                moving &= 2 * activation.c1**2 * slope > small
            # Beyond this the step is rounding noise, and soon infinite.
            broken |= moving & ~(scale * slope < 0.1 / torch.finfo(dtype).eps)
            moving &= ~broken
            push = (scale * moving.to(dtype)).unsqueeze(-1).unsqueeze(-1)
            B.addcmul_(work.X, push, value=-1)
            if noise:
                kick = torch.randn(B.shape, generator=generator, dtype=dtype).to(place)
                B.add_(kick * moving.unsqueeze(-1).unsqueeze(-1), alpha=noise / d**0.5)
            B.div_(torch.linalg.vector_norm(B, dim=-1, keepdim=True))
            step += 1
            bar.update()
    except KeyboardInterrupt:
        interrupted = True
        B = encoders.normalize(before if search else B)
        explained = work.solve(B).sum(dim=-1)
        if step not in times[-1:]:
            times.append(step)
            risks.append(variance - activation.c1**2 / d * explained)
    finally:
        bar.close()

    X = work.X.mul_(activation.c1)
    del work  # before A takes its place
    risk = torch.stack(risks, dim=-1).double().cpu().numpy()
    bad = broken.cpu().numpy()
    if eta and not noise and not search:
        bad = bad | diverged(risk / variance, torch.finfo(dtype).eps)
    stopped = np.where(moving.cpu().numpy(), "interrupted" if interrupted else "steps", "tolerance")
    stopped = np.where(bad, "diverged", stopped)
    if bad.any():
        warnings.warn(
            f"step_size {eta:.4g} is too large: the risk does not go down "
            f"(the default for this rate and activation is {usual:.4g})",
            RuntimeWarning,
            stacklevel=2,
        )
    return Trajectory(
        "projected gradient descent",
        activation,
        n / d,
        np.array(times),
        risk,
        stopped if stopped.ndim else str(stopped),
        None if search else eta,
        A=X.mT.contiguous(),
        B=B,
        spectra=spectra,
        grams=grams,
        scales=None if D is None else D.double().cpu().numpy(),
    )


def tied_flow(
    B: torch.Tensor,
    activation: Activation = activations.sign,
    times: ArrayLike = 10.0,
    *,
    relative_tolerance: float = 1e-8,
    progress: bool = False,
) -> Trajectory:
    """Gradient flow with tied weights A = βBᵀ: rows on their spheres that repel each other.

    ḃ_i = −Σ_{j≠i} φ′(⟨b_i, b_j⟩)(b_j − ⟨b_i, b_j⟩b_i) with φ(ρ) = ρf(ρ): the flow on the spheres of half
    the energy Σ_{i≠j} φ(⟨b_i, b_j⟩), which the risk with the best β increases with. For n ≤ d and a
    start of full rank it converges to BBᵀ = I.

    Parameters
    ----------
    B : Tensor, shape (..., n, d)
        Start, rows of unit norm. Leading dimensions are problems that are solved one after another.
    activation : Activation
    times : float or array_like, shape (recorded,)
        Increasing times, the first of them 0; a number T > 0 stands for 201 times from 0 to T.
    relative_tolerance : float
        Local error allowed to the integrator (SciPy's DOP853), relative to the rows' unit length.
    progress : bool
        Show a progress bar over the problems.

    Returns
    -------
    Trajectory
        `risk` with the best β at each time, `path`, `log_det` (−∞ where rows are dependent, as always
        if n > d), and final `B` and `A` = βBᵀ, in double precision.

    Raises
    ------
    TypeError, ValueError
        For arguments outside these ranges.
    """
    start = _checks.encoder(B).detach()
    activations.check(activation)
    at = _checks.times(times, "times")
    tolerance = _checks.positive(relative_tolerance, "relative_tolerance")
    *batch, n, d = start.shape
    paths = []
    with _progress.bar(int(np.prod(batch)), "problem", progress) as bar:
        for one in encoders.normalize(start.double().cpu()).reshape(-1, n, d).numpy():
            paths.append(_integrate(one, activation, at, tolerance))
            bar.update()
    path = torch.from_numpy(np.stack(paths).reshape(*batch, len(at), n, d))
    G = path @ path.mT
    energy = (G * _kernel_matrix(path, activation)).sum(dim=(-2, -1))
    beta = activation.c1 * n / energy
    final = path[..., -1, :, :].to(start.device)
    return Trajectory(
        "weight-tied gradient flow",
        activation,
        n / d,
        at,
        (1 - activation.c1 * n / d * beta).numpy(),
        np.full(batch, "steps") if batch else "steps",
        A=beta[..., -1, None, None].to(start.device) * final.mT,
        B=final,
        path=path,
        log_det=np.full(energy.shape, -np.inf) if n > d else torch.logdet(G).numpy(),
    )


def _integrate(B: np.ndarray, activation: Activation, at: np.ndarray, tolerance: float) -> np.ndarray:
    n, d = B.shape

    def velocity(_: float, flat: np.ndarray) -> np.ndarray:
        rows = flat.reshape(n, d)
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        G = np.clip(rows @ rows.T, -1, 1)
        apart = np.abs(G) < 1  # parallel rows do not push each other along the sphere
        inside = np.where(apart, G, 0.0)
        slope = activation._kernel(inside) + inside * activation._kernel_derivative(inside)
        push = np.where(apart, slope, 0.0)
        np.fill_diagonal(push, 0.0)
        return ((push * G).sum(axis=1, keepdims=True) * rows - push @ rows).ravel()

    solution = solve_ivp(
        velocity, (at[0], at[-1]), B.ravel(), "DOP853", at, rtol=tolerance, atol=tolerance / 100
    )
    if not solution.success:
        raise RuntimeError(f"the flow could not be integrated to {tolerance}: {solution.message}")
    path = solution.y.T.reshape(-1, n, d)
    return path / np.linalg.norm(path, axis=-1, keepdims=True)


class _Step:
    """The buffers of one step, and what is done in them.

    After `solve`, `X` is f(BBᵀ)⁻¹BD and `G` is BBᵀ. After `differentiate`, `X` is the part along the
    spheres of (XXᵀ ∘ f′(BBᵀ))B − XD, the gradient up to 2c₁². Without scales D is I.
    """

    def __init__(self, B: torch.Tensor, activation: Activation, scales: torch.Tensor | None = None) -> None:
        *batch, n, _ = B.shape
        self.activation = activation
        self.scales = scales
        self.G = B.new_empty(*batch, n, n)
        self.F = B.new_empty(*batch, n, n)
        self.X = torch.empty_like(B, memory_format=torch.contiguous_format)
        self.scratch = torch.empty_like(self.X)
        self.info = torch.empty(batch, dtype=torch.int32, device=B.device)

    def solve(self, B: torch.Tensor) -> torch.Tensor:
        """Fill `G` and `X`; give the row sums of BD ∘ X."""
        G, F, X = self.G, self.F, self.X
        torch.matmul(B, B.mT, out=G)
        G.clamp_(-1, 1)
        self._kernel()
        # LAPACK stores by columns. Given transposed views, it works in place, without copies.
        L, Y = F.mT, self.scratch.view(*B.shape[:-2], *B.shape[:-3:-1]).mT
        torch.linalg.cholesky_ex(L, out=(L, self.info))
        target = B if self.scales is None else B * self.scales
        if bool(_is_sound(L, self.info, self.activation.second_moment).all()):
            torch.linalg.solve_triangular(L, target, upper=False, out=Y)
            torch.linalg.solve_triangular(L.mT, Y, upper=True, out=Y)
            X.copy_(Y)
        else:
            self._kernel()
            X.copy_(_solve(F, target))
        return self.along(target)

    def along(self, B: torch.Tensor) -> torch.Tensor:
        """The inner product of each row of `X` with that of `B`."""
        return torch.mul(self.X, B, out=self.scratch).sum(dim=-1)

    def _kernel(self) -> None:
        for G, F in _blocks(self.G, self.F):
            F.copy_(self.activation._kernel(G))
        self.F.diagonal(dim1=-2, dim2=-1).fill_(self.activation.second_moment)

    def differentiate(self, B: torch.Tensor) -> None:
        """Turn `X` into the gradient."""
        S = self.F
        torch.matmul(self.X, self.X.mT, out=S)
        for G, M in _blocks(self.G, S):
            # Where f′ = ∞ rows are parallel, and pull each other along themselves: not on the sphere.
            M.mul_(self.activation._kernel_derivative(G)).nan_to_num_(nan=0, posinf=0, neginf=0)
        S.diagonal(dim1=-2, dim2=-1).zero_()
        if self.scales is not None:
            self.X.mul_(self.scales)
        if B.ndim == 2:
            torch.addmm(self.X, S, B, beta=-1, out=self.X)
        else:
            self.X.neg_().add_(S @ B)
        self.X.addcmul_(B, self.along(B).unsqueeze(-1), value=-1)


def _blocks(*matrices: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Matching slices of contiguous tensors, for entrywise work within the cache."""
    flat = [m.view(-1) for m in matrices]
    size = _BLOCK.get(matrices[0].device.type, 2**24)
    return zip(*(f.split(size) for f in flat), strict=True)
