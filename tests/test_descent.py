"""Projected gradient descent and the weight-tied flow on the closed form."""

import math

import numpy as np
import pytest
import torch

from aetutor import descent, encoders, limits, risk, spectrum
from aetutor.activations import cubic, erf, from_function, hard_tanh, identity, sign, sin, tanh

SHIPPED = (sign, identity, tanh, erf, hard_tanh, sin, cubic)
NONLINEAR = tuple(a for a in SHIPPED if a is not identity)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


def tangent(gradient, B):
    return gradient - (gradient * B).sum(-1, keepdim=True) * B


# The gradient


@pytest.mark.parametrize("activation", SHIPPED, ids=str)
@pytest.mark.parametrize(("n", "d"), [(1, 3), (3, 5), (5, 5), (7, 4)])
def test_gradient_against_autograd(activation, n, d):
    if activation is identity and n > d:
        pytest.skip("f(BBᵀ) = BBᵀ is singular and the risk is 0 for every B")
    B = encoders.gaussian(n, d, seed=n, batch=2).requires_grad_()
    (reference,) = torch.autograd.grad(d * risk.minimal(encoders.normalize(B), activation).sum(), B)
    assert torch.allclose(descent.gradient(B, activation), tangent(reference, B), atol=1e-10)


@pytest.mark.parametrize("activation", SHIPPED, ids=str)
def test_gradient_against_finite_differences(activation):
    B, step = encoders.gaussian(4, 5, seed=3), 1e-5
    direction = tangent(encoders.gaussian(4, 5, seed=4), B)

    def along(t):
        return 5 * float(risk.minimal(encoders.normalize(B + t * direction), activation))

    slope = (along(step) - along(-step)) / (2 * step)
    assert float((descent.gradient(B, activation) * direction).sum()) == pytest.approx(slope, abs=1e-8)


def test_gradient_is_zero_at_the_minimiser():
    for activation in NONLINEAR:
        assert descent.gradient(encoders.orthogonal(4, 6, 0), activation).abs().max() < 1e-14


def test_parallel_rows_give_a_finite_gradient():
    B = encoders.gaussian(3, 4, 0)
    for rows in (B[[0, 0, 1]], torch.cat([B, -B[:1]])):
        for activation in SHIPPED:
            assert descent.gradient(rows, activation).isfinite().all()


# Projected gradient descent


@pytest.mark.parametrize("activation", SHIPPED, ids=str)
@pytest.mark.parametrize("rate", [0.05, 0.5, 1.0, 1.5, 5.0])
def test_the_default_step_is_safe(activation, rate):
    """The risk never rises, from starts of every kind, and never passes the limit."""
    d = 20
    n = round(rate * d)
    B = encoders.gaussian(n, d, seed=0, batch=3)
    run = descent.projected_gradient(B, activation, steps=25)
    assert list(run.stopped) == ["steps"] * 3
    assert np.all(np.diff(run.risk) <= 1e-12)
    assert np.all(run.risk >= run.limit - 1e-12)
    bad = encoders.normalize(B[0, :1] + 1e-3 * B[1])  # all rows nearly the same
    run = descent.projected_gradient(bad, activation, steps=25)
    assert run.stopped == "steps"
    assert np.all(np.isfinite(run.risk))


@pytest.mark.parametrize("activation", [sign, tanh, hard_tanh, cubic], ids=str)
def test_small_steps_never_raise_the_risk(activation):
    for n, d in ((5, 10), (10, 10), (16, 8)):
        run = descent.projected_gradient(
            encoders.gaussian(n, d, 1, batch=4), activation, steps=200, step_size=0.02
        )
        assert np.all(np.diff(run.risk) <= 1e-13)
        assert np.all(run.risk[:, -1] < run.risk[:, 0])


def test_final_weights_are_what_the_last_risk_says():
    for n, d in ((4, 8), (8, 8), (12, 6)):
        run = descent.projected_gradient(encoders.gaussian(n, d, 2, batch=2), sign, steps=30)
        assert run.risk.shape == (2, 31)
        assert (run.B.norm(dim=-1) - 1).abs().max() < 1e-14
        assert risk.population(run.A, run.B, sign).numpy() == pytest.approx(run.risk[:, -1], abs=1e-12)
        start = risk.minimal(encoders.gaussian(n, d, 2, batch=2), sign).numpy()
        assert run.risk[:, 0] == pytest.approx(start, abs=1e-12)


