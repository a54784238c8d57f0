import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats

from aetutor import encoders, limits, risk, sources
from aetutor.activations import cubic, erf, hard_tanh, identity, sign, sin, tanh

REFERENCE = {0.25: 0.84085, 0.5: 0.68169, 0.9: 0.42704, 1: 0.36338, 1.5: 0.27564, 2: 0.22203, 3: 0.15985}


def test_reference_values():
    assert np.round(limits.isotropic(list(REFERENCE), sign), 5).tolist() == list(REFERENCE.values())
    assert limits.isotropic(2) == limits.isotropic(2, sign) == limits.isotropic(2, sign.gain)


@pytest.mark.parametrize("activation", [sign, tanh, erf, hard_tanh, sin, cubic], ids=lambda a: a.name)
@pytest.mark.parametrize("rate", [0.3, 1.0, 2.0])
def test_constructed_encoders_reach_the_limit(activation, rate):
    """Monte Carlo of the encoder that the theory names, at d = 1,000."""
    d = 1000
    n = round(rate * d)
    B = (encoders.orthogonal if rate <= 1 else encoders.tight_frame)(n, d, seed=1)
    A = risk.optimal_decoder(B, activation)
    simulated = risk.monte_carlo(A.float(), B.float(), activation, sources.Gaussian(d), samples=1500, seed=2)
    limit = limits.isotropic(rate, activation)
    if rate <= 1:
        assert abs(simulated.mean - limit) < 3 * simulated.standard_error
    else:
        assert abs(simulated.mean - limit) < 0.01 * limit + 3 * simulated.standard_error
        assert limit < risk.population(A, B, activation) < 1.01 * limit


def test_shapes_and_types():
    assert isinstance(limits.isotropic(0.5, tanh), float)
    assert limits.isotropic(np.ones((2, 3)), tanh).shape == (2, 3)
    assert limits.isotropic([1, 2], identity).tolist() == [0, 0]
    assert isinstance(limits.shannon(1), float)
    assert limits.shannon([0, 1, 2]).tolist() == [1, 0.25, 0.0625]
    assert limits.lloyd_max(np.array([[1, 2]])).shape == (1, 2)


