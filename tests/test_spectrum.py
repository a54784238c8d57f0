"""The Marchenko–Pastur law and the learning curve of the spectrum."""

import numpy as np
import pytest
from scipy import integrate

from aetutor import limits, spectrum
from aetutor.activations import cubic, erf, hard_tanh, identity, sign, sin, tanh

SHIPPED = (sign, identity, tanh, erf, hard_tanh, sin, cubic)
RATES = (0.05, 0.3, 0.7, 1.0, 1.4, 2.5, 5.0)


@pytest.mark.parametrize("rate", [0.003, 0.3, 0.999, 1.0, 1.001, 2.5, 300.0])
def test_marchenko_pastur(rate):
    law = spectrum.MarchenkoPastur(rate)
    low, high = law.edges
    # The density by its textbook formula, integrated in a variable in which the edges are smooth.
    angles = np.linspace(0, np.pi, 200_001)
    x = (low + high) / 2 - (high - low) / 2 * np.cos(angles)
    weight = law.density(x) * (high - low) / 2 * np.sin(angles)
    assert integrate.simpson(weight, angles) == pytest.approx(1, abs=1e-5)
    assert integrate.simpson(weight * x, angles) == pytest.approx(law.mean, rel=1e-8)
    cdf = integrate.cumulative_simpson(weight, x=angles, initial=0)
    assert law.cdf(x[::1000]) == pytest.approx(cdf[::1000], abs=1e-5)
    p = np.linspace(0, 1, 101)
    assert law.cdf(law.quantile(p)) == pytest.approx(p, abs=1e-9)
    assert np.all(np.diff(law.quantile(p)) > 0)
    assert law.quantile(0.0) == pytest.approx(low, abs=1e-12)
    assert law.quantile(1.0) == pytest.approx(high)
    assert law.density(high + 1) == 0 == law.density(-1.0)
    assert law.cdf(low / 2) == pytest.approx(0, abs=1e-9)
    assert law.cdf(high + 1) == pytest.approx(1)


def test_the_two_forms_of_the_angle_agree():
    """Series below q = 0.1 and closed form above meet."""
    angles = np.linspace(0, np.pi, 50)
    below, above = spectrum.MarchenkoPastur(0.01 - 1e-12), spectrum.MarchenkoPastur(0.01 + 1e-12)
    assert below._angle_cdf(angles) == pytest.approx(above._angle_cdf(angles), abs=1e-9)


@pytest.mark.parametrize("activation", SHIPPED, ids=str)
def test_the_default_step_is_safe(activation):
    for rate in RATES:
        run = spectrum.learning_curve(rate, activation, 400)
        assert run.stopped == "steps"
        assert np.all(np.diff(run.risk) <= 1e-13)
        assert run.risk[-1] >= run.limit - 1e-12
        assert len(run.risk) == len(run.times) == 401
    assert spectrum.default_step_size(1, identity) == 0


def test_the_curve_reaches_the_limit():
    for rate in RATES:
        run = spectrum.learning_curve(rate, sign, 400)
        assert run.risk[-1] == pytest.approx(limits.isotropic(rate, sign), rel=1e-4)
        assert run.time_to(0.01) <= 10
    assert np.isnan(spectrum.learning_curve(2.5, tanh, 3).time_to(0.001))


def test_a_spectrum_of_ones_own():
    flat = spectrum.learning_curve(2.0, sign, 5, spectrum=[2.0] * 7, spectrum_at=(0, 5))
    assert flat.risk == pytest.approx(np.full(6, limits.isotropic(2, sign)))
    assert flat.spectra[5] == pytest.approx(np.full(7, 2.0))
    # A direction that no row sees stays unseen, at the cost of its variance.
    missing = spectrum.learning_curve(1.0, sign, 300, spectrum=[0.0, 0.5, 1.5, 2.0])
    assert missing.risk[-1] == pytest.approx(1 - 3 / 4 * (4 / 3) / (4 / 3 + sign.gain), rel=1e-6)
    same = spectrum.replicator(1.0, sign, 40.0, spectrum=[0.0, 0.5, 1.5, 2.0])
    assert same.risk[-1] == pytest.approx(missing.risk[-1], rel=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_small_steps_follow_the_replicator(rate):
    flow = spectrum.replicator(rate, sign, np.linspace(0, 4, 41))
    gaps = []
    for eta in (0.02, 0.01):
        steps = round(4 / eta)
        curve = spectrum.learning_curve(rate, sign, steps, eta)
        gaps.append(np.abs(curve.risk[:: steps // 40] - flow.risk).max())
    assert gaps[1] < 0.01
    assert gaps[1] / gaps[0] == pytest.approx(0.5, abs=0.06)  # first order in the step


def test_too_large_a_step_is_said_to_diverge():
    for eta in (20.0, 1e3, 1e200):
        run = spectrum.learning_curve(1.0, sign, 50, eta)
        assert run.stopped == "diverged"
        assert np.all(np.isfinite(run.risk))


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ValueError, "rate must be finite and greater than 0, got 0", {"rate": 0}),
        (ValueError, "rate must be finite", {"rate": np.nan}),
        (TypeError, "activation", {"activation": "sign"}),
        (ValueError, "steps must be at least 0, got -1", {"steps": -1}),
        (ValueError, "step_size must be a finite number greater than 0, got -0.5", {"step_size": -0.5}),
        (ValueError, "step_size must be a finite number", {"step_size": np.inf}),
        (ValueError, r"mean max\(1, rate\) = 1, .*got least 0.5 and mean 1.25", {"spectrum": [0.5, 2.0]}),
        (ValueError, "spectrum must be at least 0", {"spectrum": [-0.5, 2.5]}),
        (ValueError, "spectrum must be at least 0", {"spectrum": [np.nan, 2.5]}),
        (ValueError, "spectrum must have shape", {"spectrum": [[1.0]]}),
        (ValueError, "spectrum_at must be at most the 100 steps", {"spectrum_at": [101]}),
    ],
)
def test_bad_input(error, message, arguments):
    with pytest.raises(error, match=message):
        spectrum.learning_curve(**{"rate": 1.0, **arguments})


def test_bad_times():
    for times in ([1.0, 2.0], [0.0, 2.0, 1.0], [0.0], [0.0, np.inf], -1.0, 0.0):
        with pytest.raises(ValueError, match="times must be"):
            spectrum.replicator(1.0, sign, times)
    with pytest.raises(ValueError, match="p must be between 0 and 1"):
        spectrum.MarchenkoPastur(1.0).quantile(1.5)