@pytest.mark.parametrize("device", DEVICES)
def test_d_400_reaches_the_limit(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for rate, allowed in ((0.25, 1e-3), (0.5, 1e-3), (1.0, 1e-3), (1.5, 1e-3), (2.0, 3e-3), (3.0, 3e-3)):
        B = encoders.gaussian(round(rate * 400), 400, seed=5)
        run = descent.projected_gradient(B, sign, steps=20, record=10, device=device)
        assert run.limit == limits.isotropic(rate, sign)
        assert -1e-12 <= run.risk[-1] / run.limit - 1 < allowed
        assert run.times.tolist() == [0, 10, 20]


@pytest.mark.parametrize("rate", [0.3, 0.7, 1.0, 1.4, 2.5])
def test_simulation_follows_the_spectral_curve(rate):
    """d = 400, at every step."""
    B = encoders.gaussian(round(rate * 400), 400, seed=6)
    for activation, eta in ((sign, None), (hard_tanh, 0.1), (tanh, None)):
        run = descent.projected_gradient(B, activation, steps=12, step_size=eta)
        curve = spectrum.learning_curve(rate, activation, 12, eta)
        assert np.abs(run.risk - curve.risk).max() < 0.002


def test_batched_equals_one_by_one():
    B = encoders.gaussian(6, 4, 3, batch=(2, 3))
    options = {"steps": 60, "tolerance": 1e-3, "spectrum_at": (0, 10), "gram_at": (5,)}
    together = descent.projected_gradient(B, tanh, **options)
    assert together.risk.shape[:2] == together.stopped.shape == (2, 3)
    assert together.spectra[10].shape == (2, 3, 4)
    assert together.grams[5].shape == (2, 3, 6, 6)
    for i in range(2):
        for j in range(3):
            alone = descent.projected_gradient(B[i, j], tanh, **options)
            assert torch.allclose(together.B[i, j], alone.B, atol=1e-10)
            assert torch.allclose(together.A[i, j], alone.A, atol=1e-10)
            length = len(alone.times)
            assert together.risk[i, j, :length] == pytest.approx(alone.risk, abs=1e-12)
            assert together.stopped[i, j] == alone.stopped


def test_the_same_call_gives_the_same_numbers():
    B = encoders.gaussian(30, 20, 0)
    state = torch.get_rng_state()
    runs = [descent.projected_gradient(B, sign, steps=20, noise=0.1, seed=4) for _ in range(2)]
    assert torch.equal(runs[0].B, runs[1].B)
    assert np.array_equal(runs[0].risk, runs[1].risk)
    assert torch.equal(torch.get_rng_state(), state)
    other = descent.projected_gradient(B, sign, steps=20, noise=0.1, seed=5)
    assert not torch.equal(runs[0].B, other.B)
    assert torch.equal(B, encoders.gaussian(30, 20, 0)), "the start is left as it was"


def test_noise_moves_rows_by_its_length():
    B = encoders.orthogonal(50, 400, 0)
    run = descent.projected_gradient(B, sign, steps=1, noise=0.05)
    assert float((run.B - B).norm(dim=1).mean()) == pytest.approx(0.05, rel=0.03)


def test_spectra_and_grams_are_kept():
    B = encoders.gaussian(9, 6, 1)
    run = descent.projected_gradient(B, sign, steps=10, spectrum_at=[0, 10], gram_at=[0, 10])
    assert set(run.spectra) == set(run.grams) == {0, 10}
    assert run.spectra[0] == pytest.approx(np.linalg.eigvalsh(B.T @ B))
    assert run.grams[10] == pytest.approx((run.B @ run.B.T).numpy(), abs=1e-12)
    run = descent.projected_gradient(B[:3], sign, steps=2, spectrum_at=[2])
    assert run.spectra[2] == pytest.approx(np.linalg.eigvalsh(run.B @ run.B.T))


def test_it_stops_at_the_tolerance():
    run = descent.projected_gradient(encoders.gaussian(5, 10, 0), sign, steps=500, tolerance=1e-8)
    assert run.stopped == "tolerance"
    assert run.times[-1] < 500
    gradient = descent.gradient(run.B, sign)
    assert float(gradient.square().sum(-1).mean().sqrt()) <= 1e-8
    at_once = descent.projected_gradient(encoders.orthogonal(5, 10, 0), sign, steps=500, tolerance=1e-8)
    assert at_once.times.tolist() == [0, 1] or at_once.times.tolist() == [0]


def test_too_large_a_step_is_reported():
    B = encoders.gaussian(40, 40, 0)
    for eta in (20.0, 1e4, 1e30, 1e300):
        with pytest.warns(RuntimeWarning, match=r"step_size .* is too large.*the default .* is 0\.7268"):
            run = descent.projected_gradient(B, sign, steps=20, step_size=eta)
        assert run.stopped == "diverged"
        assert np.all(np.isfinite(run.risk))
        assert run.B.isfinite().all()
        assert run.A.isfinite().all()
    with pytest.warns(RuntimeWarning, match="too large"):
        both = descent.projected_gradient(encoders.gaussian(9, 9, 0, batch=2), sign, steps=9, step_size=1e300)
    assert list(both.stopped) == ["diverged"] * 2


def test_an_interrupted_run_gives_what_it_has(monkeypatch):
    calls = []
    solve = descent._Step.solve

    def interrupted(self, B):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return solve(self, B)

    monkeypatch.setattr(descent._Step, "solve", interrupted)
    run = descent.projected_gradient(encoders.gaussian(5, 5, 0), sign, steps=100)
    assert run.stopped == "interrupted"
    assert run.times[-1] == 7
    assert float(risk.population(run.A, run.B, sign)) == pytest.approx(run.risk[-1], abs=1e-12)


def test_single_precision():
    B = encoders.gaussian(20, 30, 0)
    single = descent.projected_gradient(B, sign, steps=30, dtype=torch.float32)
    double = descent.projected_gradient(B, sign, steps=30)
    assert single.B.dtype == torch.float32
    assert single.risk == pytest.approx(double.risk, abs=1e-5)
    assert single.stopped == "steps"


def test_a_readers_activation():
    quantizer = limits.lloyd_max_quantizer(3)
    three = from_function(quantizer, "3 levels", quantizer.thresholds)
    run = descent.projected_gradient(encoders.gaussian(20, 20, 0), three, steps=60)
    assert run.risk[-1] == pytest.approx(limits.isotropic(1, three), rel=1e-4)


def test_nothing_to_learn_when_linear():
    run = descent.projected_gradient(encoders.gaussian(5, 9, 0), identity, steps=3)
    assert run.risk == pytest.approx(np.full(4, 1 - 5 / 9), abs=1e-12)
    assert run.step_size == 0


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (TypeError, "B must be a torch.Tensor", {"B": np.eye(3)}),
        (ValueError, "B must have rows of unit norm", {"B": 2 * torch.eye(3)}),
        (ValueError, "finite entries only", {"B": torch.full((2, 2), math.nan)}),
        (TypeError, "activation must be", {"activation": torch.sign}),
        (ValueError, "steps must be at least 0, got -1", {"steps": -1}),
        (TypeError, "steps must be a whole number, got 1.5", {"steps": 1.5}),
        (ValueError, "step_size must be a finite number greater than 0, got 0", {"step_size": 0}),
        (ValueError, "step_size must be a finite number greater than 0, got nan", {"step_size": math.nan}),
        (ValueError, "noise must be a finite number of at least 0", {"noise": -1.0}),
        (ValueError, "tolerance must be a finite number greater than 0", {"tolerance": 0.0}),
        (ValueError, "record must be at least 1", {"record": 0}),
        (
            ValueError,
            "gram_at must be at most the 3 steps that are taken, got 4",
            {"steps": 3, "gram_at": [4]},
        ),
        (ValueError, "device must be one that PyTorch can use here, got 'nowhere'", {"device": "nowhere"}),
        (TypeError, "dtype must be torch.float32 or torch.float64", {"dtype": torch.float16}),
        (TypeError, "seed must be a whole number", {"seed": "zero"}),
    ],
)
def test_bad_input(error, message, arguments):
    arguments = {"B": torch.eye(3), "activation": sign, **arguments}
    with pytest.raises(error, match=message):
        descent.projected_gradient(**arguments)


