"""Training on samples: what one would do without a formula for the risk.

Shapes: B is (..., n, d) with rows of unit norm, A is (..., d, n); leading dimensions are
independent problems that are trained at once, on the same samples.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aetutor import _checks, _files, _progress, activations, encoders, risk
from aetutor.activations import Activation
from aetutor.sources import Gaussian, Images, Source
from aetutor.trajectory import Trajectory

__all__ = ["train"]

_SCHEDULES: dict[str, Callable[[float], float]] = {  # of the fraction of the steps that are done
    "constant": lambda done: 1.0,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "linear": lambda done: 1 - done,
}
_MAGIC = b"aetutor.sgd checkpoint 2\n"


def train(
    source: Source,
    rate: float,
    activation: Activation = activations.sign,
    *,
    scales: Any = None,
    B: torch.Tensor | None = None,
    steps: int = 10_000,
    batch_size: int = 256,
    optimizer: str = "adam",
    learning_rate: float | None = None,
    schedule: str = "constant",
    temperature: float | None = None,
    validation: Images | torch.Tensor | None = None,
    record: int = 100,
    seed: int | torch.Generator = 0,
    device: str | torch.device = "auto",
    dtype: torch.dtype = torch.float32,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1000,
    progress: bool = False,
    callback: Callable[[int, torch.Tensor], object] | None = None,
) -> Trajectory:
    """Train A and B on samples of a source.

    Each step draws a batch, moves A and B against the gradient of its mean ‖x − Aσ(Bx)‖² (for B, the
    part of it that is tangent to the spheres), and divides each row of B by its norm. That loss is d
    times the risk, as in :func:`aetutor.descent.projected_gradient`, so that the learning rate of
    "sgd" compares with the step size there. A starts at βBᵀ, with the β that is best for N(0, I).

    An activation that jumps has no useful gradient and is trained *straight through*: forward as it
    is, backward as if each jump of height Δ at b were (Δ/2) tanh((z − b)/τ).

    Parameters
    ----------
    source : Source
        Of dimension d. The defaults suit coordinates of about unit variance.
    rate : float
        n/d. The number of rows n is the whole number nearest to rate·d, and at least 1.
    activation : Activation
    scales : array_like or Tensor, shape (d,), optional
        Standard deviations of the coordinates, all greater than 0: the code is then σ(B(x/D)), so that B
        meets whitened coordinates, while A and the loss stay with x. Those of a Gaussian source, if not
        given.
    B : Tensor, shape (..., n, d), optional
        Start, rows of unit norm; :func:`aetutor.encoders.gaussian` with the seed, if not given. It
        is left as it is.
    steps : int
        How many to take, at least 0.
    batch_size : int
        Samples a step, m below.
    optimizer : {"adam", "sgd"}
        Adam (Kingma and Ba, 2015) or plain gradient steps.
    learning_rate : float, optional
        √m/(400n √f(1)) for "adam" and m/(400n f(1)) for "sgd" if not given, less where n is small; for
        "sgd" with scales, divided by the square of the largest. Noise then keeps the risk of a sign
        some 0.3 % above its least, if the schedule is constant; this share is about proportional to the
        learning rate.
    schedule : {"constant", "cosine", "linear"}
        What multiplies the learning rate: 1, or half a cosine or a line from 1 to 0.
    temperature : float, optional
        τ, for an activation that jumps; 1 if not given.
    validation : Images or Tensor, shape (samples, d), optional
        What the recorded risk is measured on. If not given, it is the exact population risk for a
        Gaussian source with its own scales, and the risk on 4,096 samples of their own for any other.
    record : int
        Keep the risk of every so many steps, and always of the start and the end.
    seed : int or torch.Generator
        Numbers are drawn on the CPU: the same on every device.
    device : str or torch.device
        Where to compute, "auto" for the fastest.
    dtype : torch.dtype
        Precision to compute in.
    checkpoint : path, optional
        File that keeps the state: written at the start, every `checkpoint_every` steps and at the
        end, and replaced in one go, so that it is whole at any moment. If it exists, the run goes on
        from it. So the same call, made again after whatever stopped it, ends with the numbers of a
        run without a stop, to the last bit on the same CPU; made after the end, it returns at once.
        With the constant schedule, `steps` may change from call to call.
    checkpoint_every : int
    progress : bool
        Show a progress bar.
    callback : callable, optional
        Called with the number of steps taken and the risk, shape (...), whenever it is recorded. If it
        raises KeyboardInterrupt the run ends as after Ctrl-C.

    Returns
    -------
    Trajectory
        Interrupted by Ctrl-C, it writes the checkpoint and returns what it has, and `stopped` says
        so. When numbers overflow, or the risk ends above that of the start and of A = 0, `stopped`
        is "diverged" and there is a RuntimeWarning. After an overflow, which ends the run for all
        problems, risks and weights are those up to the last record before it.

    Raises
    ------
    TypeError, ValueError
        For arguments outside these ranges; for a temperature with an activation that does not jump;
        for an activation that PyTorch cannot differentiate, unless it is piecewise constant; for a
        checkpoint that is damaged or belongs to another call, which is left as it is.
    OSError
        If the checkpoint cannot be written; the one before is left as it is.
    """
    if not isinstance(source, Source):
        raise TypeError(f"source must be an aetutor.sources.Source, got {type(source).__name__}")
    d = source.dimension
    n = _checks.rows(rate, d)
    if scales is None and isinstance(source, Gaussian):
        scales = source.scales
    exact = isinstance(source, Gaussian) and validation is None
    if scales is not None:
        scales = _checks.scales(scales, torch.empty(1, d, dtype=torch.float64), zero=False).cpu()
        exact = exact and getattr(source, "scales", None) == tuple(scales.tolist())
    sigma, tau = _trainable(activations.check(activation), temperature)
    steps, record = _checks.count(steps, "steps", minimum=0), _checks.count(record, "record")
    batch_size = _checks.count(batch_size, "batch_size")
    checkpoint_every = _checks.count(checkpoint_every, "checkpoint_every")
    _checks.choice(optimizer, "optimizer", ("adam", "sgd"))
    _checks.choice(schedule, "schedule", tuple(_SCHEDULES))
    usual = _default_learning_rate(optimizer, n, d, batch_size, activation.second_moment)
    if scales is not None and optimizer == "sgd":
        usual /= float(scales.max()) ** 2
    eta = usual if learning_rate is None else _checks.positive(learning_rate, "learning_rate")
    dtype = _checks.floating(dtype)
    place = _checks.device(device, dtype)
    start = encoders.gaussian(n, d, seed) if B is None else _checks.encoder(B).detach()
    if start.shape[-2:] != (n, d):
        raise ValueError(f"B must have shape (..., n, d) = (..., {n}, {d}), got {tuple(start.shape)}")
    start = encoders.normalize(start.to("cpu", torch.float64))
    held_out = None if exact else _held_out(source, validation, seed)
    generator = _checks.generator(seed, "training")
    path, call = None, {}
    if checkpoint is not None:
        path = _path(checkpoint)
        if isinstance(seed, torch.Generator):
            raise TypeError("seed must be an int for a checkpoint to tell whose it is, got a torch.Generator")
        sample = source.data if isinstance(source, Images) else source.sample(256, 0)
        call = {
            "source": f"{type(source).__name__} of dimension {d} ({_fingerprint(sample)})",
            "rate": f"{n}/{d}",
            "activation": f"{activation.name} (c1 {activation.c1:.6g}, f(1) {activation.second_moment:.6g})",
            "seed": str(seed),
            "dtype": str(dtype),
            "B": "not given" if B is None else _fingerprint(start),
            "scales": "not given" if scales is None else _fingerprint(scales),
            "batch_size": str(batch_size),
            "optimizer": optimizer,
            "learning_rate": str(eta),
            "schedule": schedule,
            "steps": "any" if schedule == "constant" else str(steps),
            "temperature": str(tau),
            "validation": "not given" if held_out is None else _fingerprint(held_out),
            "record": str(record),
        }
    if path and path.exists():
        run = _load(path, call, place)
        if run.state.step > steps:
            raise ValueError(
                f"steps must be at least the {run.state.step} that checkpoint {str(path)!r} has taken, "
                f"got {steps}"
            )
        generator.set_state(run.state.random)
        finished = run.overflowed or run.state.step == steps
    else:
        A, B = _tied_decoder(start, activation, scales).to(place, dtype), start.to(place, dtype)
        moments = tuple(torch.zeros_like(w) for w in (A, B, A, B)) if optimizer == "adam" else ()
        run = _Run(_State(0, A, B, moments, generator.get_state()), (A, B))
        finished = False
    if held_out is not None:
        held_out = held_out.to(place, dtype)
    D = None if scales is None else scales.to(place, dtype)

    saved, interrupted = -1, False
    bar = _progress.bar(steps, "step", progress, start=run.state.step)
    try:
        while not run.overflowed:
            state = run.state
            if state.step == record * len(run.risks):
                run.keep(_risk(state, activation, held_out, scales))
                if callback is not None and not run.overflowed:
                    callback(state.step, run.risks[-1])
            if run.overflowed or state.step == steps:
                break
            if path and (saved < 0 or (state.step % checkpoint_every == 0 and state.step > saved)):
                _save(path, call, run)
                saved = state.step
            x = source.sample(batch_size, generator, dtype=dtype, device=place)
            A, B = state.A.detach().requires_grad_(), state.B.detach().requires_grad_()
            z = x if D is None else x / D
            loss = (x - sigma(z @ B.mT) @ A.mT).square().sum() / batch_size
            slopes = torch.autograd.grad(loss, (A, B))
            run.state = state.moved(slopes, eta * _SCHEDULES[schedule](state.step / steps), generator)
            bar.update()
    except KeyboardInterrupt:
        interrupted = run.state.step < steps
    finally:
        bar.close()

    last = None
    if not run.overflowed and run.state.step != record * (len(run.risks) - 1):
        last = _risk(run.state, activation, held_out, scales)
        run.overflowed = not bool(last.isfinite().all())
    if path and not finished:
        _save(path, call, run)
    times, values = record * np.arange(len(run.risks)), run.risks
    if last is not None and not run.overflowed:
        times, values = np.append(times, run.state.step), [*values, last]
    curve = torch.stack(values, dim=-1).numpy()
    variance = 1.0 if scales is None else float(scales.square().mean())
    nothing = variance if held_out is None else float(held_out.square().mean())  # the risk of A = 0
    diverged = run.overflowed | (curve[..., -1] > np.maximum(curve[..., 0], nothing))
    stopped = np.where(diverged, "diverged", "interrupted" if interrupted else "steps")
    if diverged.any():
        warnings.warn(
            f"learning_rate {eta:.4g} is too large: "
            f"{'numbers overflow' if run.overflowed else 'the risk rises'} (the default is {usual:.4g})",
            RuntimeWarning,
            stacklevel=2,
        )
    A, B = run.recorded if run.overflowed else (run.state.A, run.state.B)
    return Trajectory(
        "training on samples",
        activation,
        n / d,
        times,
        curve,
        stopped if stopped.ndim else str(stopped),
        eta,
        A=A,
        B=B,
        scales=None if scales is None else scales.numpy(),
    )


@dataclass(frozen=True)
class _State:
    """All that the next steps depend on.

    A step makes a new one of new tensors, and one assignment takes it over: wherever Ctrl-C strikes,
    the state is that of a whole number of steps. The optimizers of PyTorch, which change weights
    and moments in place one by one, could not promise this.
    """

    step: int
    A: torch.Tensor
    B: torch.Tensor
    moments: tuple[torch.Tensor, ...]  # for Adam, the first of A and B, then the second
    random: torch.Tensor  # state of the generator

    @torch.no_grad()
    def moved(
        self, slopes: tuple[torch.Tensor, ...], learning_rate: float, generator: torch.Generator
    ) -> _State:
        """The state after a step against these gradients of A and B."""
        weights, moments = (self.A, self.B), self.moments
        # Along itself a row cannot move. Adam, which scales entry by entry, would make a sideways
        # step of that part, and come to rest where the risk is not least.
        radial = torch.linalg.vecdot(slopes[1], self.B).unsqueeze(-1)
        slopes = (slopes[0], torch.addcmul(slopes[1], radial, self.B, value=-1))
        if moments:
            first = [torch.lerp(m, g, 0.1) for m, g in zip(moments[:2], slopes, strict=True)]
            second = [torch.lerp(v, g * g, 0.001) for v, g in zip(moments[2:], slopes, strict=True)]
            moments = (*first, *second)
            # Both averages start at 0, which these divisors make up for.
            one, two = 1 - 0.9 ** (self.step + 1), 1 - 0.999 ** (self.step + 1)
            scales = [v.div(two).sqrt_().add_(1e-8) for v in second]
            A, B = map(partial(torch.addcdiv, value=-learning_rate / one), weights, first, scales)
        else:
            A, B = map(partial(torch.sub, alpha=learning_rate), weights, slopes)
        B /= torch.linalg.vector_norm(B, dim=-1, keepdim=True)
        return _State(self.step + 1, A, B, moments, generator.get_state())


@dataclass
class _Run:
    """Where a run is and what it has recorded, at the multiples of `record`."""

    state: _State
    recorded: tuple[torch.Tensor, torch.Tensor]  # A and B at the last record
    risks: list[torch.Tensor] = field(default_factory=list)
    overflowed: bool = False

    def keep(self, value: torch.Tensor) -> None:
        """Record the risk of the present weights, unless it shows that numbers have overflowed."""
        if bool(value.isfinite().all()):
            self.recorded = (self.state.A, self.state.B)
            self.risks.append(value)
        elif self.risks:
            self.overflowed = True
        else:
            raise ValueError(
                "source must have finite squares in this dtype, got an infinite risk at the start"
            )


@torch.no_grad()
def _risk(
    state: _State, activation: Activation, held_out: torch.Tensor | None, scales: torch.Tensor | None
) -> torch.Tensor:
    """Risk of each problem in double precision on the CPU; NaN for all where a weight is not finite."""
    A, B = state.A, state.B
    if not bool(A.isfinite().all() & B.isfinite().all()):
        return torch.full(B.shape[:-2], math.nan, dtype=torch.float64)
    if held_out is None:
        place = "cpu" if A.device.type == "mps" else A.device  # which has no double precision
        B = encoders.normalize(B.to(place, torch.float64))
        return risk.population(A.to(place, torch.float64), B, activation, scales).cpu()
    rows = max(1, 2**22 // (B.shape[:-2].numel() * sum(B.shape[-2:])))
    parts = [
        risk.empirical(A, B, activation, x, scales).cpu().double() * len(x) for x in held_out.split(rows)
    ]
    return torch.stack(parts).sum(dim=0) / len(held_out)


class _Through(torch.autograd.Function):
    """σ(z) as it came, with the slope of the softened jumps added on the way back."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, z: torch.Tensor, jumps: Any, tau: float) -> torch.Tensor:
        ctx.save_for_backward(z)
        ctx.jumps, ctx.tau = jumps, tau
        return value.view_as(value)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> Any:
        (z,) = ctx.saved_tensors
        soft = sum(h / ctx.tau * (1 - torch.tanh((z - b) / ctx.tau).square_()) for b, h in ctx.jumps)
        return slope, slope * soft, None, None


