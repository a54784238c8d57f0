"""The claims of part four, chapters 13 to 16."""

import numpy as np
import pytest
import torch
from scipy import optimize

from aetutor import activations, descent, encoders, limits, risk, sources
from aetutor.activations import cubic, erf, hard_tanh, sign, sin, tanh
from aetutor.experiments import SPECTRA

NONLINEAR = (sign, hard_tanh, tanh, erf, sin, cubic)


def random_scales(generator, d):
    return np.sort(np.exp(generator.normal(0, generator.choice([0.3, 1.0, 2.0]), d)))[::-1]


# Chapter 13


@pytest.mark.claim("prop-anisotropic-risk")
def test_risk_of_a_source_with_scales(claim):
    D = np.array([2.0, 1.0, 0.6, 0.1])
    for activation in NONLINEAR:
        B = encoders.gaussian(5, 4, seed=3)
        generator = torch.Generator().manual_seed(1)
        best = risk.optimal_decoder(B, activation, D)
        for name, A in (
            ("a random decoder", torch.randn(4, 5, generator=generator).double() / 3),
            ("the best", best),
        ):
            simulated = risk.monte_carlo(A, B, activation, sources.Gaussian(4, D), 200_000, seed=2, scales=D)
            claim.equal(
                f"{activation.name}: {name}, by simulation",
                risk.population(A, B, activation, D),
                simulated.mean,
                4.5 * simulated.standard_error,
            )
        worse = [
            risk.population(best + 0.01 * torch.randn(4, 5, generator=generator).double(), B, activation, D)
            for _ in range(20)
        ]
        claim.at_least(
            f"{activation.name}: 20 decoders nearby", worse, risk.population(best, B, activation, D)
        )


@pytest.mark.claim("lem-nuclear")
def test_price_of_a_matrix(claim):
    for n, d in ((3, 5), (5, 5), (9, 4), (2, 1)):
        generator = torch.Generator().manual_seed(n)
        B = encoders.gaussian(n, d, generator, batch=300)
        noise = torch.randn(300, d, n, generator=generator).double()
        stretch = torch.rand(300, d, 1, generator=generator).double()
        for what, A in (("random", noise), ("near MBᵀ", stretch * B.mT + 0.05 * noise)):
            nuclear = torch.linalg.matrix_norm(A @ B, "nuc")
            G = B @ B.mT
            for order in (1, 3, 5, 7):
                left = (A.mT @ A * G**order).sum(dim=(-2, -1))
                claim.at_least(
                    f"n = {n}, d = {d}: 300 decoders {what}, ℓ = {order}", left / nuclear**2, 1 / n, 1e-12
                )
            first = (A.mT @ A * G).sum(dim=(-2, -1))
            claim.equal(
                f"n = {n}, d = {d}: ℓ = 1 is the Frobenius norm",
                first,
                torch.linalg.matrix_norm(A @ B).square(),
                1e-9,
            )


@pytest.mark.claim("thm-water-filling")
def test_no_counter_example(claim):
    generator = np.random.default_rng(7)
    for trial in range(60):
        d = int(generator.integers(1, 7))
        n = int(generator.integers(1, 3 * d + 2))
        D, activation = random_scales(generator, d), NONLINEAR[trial % len(NONLINEAR)]
        bound = limits.anisotropic(D, n / d, activation).risk
        run = descent.projected_gradient(
            encoders.gaussian(n, d, trial, batch=8), activation, scales=D, steps=80
        )
        relative = run.risk / np.mean(D**2)
        claim.at_least(
            f"{activation.name}: 10 random sources, d ≤ 6, n ≤ 19, 8 descents from random starts each",
            relative,
            bound / np.mean(D**2),
            1e-12,
        )
    for d in (2, 5):
        for n in range(1, 2 * d):
            bound = limits.isotropic(n / d)
            claim.equal(
                f"d = {d}: equal scales give the isotropic bound",
                limits.anisotropic(np.ones(d), n / d).risk,
                bound,
                1e-12,
            )
    run = descent.projected_gradient(encoders.gaussian(1, 5, 0), scales=[2, 1, 1, 0.5, 0.1], steps=200)
    claim.equal("one row finds the strongest direction, exactly", run.risk[-1], run.limit, 1e-9)