@pytest.mark.parametrize("rate", [0, -1, np.nan, np.inf, [1, 0.0], [0.5, np.nan]])
def test_bad_rates(rate):
    with pytest.raises(ValueError, match="rate must be finite and greater than 0, got"):
        limits.isotropic(rate, sign)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: limits.isotropic("1"), TypeError, "rate"),
        (lambda: limits.isotropic(1 + 1j), TypeError, "rate"),
        (lambda: limits.isotropic(1, "sign"), TypeError, "activation"),
        (lambda: limits.isotropic(1, True), TypeError, "activation"),
        (lambda: limits.isotropic(1, -0.1), ValueError, "activation"),
        (lambda: limits.isotropic(1, float("nan")), ValueError, "activation"),
        (lambda: limits.shannon(-1), ValueError, "rate"),
        (lambda: limits.shannon(np.nan), ValueError, "rate"),
        (lambda: limits.lloyd_max(0), ValueError, "levels"),
        (lambda: limits.lloyd_max(2.5), TypeError, "levels"),
        (lambda: limits.lloyd_max(10**6), ValueError, "levels"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_lloyd_max_against_published_values():
    # Signal-to-noise ratios in decibels, as textbooks print them.
    published = {2: 4.40, 4: 9.30, 8: 14.62, 16: 20.22, 32: 26.01}
    decibels = -10 * np.log10(limits.lloyd_max(list(published)))
    assert np.allclose(decibels, list(published.values()), atol=0.006)


@pytest.mark.parametrize("levels", [1, 2, 3, 7, 64])
def test_quantiser_is_what_it_says(levels):
    q = limits.lloyd_max_quantizer(levels)
    assert q.points.shape == (levels,)
    assert np.allclose(q.thresholds, (q.points[1:] + q.points[:-1]) / 2)
    edges = [-9, *q.thresholds, 9]
    pieces = [
        integrate.quad(lambda x, y=y: (x - y) ** 2 * stats.norm.pdf(x), a, b)[0]
        for a, b, y in zip(edges, edges[1:], q.points, strict=False)
    ]
    assert q.distortion == pytest.approx(sum(pieces), abs=1e-10)
    mass = np.diff(stats.norm.cdf(edges))
    assert q.entropy == pytest.approx(float(-mass @ np.log2(mass)), abs=1e-9)
    x = np.random.default_rng(0).standard_normal(1000)
    assert np.array_equal(q(x), q.points[np.abs(x[:, None] - q.points).argmin(axis=1)])


def test_many_levels_behave_as_panter_and_dite_say():
    assert limits.lloyd_max(2**16) * 2**32 == pytest.approx(np.pi * 3**0.5 / 2, rel=1e-4)


def test_the_limit_holds_for_a_tensor_of_rates():
    assert np.allclose(limits.isotropic(torch.tensor([0.5, 2.0]).numpy()), limits.isotropic([0.5, 2.0]))


SPECTRA = {
    "two blocks": np.r_[np.full(4, 2.0), np.full(8, 0.5)],
    "three blocks": np.r_[np.full(3, 0.2), np.full(3, 3.0), np.full(6, 1.0)],
    "linear": np.linspace(0, 2, 12),
    "power law": np.arange(1.0, 13) ** -1.5,
}


@pytest.mark.parametrize("scales", SPECTRA.values(), ids=SPECTRA)
@pytest.mark.parametrize("rate", [0.25, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("gain", [0.05, sign.gain, 3.0])
def test_anisotropic_against_a_convex_solver(scales, rate, gain):
    d, n = len(scales), rate * len(scales)
    largest = np.sort(scales)[::-1][: min(d, round(n))]
    rest = np.sort(scales)[: d - len(largest)]
    solved = optimize.minimize(
        lambda s: (largest**2 / (1 + s / gain)).sum(),
        np.full(len(largest), n / len(largest)),
        jac=lambda s: -(largest**2) / gain / (1 + s / gain) ** 2,
        bounds=[(0, None)] * len(largest),
        constraints={"type": "eq", "fun": lambda s: s.sum() - n, "jac": lambda s: np.ones_like(s)},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    found = limits.anisotropic(scales, rate, gain)
    assert found.risk == pytest.approx((solved.fun + (rest**2).sum()) / d, rel=1e-7)
    assert found.allocation.sum() == pytest.approx(n)
    assert found.active == np.count_nonzero(found.allocation)
    assert found.risk == pytest.approx((scales**2 / (1 + found.allocation / gain)).mean())


@pytest.mark.parametrize("scales", SPECTRA.values(), ids=SPECTRA)
@pytest.mark.parametrize("rate", [0.1, 1.0, 3.0])
def test_rate_distortion_against_its_parametric_form(scales, rate):
    variances = scales**2

    def bits(theta):
        return np.log2(np.maximum(variances / theta, 1)).mean() / 2

    theta = np.exp2(optimize.brentq(lambda e: bits(2**e) - rate, -60, 10, xtol=1e-14))
    found = limits.rate_distortion(scales, rate)
    assert found.level == pytest.approx(theta)
    assert found.risk == pytest.approx(np.minimum(theta, variances).mean())
    assert found.allocation.sum() == pytest.approx(rate * len(scales))
    assert found.active == np.count_nonzero(variances > theta)


@pytest.mark.parametrize("rate", [0.013, 0.5, 0.731, 1.0, 2.6])
@pytest.mark.parametrize("activation", [sign, tanh, identity], ids=lambda a: a.name)
def test_equal_scales_are_isotropic(rate, activation):
    scaled = limits.anisotropic(np.full(7, 3.0), rate, activation).risk
    assert scaled == pytest.approx(9 * limits.isotropic(rate, activation), rel=1e-12, abs=1e-15)
    assert limits.rate_distortion(np.full(7, 3.0), rate).risk == pytest.approx(9 * limits.shannon(rate))


def test_water_filling_takes_arrays_of_rates_and_any_order():
    scales = np.random.default_rng(0).permutation(SPECTRA["linear"])
    for function in (limits.anisotropic, limits.rate_distortion):
        many = function(scales, [[0.2, 1], [0.6, 2]])
        assert many.risk.shape == many.level.shape == many.active.shape == (2, 2)
        assert many.allocation.shape == (2, 2, 12)
        one, sorted_one = function(scales, 0.6), function(np.sort(scales), 0.6)
        assert many.risk[1, 0] == one.risk == pytest.approx(sorted_one.risk)
        np.testing.assert_allclose(one.allocation[np.argsort(scales)], sorted_one.allocation)
        np.testing.assert_allclose(many.allocation.sum(-1), [[2.4, 12], [7.2, 24]])


def test_no_limit_is_below_shannons():
    scales, rates = SPECTRA["power law"], np.linspace(0.05, 4, 50)
    ours, best = limits.anisotropic(scales, rates).risk, limits.rate_distortion(scales, rates).risk
    assert (ours > best).all()
    assert (np.diff(ours) < 0).all()


def test_pca_drops_the_smallest_directions():
    assert limits.pca([1, 3, 2, 0], 0.5) == pytest.approx(1 / 4)
    assert limits.pca([1, 3, 2, 0], 0.625) == pytest.approx(0.5 / 4)  # half of the third
    assert limits.pca([1, 3, 2, 0], [1, 2]).tolist() == [0, 0]


@pytest.mark.parametrize("scales", [[-1, 2], [0, 0], [np.nan, 1], [], [[1, 2]], [np.inf]])
@pytest.mark.parametrize("function", [limits.anisotropic, limits.rate_distortion, limits.pca])
def test_bad_scales(function, scales):
    with pytest.raises(ValueError, match="scales"):
        function(scales, 1)