def _trainable(
    activation: Activation, temperature: float | None
) -> tuple[Callable[[Any], Any], float | None]:
    """σ in a form that gradients go through, and τ if it is softened."""
    jumps = [(b, height / 2) for b, height in activation.jumps]
    if temperature is not None and not jumps:
        raise ValueError(
            f"temperature must be left out for {activation!r}, which does not jump, got {temperature!r}"
        )
    try:
        smooth = activation(torch.linspace(-3, 3, 8, requires_grad=True)).requires_grad
    except (TypeError, RuntimeError):
        smooth = False
    if not (smooth or (jumps and _piecewise_constant(activation))):
        raise TypeError(
            f"activation must be one that PyTorch can differentiate, or piecewise constant, got "
            f"{activation!r}; write its function with torch functions"
        )
    if not jumps:
        return activation, None
    tau = 1.0 if temperature is None else _checks.positive(temperature, "temperature")

    def straight_through(z: torch.Tensor) -> torch.Tensor:
        return _Through.apply(activation(z if smooth else z.detach()), z, jumps, tau)

    return straight_through, tau


def _piecewise_constant(activation: Activation) -> bool:
    x = np.linspace(-10, 10, 4001) + 1e-4
    values, piece = activation._values(x), np.searchsorted(np.sort(activation.breakpoints), x)
    return all(np.ptp(values[piece == k]) == 0 for k in np.unique(piece))