@pytest.mark.claim("prop-water-level")
def test_water_level(claim):
    generator = np.random.default_rng(1)
    for g in (0.05, sign.gain, 3.0):
        for d in (2, 5, 9):
            D = random_scales(generator, d)
            for n in (1, d - 1, d, 2 * d + 1):
                m = min(n, d)
                found = limits.anisotropic(D, n / d, g)
                D_m, share = D[:m], float(n)

                def value(s, D_m=D_m, g=g):
                    return np.sum(D_m**2 / (1 + s / g))

                def slope(s, D_m=D_m, g=g):
                    return -(D_m**2) / g / (1 + s / g) ** 2

                best = optimize.minimize(
                    value,
                    np.full(m, n / m),
                    jac=slope,
                    bounds=[(0, n)] * m,
                    constraints={
                        "type": "eq",
                        "fun": lambda s, share=share: s.sum() - share,
                        "jac": lambda s: np.ones_like(s),
                    },
                    method="SLSQP",
                    options={"ftol": 1e-14, "maxiter": 1000},
                )
                scale = np.mean(D**2)
                name = f"g = {g:.3g}, d = {d}"
                by_search = (best.fun + np.sum(D[m:] ** 2)) / d / scale
                claim.equal(f"{name}: the minimum, by SLSQP", found.risk / scale, by_search, 1e-6)
                claim.equal(f"{name}: the rows add up", found.allocation.sum(), n, 1e-9)
                wet = found.allocation > 0
                claim.equal(
                    f"{name}: one level in every wet vessel",
                    (found.allocation[wet] + g) / D[wet],
                    found.level,
                    1e-9 * found.level,
                )
                k = found.active
                formula = (g / found.level * D[:k].sum() + np.sum(D[k:] ** 2)) / d
                claim.equal(f"{name}: the formula", found.risk / scale, formula / scale, 1e-12)


@pytest.mark.claim("prop-staircase")
def test_staircase(claim):
    generator = np.random.default_rng(2)
    for g in (0.05, sign.gain, 3.0):
        for d in (3, 8):
            D = random_scales(generator, d)
            first = np.array([g * np.sum(D[:k] / D[k] - 1) for k in range(d)])
            claim.at_least(f"g = {g:.3g}, d = {d}: they increase", np.diff(first), 0, 1e-12)
            for k in range(d):
                for n, active in ((first[k] * 1.001 + 1e-6, True), (first[k] * 0.999 - 1e-6, False)):
                    if n >= d:
                        there = limits.anisotropic(D, n / d, g).allocation[k] > 0
                        claim.equal(
                            f"g = {g:.3g}, d = {d}: in use just above n_k, not just below", there, active, 0.5
                        )
    # Two blocks, found by descent: the weak one is dry at r = 1/3, where n_k says 0.571.
    D = SPECTRA["two blocks"](60)
    for rate, dry in ((1 / 3, True), (1.0, False)):
        run = descent.projected_gradient(encoders.gaussian(round(60 * rate), 60, 0), scales=D, steps=100)
        rows = np.square(run.B.numpy()).sum(axis=0)[D < 1].mean()
        wanted = limits.anisotropic(D, rate).allocation[D < 1].mean()
        claim.equal(f"two blocks, r = {rate:.2f}: rows of a weak direction, trained", rows, wanted, 0.03)
        assert (wanted == 0) == dry


@pytest.mark.claim("thm-water-filled")
def test_water_filled_frames(claim):
    for activation in (sign, tanh):
        for name in ("two blocks", "three blocks", "linear"):
            for rate in (0.4, 1.0, 2.0):
                gaps = []
                for d in (60, 120, 240, 480):
                    D = SPECTRA[name](d)
                    D = D / np.sqrt(np.mean(D**2))
                    n = round(rate * d)
                    B = encoders.water_filled(n, D, 0, activation)
                    gaps.append(
                        float(risk.minimal(B, activation, D)) - limits.anisotropic(D, n / d, activation).risk
                    )
                what = f"{activation.name}, {name}, r = {rate}"
                claim.at_least(f"{what}: above the bound at d = 60 … 480", gaps, 0, 1e-12)
                claim.equal(f"{what}: risk − bound at d = 480", gaps[-1], 0, 0.002)
                claim.at_least(
                    f"{what}: from d = 60 to 480 the gap falls to a third", max(gaps[0], 1e-6) / 3, gaps[-1]
                )


# Chapter 15


