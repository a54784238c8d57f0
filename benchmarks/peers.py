"""What one would write instead of `descent.projected_gradient`, and the clock that times it.

Every peer takes the start B, of shape (n, d), a `Watch` and the options that `benchmarks.tuning` found
best for it, and runs until the watch says that it is over.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aetutor import activations, encoders, risk

TUNED = Path(__file__).with_name("tuned.json")
C1 = math.sqrt(2 / math.pi)
USUAL = "Adam, usual settings"


@dataclass(frozen=True)
class Outcome:
    """How a run ended: at the "target", at its "cap", "broken", or "by itself", as a line search gives up.

    `steps` and `seconds` are those up to there, `risk` is the least that was seen.
    """

    ended: str
    steps: int
    seconds: float
    risk: float

    @property
    def reached(self) -> bool:
        return self.ended == "target"


class Watch:
    """The wall clock of one run to within `excess` of the limit, and what it has seen."""

    def __init__(self, limit: float, excess: float, cap: float = math.inf, most: float = math.inf) -> None:
        self.limit, self.target, self.cap, self.most = limit, (1 + excess) * limit, cap, most
        self.steps, self.least, self.ended = 0, math.inf, ""
        self._before, self._since = 0.0, time.perf_counter()

    @property
    def seconds(self) -> float:
        return self._before + time.perf_counter() - self._since

    def over(self, steps: int, risk: float) -> bool:
        """Whether to end here, with this risk after so many steps."""
        self.steps = steps
        # No encoder is below the limit: such a value comes from a matrix singular to working precision.
        if not (self.limit * (1 - 1e-4) < risk < math.inf):
            self.ended = "broken"
        else:
            self.least = min(self.least, risk)
            if risk <= self.target:
                self.ended = "target"
            elif self.seconds >= self.cap or steps >= self.most:
                self.ended = "cap"
        if self.ended:
            self._before, self._since = self.seconds, math.nan
        return bool(self.ended)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self._before = self.seconds
        yield
        self._since = time.perf_counter()

    def outcome(self) -> Outcome:
        seconds = self._before if self.ended else self.seconds
        return Outcome(self.ended or "by itself", self.steps, seconds, self.least)


Peer = Callable[..., None]


class _StraightThrough(torch.autograd.Function):
    """The sign, with the derivative of tanh(z/τ) in its place on the way back."""

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, tau: float) -> torch.Tensor:
        ctx.save_for_backward(z)
        ctx.tau = tau
        return torch.where(z >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        (z,) = ctx.saved_tensors
        return grads[0] * (1 - torch.tanh(z / ctx.tau) ** 2) / ctx.tau, None


def straight_through(
    B: torch.Tensor, watch: Watch, *, tau: float, batch: float, lr: float, decay: float, power: float
) -> None:
    """Adam on fresh samples in single precision, from the start's best decoder.

    So that one setting serves every d, `batch` is in units of d and `lr` in units of 1/√d, the size of
    a weight. The learning rate is lr·(1 + steps/decay)^−power. The risk is exact, and seen off the clock.
    """
    d = B.shape[-1]
    A = risk.optimal_decoder(B, activations.sign).float().requires_grad_()
    W = B.float().requires_grad_()
    optimizer = torch.optim.Adam([A, W], lr=lr / d**0.5)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 + step / decay) ** -power)
    generator = torch.Generator().manual_seed(0)
    look = 0
    for step in itertools.count():
        if step == look:
            with watch.paused(), torch.no_grad():
                normal = encoders.normalize(W.double())
                now = float(risk.population(A.double(), normal, activations.sign))
                look = step + max(5, step // 50)
            if watch.over(step, now):
                return
        x = torch.randn(round(batch * d), d, generator=generator)
        code = _StraightThrough.apply(x @ torch.nn.functional.normalize(W, dim=1).mT, tau)
        loss = (x - code @ A.mT).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def usual_adam(B: torch.Tensor, watch: Watch) -> None:
    """The same loop as one would first write it: batches of 256, a learning rate of 0.001, nothing tuned."""
    root = B.shape[-1] ** 0.5
    straight_through(B, watch, tau=1, batch=256 / root**2, lr=0.001 * root, decay=math.inf, power=1)


def squared_error(B: torch.Tensor) -> torch.Tensor:
    """d·R*(B) for the sign, as one types it in.

    PyTorch differentiates `solve` faster than a Cholesky factorisation: by up to 1.8 times here.
    """
    F = 2 / math.pi * torch.arcsin((B @ B.mT).clamp(-1 + 1e-12, 1 - 1e-12))
    return B.shape[-1] - C1**2 * (B * torch.linalg.solve(F, B)).sum()


def riemannian_optimizer(B: torch.Tensor, watch: Watch, *, optimizer: str, **options: Any) -> None:
    """An optimizer of geoopt, on the closed form in double precision."""
    geoopt: Any = importlib.import_module("geoopt")
    point = geoopt.ManifoldParameter(B.clone(), manifold=geoopt.Sphere())
    descent = getattr(geoopt.optim, optimizer)([point], **options)
    for step in itertools.count():
        descent.zero_grad()
        loss = squared_error(point)
        if watch.over(step, loss.item() / B.shape[-1]):
            return
        loss.backward()
        descent.step()


class _Over(Exception):
    """Leaves an optimizer that has no other way out."""


def manifold_optimizer(
    B: torch.Tensor, watch: Watch, *, optimizer: str, first_step: float | None = None, **options: Any
) -> None:
    """An optimizer of pymanopt, on the closed form. A step is a gradient.

    It has arrived with the first encoder that it evaluates below the target, be it a trial of the
    line search. Its own stopping rules are set aside.
    """
    pymanopt: Any = importlib.import_module("pymanopt")
    search: Any = importlib.import_module("pymanopt.optimizers.line_search")
    n, d = B.shape
    manifold = pymanopt.manifolds.Oblique(d, n)  # unit columns
    gradients = 0

    @pymanopt.function.pytorch(manifold)
    def cost(point: torch.Tensor) -> torch.Tensor:
        nonlocal gradients
        error = squared_error(point.mT)
        if watch.over(gradients, error.item() / d):
            raise _Over
        gradients += point.requires_grad
        return error

    if first_step is not None:
        options["line_searcher"] = search.AdaptiveLineSearcher(initial_step_size=first_step)
    endless = dict.fromkeys(("max_time", "max_iterations", "max_cost_evaluations"), 10**9)
    descent = getattr(pymanopt.optimizers, optimizer)(
        **options, **endless, min_gradient_norm=1e-10, min_step_size=1e-15, verbosity=0
    )
    with contextlib.suppress(_Over), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        descent.run(pymanopt.Problem(manifold, cost), initial_point=np.ascontiguousarray(B.mT.numpy()))


PEERS: dict[str, tuple[Peer, str]] = {
    USUAL: (usual_adam, "torch"),
    "straight-through Adam": (straight_through, "torch"),
    "geoopt Adam": (functools.partial(riemannian_optimizer, optimizer="RiemannianAdam"), "geoopt"),
    "geoopt SGD": (functools.partial(riemannian_optimizer, optimizer="RiemannianSGD"), "geoopt"),
    "pymanopt": (manifold_optimizer, "pymanopt"),
}
"""Each with the distribution that it needs."""


def tuned(name: str, rate: float, excess: float) -> dict[str, Any]:
    """The best options found for this peer and rate, at this target or else the nearest looser one.

    None for the peer that is not tuned.
    """
    if name == USUAL:
        return {}
    rows = json.loads(TUNED.read_text(encoding="utf-8"))
    found = [row for row in rows if (row["method"], row["rate"]) == (name, rate) and row["target"] >= excess]
    if not found:
        raise LookupError(
            f"no options for {name} at rate {rate}, target {excess}: run python -m benchmarks.tuning"
        )
    return dict(min(found, key=lambda row: row["target"])["options"])