# The weight-tied flow


@pytest.mark.parametrize("activation", NONLINEAR, ids=str)
@pytest.mark.parametrize(("n", "d"), [(1, 2), (2, 2), (3, 5), (5, 5)])
def test_tied_flow_ends_orthonormal(activation, n, d):
    run = descent.tied_flow(encoders.gaussian(n, d, 1), activation, 60.0)
    assert np.all(np.diff(run.log_det) >= -1e-7)
    assert (run.B @ run.B.T - torch.eye(n)).abs().max() < 1e-4
    assert run.risk[-1] == pytest.approx(run.limit, abs=1e-7)
    assert risk.population(run.A, run.B, activation) == pytest.approx(run.risk[-1], abs=1e-9)
    assert run.path.shape == (201, n, d)
    assert (run.path.norm(dim=-1) - 1).abs().max() < 1e-12


def test_tied_flow_descends_its_energy():
    """Its velocity is minus half the gradient of the energy, on the spheres: by autograd."""
    for activation in NONLINEAR:
        B = encoders.gaussian(4, 3, 2).requires_grad_()
        G = encoders.normalize(B) @ encoders.normalize(B).mT
        energy = (G * activation.kernel(G)).sum() - (G * activation.kernel(G)).diagonal().sum()
        (gradient,) = torch.autograd.grad(energy, B)
        step = 1e-7
        run = descent.tied_flow(B, activation, [0, step])
        velocity = (run.path[1] - run.path[0]) / step
        assert torch.allclose(velocity, -tangent(gradient, B) / 2, rtol=1e-4, atol=1e-5)


