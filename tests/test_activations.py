import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from aetutor import activations
from aetutor.activations import Activation, cubic, erf, from_function, hard_tanh, identity, sign, sin, tanh

SHIPPED = (sign, identity, tanh, erf, hard_tanh, sin, cubic)


def three_levels(x):
    return np.where(x > 0.612, 1.0, np.where(x < -0.612, -1.0, 0.0))


TABLE = [  # c1, c3, f(1), f(1)/c1²
    (sign, 0.797885, -0.325735, 1, 1.570796),
    (tanh, 0.605706, -0.148437, 0.394294, 1.074726),
    (from_function(lambda x: np.tanh(3 * x), "tanh(3x)"), 0.764500, -0.287062, 0.745167, 1.274966),
    (erf, 0.564190, -0.115165, 1 / 3, 1.047198),
    (hard_tanh, 0.682689, -0.197568, 0.516059, 1.107267),
    (sin, 0.606531, -0.247615, 0.432332, 1.175201),
    (from_function(three_levels, "3 levels"), 0.661620, -0.168939, 0.540538, 1.234833),
    (identity, 1, 0, 1, 1),
    (cubic, 3, np.sqrt(6), 15, 15 / 9),
]


@pytest.mark.parametrize(
    ("activation", "c1", "c3", "second", "ratio"), TABLE, ids=lambda v: getattr(v, "name", "")
)
def test_constants(activation, c1, c3, second, ratio):
    assert activation.c1 == pytest.approx(c1, abs=6e-7)
    assert activation.hermite(3) == pytest.approx(c3, abs=6e-7)
    assert activation.second_moment == pytest.approx(second, abs=6e-7)
    assert activation.gain + 1 == pytest.approx(ratio, abs=6e-7)


@pytest.mark.parametrize("activation", SHIPPED, ids=lambda a: a.name)
def test_closed_forms_agree_with_quadrature(activation):
    generic = Activation("generic", activation.function, activation.breakpoints)
    assert generic.c1 == pytest.approx(activation.c1, abs=1e-13)
    assert generic.second_moment == pytest.approx(activation.second_moment, rel=1e-13)
    near_one = 1 - np.logspace(-13, -1, 40)
    rho = np.concatenate([np.linspace(-1, 1, 801), near_one, -near_one])
    assert np.allclose(generic.kernel(rho), activation.kernel(rho), atol=1e-11, rtol=0)
    inside = rho[np.abs(rho) < 1]
    assert np.allclose(generic.kernel_derivative(inside), activation.kernel_derivative(inside), rtol=1e-9)


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("threshold", [0.1, 0.612, 1.7])
def test_three_level_quantiser(threshold, given):
    def sigma(x):
        return np.where(x > threshold, 1.0, np.where(x < -threshold, -1.0, 0.0))

    activation = from_function(sigma, "q", [threshold] if given else None)
    tolerance = 1e-8 if given else 1e-5
    assert activation.c1 == pytest.approx(2 * stats.norm.pdf(threshold), abs=tolerance)
    assert activation.second_moment == pytest.approx(2 * stats.norm.sf(threshold), abs=tolerance)
    rho = 0.7
    corner = stats.multivariate_normal(cov=[[1, rho], [rho, 1]])
    opposite = stats.multivariate_normal(cov=[[1, -rho], [-rho, 1]])
    exact = 2 * corner.cdf([-threshold] * 2) - 2 * opposite.cdf([-threshold] * 2)
    assert activation.kernel(rho) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("activation", [tanh, hard_tanh], ids=lambda a: a.name)
@pytest.mark.parametrize("rho", [0.3, 0.99])
def test_kernel_against_double_integral(activation, rho):
    q = np.sqrt(1 - rho**2)
    edges = [-9, -1, 1, 9]
    value = 0.0
    for a, b in zip(edges, edges[1:], strict=False):
        value += integrate.dblquad(
            lambda z, x: activation(x) * activation(rho * x + q * z) * stats.norm.pdf(x) * stats.norm.pdf(z),
            a,
            b,
            -9,
            9,
        )[0]
    assert activation.kernel(rho) == pytest.approx(value, abs=1e-6)


def test_kinks_are_found_when_not_given():
    clipped = from_function(lambda x: np.clip(5 * x, -1, 1), "clip")
    assert np.allclose(clipped.breakpoints, [-0.2, 0.2], atol=1e-4)
    t = 0.2
    exact = 25 * (stats.norm.cdf(t) - stats.norm.cdf(-t) - 2 * t * stats.norm.pdf(t)) + 2 * stats.norm.sf(t)
    assert clipped.second_moment == pytest.approx(exact, abs=1e-7)


@pytest.mark.parametrize("activation", SHIPPED, ids=lambda a: a.name)
def test_derivative_against_finite_differences(activation):
    rho, h = np.linspace(-0.95, 0.95, 39), 1e-6
    slope = (activation.kernel(rho + h) - activation.kernel(rho - h)) / (2 * h)
    assert np.allclose(activation.kernel_derivative(rho), slope, rtol=1e-6)


def test_derivative_is_infinite_where_the_sign_jumps():
    assert sign.kernel_derivative(1.0) == np.inf
    assert sign.kernel_derivative(torch.tensor([-1.0])).isinf().all()
    assert np.isfinite(hard_tanh.kernel_derivative([1.0])).all()
    assert hard_tanh.kernel_derivative(1.0) == pytest.approx(stats.norm.cdf(1) - stats.norm.cdf(-1), abs=1e-9)


