"""``scales=``: a source of unequal directions, through risk, encoders and both ways to train."""

import numpy as np
import pytest
import torch

from aetutor import activations, descent, encoders, limits, risk, sgd, sources
from aetutor.activations import sign, tanh
from aetutor.experiments import SPECTRA

D = np.array([2.0, 1.5, 1.0, 0.7, 0.3, 0.1])


def spectrum(name, d):
    scales = SPECTRA[name](d)
    return scales / np.sqrt((scales**2).mean())


def random_pair(n, d=6, batch=()):
    generator = torch.Generator().manual_seed(n)
    return torch.randn(*batch, d, n, generator=generator).double(), encoders.gaussian(n, d, 1, batch=batch)


@pytest.mark.parametrize("activation", [sign, tanh, activations.hard_tanh])
@pytest.mark.parametrize("n", [3, 6, 9])
def test_population_risk_by_monte_carlo(activation, n):
    A, B = random_pair(n)
    for decoder in (A / 10, risk.optimal_decoder(B, activation, D)):
        simulated = risk.monte_carlo(
            decoder, B, activation, sources.Gaussian(6, D), 200_000, seed=5, scales=D
        )
        exact = float(risk.population(decoder, B, activation, D))
        assert exact == pytest.approx(simulated.mean, abs=4.5 * simulated.standard_error)


@pytest.mark.parametrize("n", [3, 6, 9])
def test_optimal_decoder(n):
    _, B = random_pair(n, batch=(4,))
    A = risk.optimal_decoder(B, sign, D)
    assert torch.allclose(risk.population(A, B, sign, D), risk.minimal(B, sign, D), atol=1e-12)
    for seed in range(3):
        other = A + 1e-3 * torch.randn(A.shape, generator=torch.Generator().manual_seed(seed)).double()
        assert (risk.population(other, B, sign, D) > risk.minimal(B, sign, D)).all()
    z = torch.randn(200_000, 6, generator=torch.Generator().manual_seed(9)).double()
    x = z * torch.from_numpy(D)
    fitted = risk.least_squares_decoder(B[0], sign, x, D)
    assert torch.allclose(fitted, A[0], atol=0.03)
    assert float(risk.empirical(fitted, B[0], sign, x, D)) == pytest.approx(
        float(risk.minimal(B[0], sign, D)), abs=0.01
    )


def test_scales_of_one_change_nothing():
    A, B = random_pair(5)
    one = np.ones(6)
    x = sources.Gaussian(6).sample(20, dtype=torch.float64)
    for with_scales, without in (
        (risk.population(A, B, sign, one), risk.population(A, B, sign)),
        (risk.optimal_decoder(B, sign, one), risk.optimal_decoder(B, sign)),
        (risk.reconstruct(A, B, sign, x, one), risk.reconstruct(A, B, sign, x)),
        (descent.gradient(B, sign, one), descent.gradient(B, sign)),
    ):
        assert torch.allclose(with_scales, without, atol=1e-12)


@pytest.mark.parametrize("activation", [sign, tanh, activations.identity])
@pytest.mark.parametrize("n", [3, 6, 9])
def test_gradient_by_autograd(activation, n):
    if activation is activations.identity and n > 6:
        pytest.skip("f(BBᵀ) = BBᵀ is singular")
    B = encoders.gaussian(n, 6, 3, batch=(2,)).requires_grad_()
    (slope,) = torch.autograd.grad(6 * risk.minimal(B, activation, D).sum(), B)
    B = B.detach()
    slope = slope - (slope * B).sum(-1, keepdim=True) * B
    assert torch.allclose(descent.gradient(B, activation, D), slope, atol=1e-8)