def test_tied_flow_takes_batches_and_devices():
    B = encoders.gaussian(3, 4, 0, batch=2, dtype=torch.float32)
    run = descent.tied_flow(B, sign, np.linspace(0, 3, 7))
    assert run.risk.shape == run.log_det.shape == (2, 7)
    assert run.path.shape == (2, 7, 3, 4)
    assert run.A.shape == (2, 4, 3)
    alone = descent.tied_flow(B[1], sign, np.linspace(0, 3, 7))
    assert run.risk[1] == pytest.approx(alone.risk, abs=1e-9)


def test_tied_flow_keeps_the_rank():
    """Equal rows stay equal, and rows in a plane stay in it."""
    B = encoders.gaussian(3, 4, 0)
    run = descent.tied_flow(B[[0, 0, 1]], sign, 20.0)
    assert torch.allclose(run.B[0], run.B[1])
    assert run.risk[-1] > run.limit + 0.05
    flat = encoders.normalize(torch.cat([B[:2], B[:1] + B[1:2]]))
    run = descent.tied_flow(flat, tanh, 20.0)
    assert torch.linalg.matrix_rank(run.B, rtol=1e-6) == 2


def test_tied_flow_above_rate_one():
    run = descent.tied_flow(encoders.gaussian(3, 2, 1), sign, 40.0)
    assert np.all(run.log_det == -np.inf)
    assert (run.B @ run.B.T).abs().numpy() == pytest.approx(0.5 + 0.5 * np.eye(3), abs=1e-4)
    assert run.risk[-1] == pytest.approx(1 - 9 / (4 * np.pi), abs=1e-6)


def test_tied_flow_bad_input():
    B = encoders.gaussian(2, 3, 0)
    with pytest.raises(ValueError, match="times must be increasing numbers, the first of them 0"):
        descent.tied_flow(B, sign, [1.0, 2.0])
    with pytest.raises(ValueError, match="relative_tolerance must be a finite number greater than 0"):
        descent.tied_flow(B, sign, 1.0, relative_tolerance=0)
    with pytest.raises(ValueError, match="unit norm"):
        descent.tied_flow(3 * B, sign, 1.0)


@pytest.mark.cuda
def test_cuda_agrees_with_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    B = encoders.gaussian(60, 40, 0, batch=3)
    for activation in (sign, tanh):
        there = descent.projected_gradient(B, activation, steps=20, device="cuda")
        here = descent.projected_gradient(B, activation, steps=20)
        assert there.risk == pytest.approx(here.risk, abs=1e-9)
        assert torch.allclose(there.B.cpu(), here.B, atol=1e-7)


def test_callback_sees_what_is_recorded_and_may_end_the_run():
    start, seen = encoders.gaussian(8, 10, seed=0, batch=2), []

    def follow(step, risk):
        seen.append((step, risk))
        if step == 6:
            raise KeyboardInterrupt

    run = descent.projected_gradient(start, steps=20, record=2, callback=follow)
    assert [step for step, _ in seen] == [0, 2, 4, 6]
    assert run.times.tolist() == [0, 2, 4, 6]
    np.testing.assert_array_equal(run.risk.T, np.array([risk.numpy() for _, risk in seen]))
    assert set(run.stopped) == {"interrupted"}
