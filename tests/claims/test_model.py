"""Claims of part one, each by a route that does not use its formula."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats

from aetutor import activations, encoders, limits, risk, sources
from aetutor.activations import cubic, erf, hard_tanh, identity, sign, sin, tanh

SHIPPED = (sign, identity, tanh, erf, hard_tanh, sin, cubic)


def hermite(order, x):
    """Orthonormal Hermite polynomial from NumPy's unnormalised one."""
    unit = np.zeros(order + 1)
    unit[order] = 1
    return np.polynomial.hermite_e.hermeval(x, unit) / math.sqrt(math.factorial(order))


def gauss(function, *breaks):
    """E function(g) by adaptive quadrature."""
    edges = sorted({-12.0, *breaks, 12.0})
    return sum(
        integrate.quad(lambda x: function(x) * stats.norm.pdf(x), a, b, epsabs=1e-13, limit=200)[0]
        for a, b in zip(edges, edges[1:], strict=False)
    )


@pytest.mark.claim("thm-shannon")
def test_distortion_rate_function(claim):
    # Blahut's algorithm on a fine grid knows nothing of the formula.
    x = np.linspace(-6, 6, 481)
    p = stats.norm.pdf(x)
    p /= p.sum()
    cost = (x[:, None] - x[None, :]) ** 2
    rates, distortions = [], []
    for slope in (0.7, 1.0, 2.0, 4.0):
        q = np.full(x.size, 1 / x.size)
        weight = np.exp(-slope * cost)
        for _ in range(1500):
            channel = weight * q
            channel /= channel.sum(axis=1, keepdims=True)
            q = p @ channel
        ratio = np.where(channel > 0, channel, 1) / np.where(channel > 0, q, 1)
        rates.append(float(np.sum(p[:, None] * channel * np.log2(ratio))))
        distortions.append(float(np.sum(p[:, None] * channel * cost)))
    claim.equal(
        "Blahut's algorithm on a grid of 481 points, four slopes", limits.shannon(rates), distortions, 2e-3
    )
    levels = np.arange(1, 65)
    claim.at_least(
        "no quantiser of 1 to 64 levels is below it",
        limits.lloyd_max(levels),
        limits.shannon(np.log2(levels)),
    )


@pytest.mark.claim("prop-one-bit")
def test_best_one_bit_quantiser(claim):
    def distortion(v):
        threshold, low, high = v
        return gauss(lambda x: (x - (high if x > threshold else low)) ** 2, threshold)

    rng = np.random.default_rng(0)
    best = min(
        (optimize.minimize(distortion, rng.normal(size=3), method="Nelder-Mead", tol=1e-9) for _ in range(4)),
        key=lambda result: result.fun,
    )
    claim.equal("threshold and values free, simplex search from random starts", best.fun, 1 - 2 / np.pi, 1e-8)
    claim.equal("where the search ends", best.x, [0, -math.sqrt(2 / np.pi), math.sqrt(2 / np.pi)], 1e-3)


@pytest.mark.claim("prop-lloyd")
def test_lloyds_conditions(claim):
    rng = np.random.default_rng(1)
    for levels in (3, 4, 5):

        def distortion(points):
            points = np.sort(points)
            cuts = (points[1:] + points[:-1]) / 2
            return gauss(lambda x: np.min((x - points) ** 2), *cuts)

        start = np.sort(rng.normal(size=levels))
        found = optimize.minimize(distortion, start, method="BFGS", options={"gtol": 1e-7})
        quantizer = limits.lloyd_max_quantizer(levels)
        claim.equal(
            f"{levels} levels: values found by minimising the distortion itself",
            np.sort(found.x),
            quantizer.points,
            1e-4,
        )
        claim.equal(f"{levels} levels: its distortion", found.fun, limits.lloyd_max(levels), 1e-8)
    cuts, points = quantizer.thresholds, quantizer.points
    edges = [-np.inf, *cuts, np.inf]
    means = [stats.truncnorm.mean(a, b) for a, b in zip(edges, edges[1:], strict=False)]
    claim.equal("5 levels: values are the cells' means (SciPy's truncated normal)", points, means, 1e-9)
    second = gauss(lambda x: float(quantizer(x)) ** 2, *cuts)
    claim.equal("5 levels: distortion is E g² − E Q(g)²", limits.lloyd_max(levels), 1 - second, 1e-10)