@pytest.mark.claim("prop-scale-mixture")
def test_scale_mixture(claim):
    for spread in (0.3, 0.8):
        factor = np.exp(-(spread**2))
        for n, d in ((3, 6), (6, 6), (10, 6)):
            B = encoders.gaussian(n, d, n)
            source = sources.ScaleMixture(d, spread)
            A = np.exp(-(spread**2) / 2) * risk.optimal_decoder(B, sign)  # E s times that of the Gaussian
            simulated = risk.monte_carlo(A, B, sign, source, 400_000, seed=4)
            name = f"δ = {spread}, n = {n}, d = {d}"
            claim.equal(
                f"{name}: 1 − R, by simulation",
                1 - simulated.mean,
                factor * (1 - risk.minimal(B, sign)),
                5 * simulated.standard_error,
            )
            fitted = risk.least_squares_decoder(B, sign, source.sample(400_000, 5, dtype=torch.float64))
            claim.equal(f"{name}: the best decoder, by least squares", fitted, A, 0.03)


@pytest.mark.claim("prop-known-scale")
def test_known_scale(claim):
    for spread in (0.3, 0.8):
        d = 6
        B = encoders.orthogonal(4, d, 0)
        x = sources.ScaleMixture(d, spread).sample(400_000, 3, dtype=torch.float64)
        # The scale itself is drawn first; ‖x‖ is only an estimate of it. Draw anew with the scale at hand.
        generator = torch.Generator().manual_seed(8)
        g = torch.randn(400_000, d, generator=generator, dtype=torch.float64)
        s = torch.exp(spread * torch.randn(400_000, 1, generator=generator, dtype=torch.float64) - spread**2)
        A = risk.optimal_decoder(B, sign)
        errors = (s * g - s * risk.reconstruct(A, B, sign, s * g)).square().mean(dim=1)
        claim.equal(
            f"δ = {spread}: decoder told the scale, by simulation",
            errors.mean(),
            risk.minimal(B, sign),
            5 * errors.std() / 400_000**0.5,
        )
        claim.equal(f"δ = {spread}: variance of the mixture", x.square().mean(), 1, 0.05)


# Chapter 16


@pytest.mark.claim("prop-rotation")
def test_rotation(claim):
    for activation in (sign, tanh, activations.hard_tanh):
        for n, d in ((4, 6), (9, 6)):
            B, O = encoders.gaussian(n, d, 0), encoders.orthogonal(d, d, 1)
            name = f"{activation.name}, n = {n}, d = {d}"
            claim.equal(
                f"{name}: risk of BO", risk.minimal(B @ O, activation), risk.minimal(B, activation), 1e-12
            )
            claim.equal(
                f"{name}: best decoder of BO",
                risk.optimal_decoder(B @ O, activation),
                O.T @ risk.optimal_decoder(B, activation),
                1e-10,
            )
            D = np.repeat([2.0, 0.5], [2, 4])
            two = torch.block_diag(encoders.orthogonal(2, 2, 3), encoders.orthogonal(4, 4, 4))
            claim.equal(
                f"{name}: rotations within blocks of equal scales",
                risk.minimal(B @ two, activation, D),
                risk.minimal(B, activation, D),
                1e-12,
            )
            # Between the blocks it is not free: how much another rotation changes must show.
            changed = abs(float(risk.minimal(B @ O, activation, D) - risk.minimal(B, activation, D)))
            claim.at_least(f"{name}: a rotation between the blocks changes the risk", changed, 1e-3)


# Chapter 14


@pytest.mark.claim("prop-any-source")
def test_one_number_for_each_row(claim):
    generator = torch.Generator().manual_seed(0)
    skewed = torch.rand(5000, 6, generator=generator).double() ** 3
    for name, x in (
        ("uniform, to the third power", skewed),
        ("digits, whitened", sources.whiten(sources.digits(), 6).forward(sources.digits().data)),
        ("signs", sign(torch.randn(5000, 6, generator=generator).double())),
    ):
        x = x / x.square().mean().sqrt()
        for n in (2, 6):
            B = encoders.orthogonal(n, 6, n)
            beta = (x @ B.T).abs().mean(dim=0)
            claim.equal(
                f"{name}, n = {n}: the risk, sample by sample",
                risk.empirical(B.T * beta, B, sign, x),
                1 - beta.square().sum() / 6,
                1e-12,
            )
            others = [
                risk.empirical(B.T * (beta + 0.05 * torch.randn(n, generator=generator).double()), B, sign, x)
                for _ in range(10)
            ]
            claim.at_least(
                f"{name}, n = {n}: ten other weights", others, risk.empirical(B.T * beta, B, sign, x), 1e-12
            )
