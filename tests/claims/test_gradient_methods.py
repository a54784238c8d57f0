"""Claims of part three, each by a route that does not use its formula."""

import numpy as np
import pytest
import torch

from aetutor import descent, encoders, limits, risk, sgd, sources, spectrum
from aetutor.activations import cubic, erf, from_function, hard_tanh, sign, sin, tanh

NONLINEAR = (sign, tanh, erf, hard_tanh, sin, cubic)


def velocity(B, seed):
    """A random direction in which every row can move on its sphere."""
    noise = torch.randn(B.shape, generator=torch.Generator().manual_seed(seed), dtype=B.dtype)
    return noise - (noise * B).sum(-1, keepdim=True) * B


def slope(value, B, direction, step=1e-5):
    """Central difference of `value` along great circles, from B in the given direction."""
    ahead = value(encoders.normalize(B + step * direction))
    back = value(encoders.normalize(B - step * direction))
    return (ahead - back) / (2 * step)


# Chapter 8


@pytest.mark.claim("lem-repulsion")
def test_rows_repel(claim):
    rho, step = np.linspace(-0.95, 0.95, 39), 1e-5
    for activation in NONLINEAR:
        # φ by Mehler's series from quadrature, not by the kernel's own formula.
        orders = np.arange(1, 1200, 2)
        squares = activation.hermite(orders) ** 2

        def energy(r, orders=orders, squares=squares):
            return r * (squares * np.power.outer(r, orders)).sum(axis=-1)

        name = activation.name
        force = (energy(rho + step) - energy(rho - step)) / (2 * step)
        claim.equal(f"{name}: the energy is even", energy(-rho), energy(rho), 1e-12)
        claim.at_least(
            f"{name}: its slope, by differences of Hermite's series",
            rho * force,
            2 * squares[0] * rho**2,
            1e-8,
        )


@pytest.mark.claim("thm-tied-flow")
def test_tied_flow(claim):
    times = np.linspace(0, 40, 801)
    for activation in NONLINEAR:
        for n, d in ((2, 2), (3, 5), (6, 6)):
            name = f"{activation.name}, n = {n}, d = {d}"
            start = encoders.gaussian(n, d, seed=n + d, batch=3)
            run = descent.tied_flow(start, activation, times)
            missing = -run.log_det
            rate = 4 * activation.c1**2 / np.e * np.exp(run.log_det[:, :1])
            claim.at_least(
                f"{name}: missing volume below the exponential, 3 random starts",
                missing[:, :1] * np.exp(-rate * times) - missing,
                0,
                1e-8,
            )
            claim.at_least(f"{name}: volume between recorded times", np.diff(run.log_det), 0, 1e-8)
            G = (run.path @ run.path.mT).numpy()
            distance = ((G - np.eye(n)) ** 2).sum(axis=(-2, -1))
            trapezoid = 4 * activation.c1**2 * (distance[:, 1:] + distance[:, :-1]) / 2 * np.diff(times)
            # The trapezoid rule on a convex, decaying integrand is too large by its own error.
            claim.at_least(
                f"{name}: volume gained against 4c₁²‖G − I‖², integrated",
                np.diff(run.log_det)[:, 100:].sum(axis=1),
                trapezoid[:, 100:].sum(axis=1),
                1e-3,
            )
            claim.equal(f"{name}: the Gram matrix at the end", G[:, -1], np.eye(n), 1e-3)
    run = descent.tied_flow(encoders.gaussian(4, 6, 0), sign, times)
    simulated = risk.monte_carlo(run.A, run.B, sign, sources.Gaussian(6), 200_000, seed=3)
    claim.equal(
        "the risk at the end, by simulation",
        simulated.mean,
        limits.isotropic(4 / 6, sign),
        4.5 * simulated.standard_error,
    )


@pytest.mark.claim("thm-tied-flow")
def test_derivative_of_the_volume(claim):
    """The derivative along the flow, from two nearby times, against the sum over pairs."""
    for activation in NONLINEAR:
        B = encoders.gaussian(4, 5, seed=1)
        run = descent.tied_flow(B, activation, [0, 1e-5, 2e-5], relative_tolerance=1e-12)
        by_difference = (run.log_det[2] - run.log_det[0]) / 2e-5
        G = run.path[1] @ run.path[1].T
        apart = G[~torch.eye(4, dtype=torch.bool)]
        force = activation.kernel(apart) + apart * activation.kernel_derivative(apart)
        claim.equal(
            f"{activation.name}: derivative of log det, by differences",
            by_difference,
            2 * float((force * apart).sum()),
            1e-4,
        )