@pytest.mark.claim("prop-norm")
def test_one_length(claim):
    d, count = 50, 200_000
    lengths = sources.Gaussian(d).sample(count, seed=0).double().square().mean(dim=1)
    claim.equal("mean over 200,000 samples, d = 50", lengths.mean(), 1, 4 * math.sqrt(2 / d / count))
    claim.equal("d · variance over the same", d * lengths.var(), 2, 4 * 2 * math.sqrt(2.5 / count))


@pytest.mark.claim("prop-orthonormal")
def test_orthonormality(claim):
    inner = [[gauss(lambda x, j=j, k=k: hermite(j, x) * hermite(k, x)) for j in range(9)] for k in range(9)]
    claim.equal("adaptive quadrature, degrees 0 to 8", inner, np.eye(9), 1e-9)


@pytest.mark.claim("thm-mehler")
def test_mehler(claim):
    x, w = np.polynomial.hermite_e.hermegauss(24)
    w = w / w.sum()
    for rho in (-0.9, -0.3, 0.5, 0.99, 1.0):
        y = rho * x[:, None] + math.sqrt(1 - rho**2) * x[None, :]
        table = [
            [np.sum(w[:, None] * w * hermite(j, x)[:, None] * hermite(k, y)) for k in range(8)]
            for j in range(8)
        ]
        claim.equal(
            f"ρ = {rho}: two-dimensional Gauss–Hermite quadrature, degrees to 7",
            table,
            np.diag(rho ** np.arange(8.0)),
            1e-9,
        )


@pytest.mark.claim("prop-kernel")
def test_kernel(claim):
    rng = np.random.default_rng(2)
    g, noise = rng.standard_normal((2, 2_000_000))
    for activation in SHIPPED:
        for rho in (0.4, 0.95):
            products = activation(g) * activation(rho * g + math.sqrt(1 - rho**2) * noise)
            error = 4.5 * products.std() / math.sqrt(products.size)
            claim.equal(
                f"{activation.name}, ρ = {rho}: 2 million pairs",
                activation.kernel(rho),
                products.mean(),
                error,
            )
        rho = np.linspace(-1, 1, 2001)
        f = activation.kernel(rho)
        claim.equal(f"{activation.name}: odd", f, -f[::-1], 1e-12)
        claim.at_least(f"{activation.name}: increasing", np.diff(f), 0)
        claim.at_least(f"{activation.name}: ρf(ρ) ≥ c₁²ρ²", rho * f, activation.c1**2 * rho**2, 1e-12)
        claim.at_least(
            f"{activation.name}: f(1)ρ² ≥ ρf(ρ)", activation.second_moment * rho**2, rho * f, 1e-12
        )
        orders = np.arange(1, 400, 2)
        series = (activation.hermite(orders) ** 2 * 0.8**orders).sum()
        claim.equal(
            f"{activation.name}, ρ = 0.8: 200 terms of the series in ρ", activation.kernel(0.8), series, 1e-11
        )


@pytest.mark.claim("prop-arcsine")
def test_arcsine_law(claim):
    for rho in (-0.8, -0.1, 0.3, 0.7, 0.999):
        quadrant = stats.multivariate_normal(cov=[[1, rho], [rho, 1]]).cdf([0, 0])
        claim.equal(
            f"ρ = {rho}: SciPy's bivariate normal distribution function",
            sign.kernel(rho),
            4 * quadrant - 1,
            1e-6,
        )