@pytest.mark.parametrize("activation", SHIPPED, ids=lambda a: a.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_as_arrays(activation, dtype):
    x = torch.linspace(-1, 1, 41, dtype=dtype)
    for function in (activation, activation.kernel):
        out = function(x)
        assert out.dtype == dtype
        assert np.allclose(out, function(x.double().numpy()), atol=2e-3 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("activation", SHIPPED, ids=lambda a: a.name)
def test_kernel_is_differentiable(activation):
    rho = torch.tensor([-0.9, -0.2, 0.0, 0.4, 0.97], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(activation.kernel, rho)
    ends = torch.tensor([-1.0, 1.0], requires_grad=True)
    activation.kernel(ends).sum().backward()
    assert ends.grad.isfinite().all()


def test_sign_of_zero_is_plus_one():
    assert sign(0.0) == 1.0
    assert sign(np.array([-0.0, 0.0])).tolist() == [1.0, 1.0]
    assert sign(torch.zeros(2)).tolist() == [1.0, 1.0]


def test_scalars_and_arrays_keep_their_shape():
    assert isinstance(tanh(0.3), float)
    assert isinstance(tanh.kernel(0.3), float)
    assert isinstance(tanh.hermite(1), float)
    assert tanh.kernel(np.zeros((2, 3))).shape == (2, 3)
    assert tanh.hermite([[1, 2], [3, 4]]).shape == (2, 2)
    assert np.all(tanh.hermite([0, 2, 10]) == 0)


@pytest.mark.parametrize(
    ("sigma", "words"),
    [
        (lambda x: x**2, "odd"),
        (np.abs, "odd"),
        (lambda x: x + 1, "odd"),
        (lambda x: 0 * x, "constant"),
        (lambda x: 0 * x + 3, "constant"),
        (lambda x: 1 / x - 1 / x + x / 0.0, "finite"),
        (lambda x: np.sinh(x**3 / 8), "second moment"),
        (lambda x: x**3 - 3 * x, "linear part"),
        (lambda x: x[:2], "entrywise"),
    ],
)
def test_functions_that_cannot_be_activations(sigma, words):
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=f"sigma must.*{words}"):
        from_function(sigma, "bad")


def test_other_bad_input():
    with pytest.raises(TypeError, match="sigma must be callable"):
        from_function(3, "bad")
    with pytest.raises(ValueError, match="breakpoints"):
        from_function(np.tanh, "bad", [np.nan])
    for order in (-1, [1, -2]):
        with pytest.raises(ValueError, match="order"):
            tanh.hermite(order)
    with pytest.raises(TypeError, match="order"):
        tanh.hermite(1.5)
    for rho in (1.1, np.nan, [0.0, -2.0], torch.tensor([3.0])):
        for method in (sign.kernel, tanh.kernel_derivative):
            with pytest.raises(ValueError, match="rho must be in"):
                method(rho)
    with pytest.raises(TypeError, match="rho"):
        sign.kernel("0.5")
    with pytest.raises(TypeError, match="activation must be"):
        activations.check("sign")


def test_numpy_functions_serve_tensors():
    mine = from_function(lambda x: np.sign(x) * np.sqrt(np.abs(x)), "root")
    x = torch.tensor([[-4.0, 9.0]], dtype=torch.float32)
    assert torch.equal(mine(x), torch.tensor([[-2.0, 3.0]]))
    stubborn = from_function(lambda x: np.tanh(np.asarray(x)), "numpy only")
    with pytest.raises(TypeError, match="gradient"):
        stubborn(x.requires_grad_())


def test_torch_is_not_imported():
    uses = "aetutor.limits.isotropic(1); aetutor.spectrum.learning_curve(1)"
    code = f"import sys, aetutor; {uses}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_kernel_on_cuda():
    rho = torch.linspace(-1, 1, 101, dtype=torch.float64)
    for activation in SHIPPED:
        assert torch.allclose(activation.kernel(rho.cuda()).cpu(), activation.kernel(rho), atol=1e-12)


def test_jumps_are_the_places_where_the_function_is_not_continuous():
    assert activations.sign.jumps == ((0.0, 2.0),)
    assert activations.tanh.jumps == activations.hard_tanh.jumps == ()
    assert activations.from_function(np.cbrt, "cube root").jumps == ()
    steps = activations.from_function(lambda x: np.sign(x) + 0.5 * np.sign(x) * (abs(x) > 1), "steps")
    assert [b for b, _ in sorted(steps.jumps)] == pytest.approx([-1, 0, 1])
    assert [height for _, height in sorted(steps.jumps)] == pytest.approx([0.5, 2, 0.5])


def test_a_jump_at_zero_is_found():
    found, known = activations.from_function(np.sign, "found"), activations.sign
    rho = np.array([-0.9, 0.0, 0.5, 0.99])
    np.testing.assert_allclose(found.kernel(rho), known.kernel(rho), atol=1e-12)
    np.testing.assert_allclose(found.kernel_derivative(rho), known.kernel_derivative(rho), rtol=1e-9)


def test_straight_pieces_have_no_breakpoints():
    assert activations.from_function(lambda x: np.sign(x) * (1 + abs(x)), "jump and slope").breakpoints == (
        0.0,
    )