@pytest.mark.parametrize("name", [name for name in SPECTRA if name != "flat"])
@pytest.mark.parametrize("rate", [0.3, 0.5, 1.0, 2.0])
def test_descent_reaches_the_limit(name, rate):
    excess = {}
    for d in (60, 120):
        D = spectrum(name, d)
        run = descent.projected_gradient(encoders.gaussian(round(rate * d), d, 0), scales=D, steps=150)
        assert run.limit == pytest.approx(float(limits.anisotropic(D, rate).risk))
        assert np.all(np.diff(run.risk) <= 1e-13)  # the step is searched for: it never goes up
        assert run.stopped == "steps"
        assert run.step_size is None
        assert float(risk.population(run.A, run.B, sign, D)) == pytest.approx(run.risk[-1], abs=1e-12)
        excess[d] = run.risk[-1] / run.limit - 1
        assert -1e-12 <= excess[d] < 0.025
    # The gap closes as d grows; of the power law the first direction keeps a share of about 1/log d.
    assert excess[120] < (max(0.006, 0.9 * excess[60]) if name == "power" else max(0.003, 0.75 * excess[60]))


def test_descent_of_a_batch_is_that_of_each():
    D = spectrum("power", 40)
    B = encoders.gaussian(30, 40, 0, batch=3)
    together = descent.projected_gradient(B, scales=D, steps=40, spectrum_at=[5])
    for k in range(3):
        alone = descent.projected_gradient(B[k], scales=D, steps=40, spectrum_at=[5])
        assert together.risk[k] == pytest.approx(alone.risk, abs=1e-11)
        assert together.spectra[5][k] == pytest.approx(alone.spectra[5], abs=1e-9)


def test_a_step_size_of_ones_own_with_scales():
    D = spectrum("two blocks", 30)
    B = encoders.gaussian(15, 30, 0)
    run = descent.projected_gradient(B, scales=D, steps=200, step_size=0.1)
    assert run.step_size == 0.1
    assert run.risk[-1] == pytest.approx(run.limit, rel=0.01)
    with pytest.warns(RuntimeWarning, match=r"step_size 20 is too large: .* \(the default .* is 0.2"):
        assert descent.projected_gradient(B, scales=D, step_size=20.0).stopped == "diverged"


def test_a_linear_activation_finds_the_principal_components():
    scales = np.linspace(2, 0.1, 12)
    run = descent.projected_gradient(
        encoders.gaussian(4, 12, 0), activations.identity, scales=scales, steps=400
    )
    assert run.risk[-1] == pytest.approx(limits.pca(scales, 4 / 12), abs=1e-4)