def _default_learning_rate(optimizer: str, n: int, d: int, batch_size: int, second_moment: float) -> float:
    """As the docstring of `train` says; capped where few rows or large batches leave no noise to fear."""
    if optimizer == "adam":
        return min(math.sqrt(batch_size / second_moment) / (400 * n), 0.05 / math.sqrt(d))
    return min(batch_size / (400 * n), 0.1 / max(1.0, n / d)) / second_moment


def _tied_decoder(B: torch.Tensor, activation: Activation, scales: torch.Tensor | None) -> torch.Tensor:
    """βDBᵀ with the β of least population risk, c₁‖BD‖² / Tr(BD²Bᵀ f(BBᵀ)); D = I without scales."""
    target = B if scales is None else B * scales
    weight = (target @ target.mT * risk.kernel_matrix(B, activation)).sum(dim=(-2, -1), keepdim=True)
    norm = target.square().sum(dim=(-2, -1), keepdim=True)
    return (activation.c1 * norm / weight * target.mT).contiguous()


def _held_out(source: Source, validation: Any, seed: int | torch.Generator) -> torch.Tensor | None:
    if validation is None:
        return source.sample(4096, _checks.generator(seed, "validation"), dtype=torch.float64)
    data = validation.data if isinstance(validation, Images) else validation
    data = _checks.tensor(data, "validation")
    if data.ndim != 2 or data.shape[1] != source.dimension:
        raise ValueError(
            f"validation must have shape (samples, d) with d = {source.dimension}, got {tuple(data.shape)}"
        )
    return data