@pytest.mark.claim("prop-rank-kept")
def test_rank_is_kept(claim):
    for activation in (tanh, erf, cubic):
        for n, rank, d in ((3, 2, 4), (5, 3, 6)):
            basis = encoders.orthogonal(rank, d, seed=n)
            mixing = torch.randn(n, rank, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
            run = descent.tied_flow(
                encoders.normalize(mixing @ basis), activation, np.linspace(0, 1, 11) / activation.c1**2
            )
            outside = run.path - run.path @ basis.T @ basis
            name = f"{activation.name}, n = {n}, rank {rank}"
            claim.equal(f"{name}: part of the rows outside the space of the start", outside, 0, 1e-6)
            values = torch.linalg.svdvals(run.path)[:, rank - 1]
            claim.at_least(f"{name}: smallest singular value that is not zero", values, 0.01)


# Chapter 9


@pytest.mark.claim("prop-gradient")
def test_gradient(claim):
    for activation in NONLINEAR:
        for n, d in ((3, 5), (5, 5), (7, 4)):
            B = encoders.gaussian(n, d, seed=n)
            F = risk.kernel_matrix(B, activation)
            X = torch.linalg.solve(F, B)
            S = (X @ X.T) * activation.kernel_derivative((B @ B.T).fill_diagonal_(0))
            gradient = 2 * activation.c1**2 * (S.fill_diagonal_(0) @ B - X)
            for seed in range(4):
                direction = velocity(B, seed)

                def best(rows, activation=activation):
                    return rows.shape[1] * risk.minimal(rows, activation)

                claim.equal(
                    f"{activation.name}, n = {n}, d = {d}: finite differences along great circles",
                    slope(best, B, direction),
                    (gradient * direction).sum(),
                    1e-6,
                )
            claim.equal(
                f"{activation.name}, n = {n}, d = {d}: the package's gradient is its projection",
                descent.gradient(B, activation),
                gradient - (gradient * B).sum(1, keepdim=True) * B,
                1e-10,
            )


@pytest.mark.claim("lem-normal")
def test_diagonal_is_normal(claim):
    for seed in range(5):
        B = encoders.gaussian(4, 6, seed)
        D = torch.diag(torch.arange(1.0, 5.0).double())
        direction = velocity(B, seed + 10)

        def along(rows, B=B, D=D):
            return (D @ B * rows).sum()

        claim.equal("⟨DB, B(t)⟩ does not move along great circles", slope(along, B, direction), 0, 1e-9)


@pytest.mark.claim("prop-rest")
def test_places_of_rest(claim):
    for activation in NONLINEAR:
        B = encoders.orthogonal(4, 6, seed=2)
        run = descent.projected_gradient(B, activation, steps=5)
        claim.equal(f"{activation.name}: orthonormal rows after five steps", run.B, B, 1e-12)
    for activation in (tanh, erf, cubic):
        for copies in (2, 3):
            B = encoders.orthogonal(4, 4, seed=1).repeat(copies, 1)
            F = risk.kernel_matrix(B, activation)
            X = torch.linalg.pinv(F, hermitian=True, rtol=1e-9) @ B
            S = (X @ X.T) * activation.kernel_derivative(B @ B.T)
            gradient = S.fill_diagonal_(0) @ B - X
            along = gradient - (gradient * B).sum(1, keepdim=True) * B
            claim.equal(f"{activation.name}, {copies} copies of a basis: the gradient", along, 0, 1e-9)


# Chapter 10


@pytest.mark.claim("prop-spectral-gradient")
def test_gradient_of_the_spectral_risk(claim):
    for g in (0.05, 0.57, 2.0):
        for n, d in ((4, 7), (6, 6), (9, 5)):
            B = encoders.gaussian(n, d, seed=n).requires_grad_()
            G = B @ B.T
            value = d - torch.trace(B.T @ torch.linalg.solve(G + g * torch.eye(n), B))
            (by_autograd,) = torch.autograd.grad(value, B)
            values, vectors = torch.linalg.eigh(G.detach())
            w = vectors @ torch.diag(2 * g / (values.clamp_min(0) + g) ** 2) @ vectors.T
            claim.equal(f"g = {g}, n = {n}, d = {d}: gradient, by autograd", by_autograd, -w @ B, 1e-7)
            delta = (w @ G).diagonal()
            mean = (values * 2 * g / (values + g) ** 2).sum() / values.sum()
            claim.equal(f"g = {g}, n = {n}, d = {d}: average of Δ", delta.mean(), mean, 1e-10)
            along = by_autograd - (by_autograd * B).sum(1, keepdim=True) * B
            claim.equal(f"g = {g}, n = {n}, d = {d}: the step", along, -(w - torch.diag(delta)) @ B, 1e-7)


def spectral_step(eigenvalues, eta, g):
    w = 2 * g / (eigenvalues + g) ** 2
    moved = eigenvalues * (1 + eta * (w - (eigenvalues * w).sum() / eigenvalues.sum())) ** 2
    return moved * eigenvalues.sum() / moved.sum()


@pytest.mark.claim("thm-flattening")
def test_the_spectrum_flattens(claim):
    generator = np.random.default_rng(0)
    for trial in range(300):
        k, g = int(generator.integers(2, 40)), 10 ** generator.uniform(-2, 1)
        eigenvalues = np.sort(10 ** generator.uniform(-4, 1, k))[::-1]
        m = eigenvalues.mean()
        eta = 2 * g * m / (g + m) * (1 if trial % 2 else generator.uniform(0, 1))
        after = spectral_step(eigenvalues, eta, g)
        claim.at_least("300 random spectra: order is kept", -np.diff(after), 0, 1e-12 * m)
        before_ratio, after_ratio = eigenvalues[:-1] / eigenvalues[1:], after[:-1] / after[1:]
        claim.at_least(
            "300 random spectra: ratios of neighbours shrink", before_ratio / after_ratio, 1, 1e-12
        )
        claim.at_least(
            "300 random spectra: Σλ/(λ + g) grows",
            (after / (after + g)).sum(),
            (eigenvalues / (eigenvalues + g)).sum(),
            1e-12 * k,
        )
        partial = np.cumsum(eigenvalues) - np.cumsum(after)
        claim.at_least("300 random spectra: majorised by the spectrum before", partial, 0, 1e-10 * m * k)
    for rate in (0.3, 1.0, 2.5):
        for activation in (sign, cubic):
            run = spectrum.learning_curve(rate, activation, 2000)
            claim.equal(
                f"{activation.name}, r = {rate}: risk after 2,000 steps from Marchenko–Pastur",
                run.risk[-1],
                limits.isotropic(rate, activation),
                1e-6,
            )
    for g in (0.1, 3.0):
        eigenvalues = np.array([1e-5, 0.3, 2.0, 2.5])
        for _ in range(3000):
            eigenvalues = spectral_step(eigenvalues, 2 * g * 1.2 / (g + 1.2), g)
            eigenvalues *= 1.2 / eigenvalues.mean()
        claim.equal(f"g = {g}: four eigenvalues after 3,000 steps", eigenvalues, 1.2, 1e-6)


@pytest.mark.claim("prop-replicator")
def test_replicator(claim):
    for rate in (0.5, 1.0, 2.0):
        for activation in (sign, tanh):
            g, m = activation.gain, max(1.0, rate)
            law = spectrum.MarchenkoPastur(rate)
            lam = law.quantile((np.arange(200) + 0.5) / 200)
            lam *= m / lam.mean()
            w = 2 * g / (lam + g) ** 2
            mean = (lam * w).sum() / lam.sum()
            name = f"{activation.name}, r = {rate}"
            speeds = [(spectral_step(lam, eta, g) - lam) / eta for eta in (1e-6, -1e-6)]
            claim.equal(
                f"{name}: the map's speed, by central differences",
                np.mean(speeds, axis=0),
                2 * lam * (w - mean),
                1e-5,
            )
            step = 1e-5
            run = spectrum.replicator(rate, activation, [0, step, 2 * step], spectrum=lam)
            variance = (lam * (w - mean) ** 2).sum() / lam.sum()
            claim.equal(
                f"{name}: the risk's speed, by differences of the integrated equation",
                (-3 * run.risk[0] + 4 * run.risk[1] - run.risk[2]) / (2 * step),
                -rate * variance,
                1e-3 * rate * variance,
            )


# Chapter 11


@pytest.mark.claim("prop-straight-through")
def test_straight_through(claim):
    """The gradient that training uses, by autograd on a million samples, against the formula."""
    n = d = 5
    B, samples, orders = encoders.gaussian(n, d, seed=2), 1_000_000, np.arange(1, 600, 2)
    A = risk.optimal_decoder(B, sign) + 0.05 * encoders.gaussian(d, n, seed=8)
    for tau in (0.4, 1.0):
        z = B.clone().requires_grad_()
        sigma, _ = sgd._trainable(sign, tau)
        totals, squares = torch.zeros_like(B), torch.zeros_like(B)
        for chunk in range(20):
            x = sources.Gaussian(d).sample(samples // 20, 100 + chunk, dtype=torch.float64)
            loss = (x - sigma(x @ z.mT) @ A.mT).square().sum() / len(x)
            (mean,) = torch.autograd.grad(loss, z)
            totals, squares = totals + mean / 20, squares + mean.square() / 20
        error = ((squares - totals.square()) / 19).sqrt()
        psi = from_function(lambda v, tau=tau: np.tanh(v / tau), "stand-in")
        for name, weights, c1 in (
            ("straight-through", psi.hermite(orders) * sign.hermite(orders), psi.c1),
            ("true", sign.hermite(orders) ** 2, sign.c1),
        ):
            G = (B @ B.T).fill_diagonal_(0)
            slope = torch.from_numpy((orders * weights * G.numpy()[..., None] ** (orders - 1)).sum(-1))
            formula = 2 * ((A.T @ A * slope).fill_diagonal_(0) @ B - c1 * A.T)
            formula = formula - (formula * B).sum(1, keepdim=True) * B
            if name == "true":
                C = B.clone().requires_grad_()
                value = d * risk.population(A, encoders.normalize(C), sign)
                (by_autograd,) = torch.autograd.grad(value, C)
                claim.equal("gradient of d·R: autograd", by_autograd, formula, 1e-4)
            else:
                along = totals - (totals * B).sum(1, keepdim=True) * B
                claim.equal(f"τ = {tau}: mean of a million samples", along, formula, 6 * error.max())