def test_interrupted_descent_keeps_the_best(monkeypatch):
    D = spectrum("power", 30)

    def stop(step, value):
        if step == 7:
            raise KeyboardInterrupt

    run = descent.projected_gradient(encoders.gaussian(20, 30, 0), scales=D, callback=stop)
    assert run.stopped == "interrupted"
    assert float(risk.population(run.A, run.B, sign, D)) == pytest.approx(run.risk[-1], abs=1e-12)
    assert np.all(np.diff(run.risk) <= 1e-13)


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("rate", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("activation", [sign, tanh])
def test_water_filled(name, rate, activation):
    gap = []
    for d in (60, 240):
        D = spectrum(name, d)
        n = round(rate * d)
        B = encoders.water_filled(n, D, 1, activation, batch=2)
        assert B.shape == (2, n, d)
        assert torch.allclose(B.norm(dim=-1), torch.ones(2, n).double(), atol=1e-12)
        wanted = limits.anisotropic(D, n / d, activation)
        dry = wanted.allocation == 0
        assert (B[..., dry] == 0).all()
        gap.append(float(risk.minimal(B, activation, D).mean() / wanted.risk - 1))
    assert gap[0] > -1e-12
    assert gap[1] < max(1e-9, 0.7 * gap[0])
    spread = (B[0].T @ B[0]).diagonal().numpy()
    assert spread == pytest.approx(wanted.allocation, abs=0.35 * max(1, wanted.allocation.max()))


def test_water_filled_in_any_order_and_form():
    order = np.random.default_rng(0).permutation(6)
    B = encoders.water_filled(4, D, 2)
    assert torch.allclose(encoders.water_filled(4, torch.from_numpy(D), 2), B)
    assert sorted(np.flatnonzero((encoders.water_filled(4, D[order], 2) != 0).any(0))) == sorted(
        np.flatnonzero(np.isin(order, np.flatnonzero((B != 0).any(0))))
    )


@pytest.mark.parametrize("n", [1, 3, 29, 30])
def test_no_more_directions_than_rows(n):
    B = encoders.water_filled(n, np.linspace(1, 0.9, 49), 0)
    assert int((B != 0).any(0).sum()) <= n


def test_training_on_samples():
    D = spectrum("two blocks", 30)
    source = sources.Gaussian(30, D)
    run = sgd.train(source, 0.5, steps=1500, record=500, schedule="cosine", device="cpu")
    assert run.limit == pytest.approx(float(limits.anisotropic(D, 0.5).risk))
    assert run.risk[-1] == pytest.approx(run.limit, rel=0.02)
    # Recorded exactly, for the source brings its own scales; the same without the formula:
    held_out = source.sample(20_000, 7, dtype=torch.float64)
    A, B = run.A.double(), run.B.double()
    assert float(risk.empirical(A, B, sign, held_out, D)) == pytest.approx(run.risk[-1], rel=0.02)
    without = sgd.train(source, 0.5, scales=2 * D, steps=2, device="cpu")  # other scales: on samples
    assert without.scales == pytest.approx(2 * D)
    exact = sgd.train(source, 0.5, steps=2, device="cpu")
    assert without.risk[0] != exact.risk[0]


def test_checkpoints_know_their_scales(tmp_path):
    source = sources.Gaussian(6)
    options = {"rate": 0.5, "steps": 3, "device": "cpu", "checkpoint": tmp_path / "run.pt"}
    first = sgd.train(source, scales=D, **options)
    again = sgd.train(source, scales=D, **options)
    assert torch.equal(first.B, again.B)
    with pytest.raises(ValueError, match="scales was shape"):
        sgd.train(source, **options)


def test_sources_with_scales():
    x = sources.Gaussian(6, D).sample(200_000, 1, dtype=torch.float64)
    assert x.std(dim=0).numpy() == pytest.approx(D, rel=0.02)
    assert torch.equal(sources.Gaussian(6, np.ones(6)).sample(5, 1), sources.Gaussian(6).sample(5, 1))
    assert sources.Gaussian(6, D) == sources.Gaussian(6, D.tolist())
    mixture = sources.ScaleMixture(6, 0.8)
    x = mixture.sample(400_000, 2, dtype=torch.float64)
    assert (x.T @ x / len(x)).numpy() == pytest.approx(np.eye(6), abs=0.05)
    many = sources.ScaleMixture(400, 0.8).sample(20_000, 2)
    assert sources.scale_factor(many) == pytest.approx(np.exp(-(0.8**2)), rel=0.03)
    assert sources.scale_factor(sources.Gaussian(400).sample(2000)) == pytest.approx(1 - 1 / 800, abs=2e-4)


@pytest.mark.parametrize(
    ("scales", "error", "words"),
    [
        (np.ones(5), ValueError, r"scales must have shape \(d,\) = \(6,\) to go with B, got \(5,\)"),
        (np.zeros(6), ValueError, "scales must be finite, at least 0 and not all 0"),
        (-D, ValueError, "scales must be finite, at least 0 and not all 0, got numbers from -2.0"),
        ([1, 1, 1, 1, 1, np.nan], ValueError, "scales must be finite"),
        (["a"] * 6, TypeError, "scales must hold real numbers"),
    ],
)
def test_bad_scales(scales, error, words):
    A, B = random_pair(3)
    for call in (
        lambda: risk.population(A, B, sign, scales),
        lambda: risk.optimal_decoder(B, sign, scales),
        lambda: descent.projected_gradient(B, scales=scales),
        lambda: sgd.train(sources.Gaussian(6), 0.5, scales=scales),
    ):
        with pytest.raises(error, match=words):
            call()


def test_a_dead_direction_is_fine_in_the_formula_and_not_on_samples():
    dead = [1.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    A, B = random_pair(3)
    assert float(risk.minimal(B, sign, dead)) < 5 / 6
    x = torch.ones(2, 6).double()
    for call in (
        lambda: risk.reconstruct(A, B, sign, x, dead),
        lambda: sgd.train(sources.Gaussian(6, dead), 0.5),
    ):
        with pytest.raises(ValueError, match="scales must be greater than 0 where samples are divided"):
            call()