# Checkpoints


def _path(checkpoint: Any) -> Path:
    if not isinstance(checkpoint, (str, os.PathLike)):
        raise TypeError(f"checkpoint must be a path, got {checkpoint!r}")
    path = Path(checkpoint).resolve()
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"checkpoint must be a file in a folder that exists, got {str(checkpoint)!r}")
    return path


def _fingerprint(data: torch.Tensor) -> str:
    digest = hashlib.sha256(data.detach().cpu().contiguous().numpy().data).hexdigest()
    return f"shape {tuple(data.shape)}, sha256 {digest[:16]}"


def _save(path: Path, call: dict[str, str], run: _Run) -> None:
    """Write beside the file and put in its place: it is the old one or the new one, never a part."""
    content = {
        "call": call,
        "step": run.state.step,
        "A": run.state.A,
        "B": run.state.B,
        "moments": list(run.state.moments),
        "random": run.state.random,
        "recorded": list(run.recorded),
        "risks": torch.stack(run.risks) if run.risks else torch.empty(0),
        "overflowed": run.overflowed,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getbuffer()
    _files.replace(path, _MAGIC, hashlib.sha256(data).hexdigest() + "\n", data)


def _load(path: Path, call: dict[str, str], place: torch.device) -> _Run:
    """The run that a checkpoint holds, or a ValueError if it is not whole or not of this call."""
    whole = path.read_bytes()
    if not whole.startswith(_MAGIC):
        raise ValueError(f"checkpoint must be a file that aetutor.sgd has written, got {str(path)!r}")
    digest, _, data = whole[len(_MAGIC) :].partition(b"\n")
    if hashlib.sha256(data).hexdigest().encode() != digest:
        raise ValueError(f"checkpoint {str(path)!r} is damaged: its content does not have its checksum")
    content = torch.load(io.BytesIO(data), map_location=place, weights_only=True)
    for name, now in call.items():
        was = content["call"].get(name)
        if was != now:
            raise ValueError(
                f"checkpoint {str(path)!r} is of another call: {name} was {was}, and is {now} now"
            )
    A, B, moments = content["A"], content["B"], tuple(content["moments"])
    state = _State(content["step"], A, B, moments, content["random"].cpu())
    return _Run(state, tuple(content["recorded"]), list(content["risks"].cpu()), content["overflowed"])