@pytest.mark.claim("prop-gain")
def test_gain(claim):
    for activation in SHIPPED:
        breaks = activation.breakpoints

        def error(a, activation=activation, breaks=breaks):
            return gauss(lambda x: (x - a * activation(x)) ** 2, *breaks)

        least = optimize.minimize_scalar(error, bracket=(0.1, 1.0), tol=1e-10).fun
        g = activation.gain
        claim.equal(f"{activation.name}: least error of a linear guess", least, g / (1 + g), 1e-9)
    tripled = activations.from_function(lambda x: 3 * np.tanh(x), "3 tanh")
    claim.equal("the gain of 3 tanh is that of tanh", tripled.gain, tanh.gain, 1e-12)
    claim.at_least("gain ≥ 0 for every shipped activation", [a.gain for a in SHIPPED], 0)


@pytest.mark.claim("lem-regression")
def test_code_sees_its_own_direction(claim):
    x = sources.Gaussian(8).sample(1_000_000, seed=1).double()
    b = encoders.gaussian(1, 8, seed=2)[0]
    for activation in (sign, tanh, cubic):
        products = activation(x @ b)[:, None] * x
        error = 4.5 * products.std(dim=0) / 1000
        claim.equal(
            f"{activation.name}: a million samples, d = 8", products.mean(dim=0), activation.c1 * b, error
        )


@pytest.mark.claim("thm-population-risk")
def test_population_risk(claim):
    generator = torch.Generator().manual_seed(3)
    for n, d in ((3, 7), (7, 7), (12, 5)):
        B = encoders.gaussian(n, d, generator)
        A = torch.randn(d, n, generator=generator, dtype=torch.float64) / n
        for activation in SHIPPED:
            simulated = risk.monte_carlo(A, B, activation, sources.Gaussian(d), 100_000, generator)
            claim.equal(
                f"{activation.name}, n = {n}, d = {d}: 100,000 samples",
                risk.population(A, B, activation),
                simulated.mean,
                4.5 * simulated.standard_error,
            )


@pytest.mark.claim("prop-best-decoder")
def test_best_decoder(claim):
    B = encoders.gaussian(7, 5, seed=4)
    for activation in (sign, tanh, cubic):
        A = torch.zeros(5, 7, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([A], lr=1, max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-16)

        def closure(A=A, optimizer=optimizer, activation=activation):
            optimizer.zero_grad()
            value = risk.population(A, B, activation)
            value.backward()
            return value

        optimizer.step(closure)
        best = risk.optimal_decoder(B, activation)
        claim.equal(f"{activation.name}: L-BFGS on the risk, from zero", A, best, 1e-5)
        claim.equal(
            f"{activation.name}: its risk",
            risk.population(A, B, activation),
            risk.minimal(B, activation),
            1e-9,
        )
        other = best + torch.randn(best.shape, generator=torch.Generator().manual_seed(5), dtype=best.dtype)
        square = ((other - best) @ risk.kernel_matrix(B, activation) @ (other - best).T).trace() / 5
        claim.equal(
            f"{activation.name}: the square that is left",
            risk.population(other, B, activation) - risk.minimal(B, activation),
            square,
            1e-10,
        )


@pytest.mark.claim("lem-kernel-psd")
def test_kernel_dominates_its_linear_part(claim):
    B = encoders.gaussian(12, 5, seed=6, batch=200)
    G = B @ B.mT
    for order in (1, 3, 5):
        claim.at_least(
            f"power {order}: least eigenvalue of 200 entrywise powers",
            torch.linalg.eigvalsh(G**order),
            0,
            1e-12,
        )
    for activation in (sign, tanh, hard_tanh, cubic):
        rest = risk.kernel_matrix(B, activation) - activation.c1**2 * G
        claim.at_least(
            f"{activation.name}: least eigenvalue of f(G) − c₁²G", torch.linalg.eigvalsh(rest), 0, 1e-12
        )
