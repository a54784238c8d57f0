"""Claims of part two, each by a route that does not use its formula."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from aetutor import encoders, limits, risk, sources
from aetutor.activations import cubic, erf, hard_tanh, sign, sin, tanh

NONLINEAR = (sign, tanh, erf, hard_tanh, sin, cubic)


def search(n, d, activation, starts=24, steps=400):
    """Best risk from random starts, encoder by Adam and decoder by its formula, and where it is."""
    B = encoders.gaussian(n, d, seed=100 * n + d, batch=starts).requires_grad_()
    optimizer = torch.optim.Adam([B], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        risk.minimal(encoders.normalize(B), activation).sum().backward()
        optimizer.step()
        schedule.step()
    B = encoders.normalize(B.detach())
    return risk.minimal(B, activation), B


@pytest.mark.claim("lem-trace-rank")
def test_trace_and_rank(claim):
    generator = torch.Generator().manual_seed(0)
    for rank in (1, 2, 4, 7):
        U, V = torch.randn(2, 500, 7, rank, generator=generator, dtype=torch.float64)
        V = U + V  # so that traces are not all small
        X = U @ V.mT
        trace = X.diagonal(dim1=-2, dim2=-1).sum(-1)
        claim.at_least(f"rank {rank}: 500 random matrices", rank * X.square().sum((-2, -1)), trace**2)
        Q = torch.linalg.qr(U).Q
        P = 3 * Q @ Q.mT
        trace = P.diagonal(dim1=-2, dim2=-1).sum(-1)
        claim.equal(
            f"rank {rank}: equality for 500 projections", rank * P.square().sum((-2, -1)), trace**2, 1e-10
        )


@pytest.mark.claim("lem-powers")
def test_reward_costs_punishment(claim):
    generator = torch.Generator().manual_seed(1)
    for n, d in ((3, 5), (5, 5), (9, 4), (6, 1)):
        B = encoders.gaussian(n, d, generator, batch=400)
        noise = torch.randn(400, d, n, generator=generator, dtype=torch.float64)
        scale = torch.linspace(0, 1, 400, dtype=torch.float64)[:, None, None]
        A = B.mT + scale * noise
        reward = (A * B.mT).sum((-2, -1)) ** 2
        for order in (1, 3, 5, 7):
            cost = (A.mT @ A * (B @ B.mT) ** order).sum((-2, -1))
            bound = reward / (min(n, d) if order == 1 else n)
            claim.at_least(f"n = {n}, d = {d}, power {order}: 400 random pairs", cost, bound, 1e-10)
            # The decoder that makes the ratio smallest, from the same quadratic form.
            power = (B @ B.mT) ** order
            if torch.linalg.matrix_rank(power).min() == n:
                tight = torch.linalg.solve(power, B).mT
                cost = (tight.mT @ tight * power).sum((-2, -1))
                reward_tight = (tight * B.mT).sum((-2, -1)) ** 2
                bound = reward_tight / (min(n, d) if order == 1 else n)
                claim.at_least(
                    f"n = {n}, d = {d}, power {order}: the decoder that comes closest, found by regression",
                    cost / bound,
                    1,
                    1e-8,
                )


@pytest.mark.claim("thm-low-rate")
def test_limit_below_rate_one(claim):
    for activation in NONLINEAR:
        for n, d in ((1, 1), (1, 3), (3, 4), (4, 4)):
            risks, B = search(n, d, activation)
            bound = 1 - n / d * activation.c1**2 / activation.second_moment
            name = f"{activation.name}, n = {n}, d = {d}"
            claim.at_least(f"{name}: 24 searches from random starts", risks, bound, 1e-12)
            claim.equal(f"{name}: the best of them", risks.min(), bound, 1e-9)
            best = B[risks.argmin()]
            claim.equal(f"{name}: its rows are orthonormal", best @ best.T, np.eye(n), 1e-3)
    B = encoders.orthogonal(5, 9, seed=0)
    for activation in NONLINEAR:
        A = activation.c1 / activation.second_moment * B.T
        claim.equal(
            f"{activation.name}: the stated pair, by simulation",
            *_simulated(A, B, activation, 1 - 5 / 9 * activation.c1**2 / activation.second_moment),
        )


def _simulated(A, B, activation, expected):
    simulated = risk.monte_carlo(A, B, activation, sources.Gaussian(B.shape[1]), 200_000, seed=7)
    return simulated.mean, expected, 4.5 * simulated.standard_error


@pytest.mark.claim("prop-welch")
def test_frame_bound(claim):
    for n, d in ((3, 2), (9, 4), (10, 10), (3, 7)):
        B = encoders.gaussian(n, d, seed=n, batch=500)
        potential = (B @ B.mT).square().sum((-2, -1))
        claim.at_least(f"n = {n}, d = {d}: 500 random encoders", potential, n**2 / d, 1e-10)
    angles = 2 * np.pi * torch.arange(5) / 5
    harmonic = torch.stack([angles.cos(), angles.sin()], dim=1).double()
    claim.equal(
        "the potential of five equally spaced vectors", (harmonic @ harmonic.T).square().sum(), 25 / 2, 1e-5
    )
    B = encoders.gaussian(9, 4, seed=3).requires_grad_()
    optimizer = torch.optim.LBFGS([B], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-16)

    def closure():
        optimizer.zero_grad()
        rows = encoders.normalize(B)
        value = (rows @ rows.mT).square().sum()
        value.backward()
        return value

    optimizer.step(closure)
    rows = encoders.normalize(B.detach())
    claim.equal(
        "n = 9, d = 4: L-BFGS on the potential ends at a tight frame", rows.T @ rows, 9 / 4 * np.eye(4), 1e-4
    )


@pytest.mark.claim("prop-tied")
def test_limit_for_tied_weights(claim):
    for activation in NONLINEAR:
        for n, d in ((2, 1), (3, 2), (8, 4), (24, 8)):
            candidates = [
                encoders.gaussian(n, d, seed=1, batch=200),
                encoders.tight_frame(n, d, seed=2, batch=200),
            ]
            B = torch.cat(candidates)
            betas = torch.linspace(-0.5, 1.5, 81, dtype=torch.float64)[:, None, None, None]
            risks = risk.population(betas * B.mT / activation.c1, B, activation)
            bound = 1 - n / (n + activation.gain * d)
            claim.at_least(
                f"{activation.name}, n = {n}, d = {d}: 400 encoders, 81 values of β", risks, bound, 1e-12
            )


@pytest.mark.claim("thm-high-rate")
def test_limit_above_rate_one(claim):
    for activation in NONLINEAR:
        for n, d in ((3, 2), (5, 3), (8, 4), (7, 1)):
            risks, _ = search(n, d, activation, steps=250)
            bound = 1 - n / (n + activation.gain * d)
            claim.at_least(
                f"{activation.name}, n = {n}, d = {d}: 24 searches, strictly above", risks, bound, -1e-6
            )
    # Both matrices free, without the formula for the best decoder.
    generator = torch.Generator().manual_seed(5)
    B = encoders.gaussian(6, 3, generator, batch=10).requires_grad_()
    A = torch.zeros(10, 3, 6, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([A, B], lr=0.03)
    for _ in range(1500):
        optimizer.zero_grad()
        value = risk.population(A, encoders.normalize(B), sign)
        value.sum().backward()
        optimizer.step()
    claim.at_least(
        "sign, n = 6, d = 3: Adam on both matrices, ten starts", value, limits.isotropic(2, sign), -1e-6
    )


@pytest.mark.claim("prop-mercedes")
def test_three_vectors(claim):
    angles = 2 * np.pi * torch.arange(3, dtype=torch.float64) / 3
    B = torch.stack([angles.cos(), angles.sin()], dim=1)
    expected = 1 - 9 / (4 * math.pi)
    A = risk.least_squares_decoder(
        B, sign, sources.Gaussian(2).sample(1_000_000, seed=0, dtype=torch.float64)
    )
    simulated = risk.monte_carlo(A, B, sign, sources.Gaussian(2), 2_000_000, seed=1)
    claim.equal(
        "decoder by regression, risk by simulation", simulated.mean, expected, 4.5 * simulated.standard_error
    )
    claim.equal("exact risk of the best decoder", risk.minimal(B, sign), expected, 1e-12)


@pytest.mark.claim("thm-haar")
def test_haar_frames(claim):
    for activation in (sign, tanh, hard_tanh):
        for rate in (1.0, 1.5, 3.0):
            limit = 1 - rate / (rate + activation.gain)
            gaps = []
            for d in (30, 120, 480):
                B = encoders.tight_frame(round(rate * d), d, seed=d)
                A = B.mT / (activation.c1 * (rate + activation.gain))
                gaps.append(float(risk.population(A, B, activation).mean()) - limit)
                claim.at_least(
                    f"{activation.name}, r = {rate}, d = {d}: the tied decoder is above the best",
                    risk.population(A, B, activation),
                    risk.minimal(B, activation),
                    1e-12,
                )
            claim.equal(
                f"{activation.name}, r = {rate}, d = 480: tied risk against the limit", gaps[-1], 0, 0.003
            )
            if rate > 1:
                slope = np.polyfit(np.log([30, 120, 480]), np.log(gaps), 1)[0]
                claim.equal(f"{activation.name}, r = {rate}: the gap's power of d", slope, -1, 0.25)
    # The two moments in the proof.
    n, d, draws = 30, 12, 4000
    B = torch.linalg.qr(torch.randn(draws, n, d, generator=torch.Generator().manual_seed(0))).Q.double()
    entries = B.square().sum(-1)[:, 0]
    claim.at_least(
        "p-value (Kolmogorov–Smirnov) of the Beta law in the proof",
        stats.kstest(entries.numpy(), stats.beta(d / 2, (n - d) / 2).cdf).pvalue,
        0.001,
    )


@pytest.mark.claim("prop-limit-shape")
def test_shape_of_the_limit(claim):
    rates = np.linspace(0.001, 6, 6000)
    gains = (0.01, 0.3, sign.gain, 2.0)
    for gain in gains:
        values = limits.isotropic(rates, gain)
        claim.at_least(f"g = {gain:.2f}: decreasing", -np.diff(values), 0)
        claim.at_least(f"g = {gain:.2f}: convex", np.diff(values, 2), 0, 1e-12)
        step = 1e-7
        left = (limits.isotropic(1, gain) - limits.isotropic(1 - step, gain)) / step
        right = (limits.isotropic(1 + step, gain) - limits.isotropic(1, gain)) / step
        claim.equal(f"g = {gain:.2f}: slope before rate one", left, -1 / (1 + gain), 1e-6)
        claim.equal(f"g = {gain:.2f}: slope after rate one", right, -gain / (1 + gain) ** 2, 1e-5)
        claim.equal(f"g = {gain:.2f}: r·R(r)/g at r = 10⁶", 1e6 * limits.isotropic(1e6, gain) / gain, 1, 1e-5)
    table = np.array([limits.isotropic(rates, gain) for gain in gains])
    claim.at_least("increasing in the gain", np.diff(table, axis=0), 0)
    claim.at_least(
        "the sign's limit is above Shannon's", limits.isotropic(rates, sign), limits.shannon(rates)
    )


@pytest.mark.claim("prop-rotation-signs")
def test_rotation_and_signs(claim):
    generator = torch.Generator().manual_seed(0)
    for d, name in ((2, "a unit vector"), (10, "a unit vector"), (10, "a random vector")):
        x = torch.zeros(d, dtype=torch.float64)
        x[0] = 2.0
        if name == "a random vector":
            x = torch.randn(d, generator=generator, dtype=torch.float64)
        O = encoders.orthogonal(d, d, generator, batch=40_000)
        z = torch.where(O @ x >= 0, 1.0, -1.0).double()
        direction = (O.mT @ z.unsqueeze(-1)).squeeze(-1)
        s = (direction @ x) / direction.square().sum(-1)  # the least-squares scale
        error = (x - s[:, None] * direction).square().sum(-1) / x.square().sum()
        formula = 1 - (O @ x).abs().sum(-1) ** 2 / (d * x.square().sum())
        claim.equal(f"{name}, d = {d}: error of each rotation", error, formula, 1e-12)
        claim.equal(
            f"{name}, d = {d}: mean over 40,000 rotations",
            error.mean(),
            (1 - 1 / d) * (1 - 2 / math.pi),
            4.5 * error.std() / 200,
        )
