import numpy as np
import pytest
import torch

from aetutor import encoders, limits, risk, sources
from aetutor.activations import cubic, erf, from_function, hard_tanh, identity, sign, sin, tanh

SHIPPED = (sign, identity, tanh, erf, hard_tanh, sin, cubic)
ids = {"ids": lambda v: getattr(v, "name", None)}


def decoder(d, n, seed=0, batch=()):
    return torch.randn(*batch, d, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) / n


@pytest.mark.parametrize("activation", SHIPPED, **ids)
@pytest.mark.parametrize(("n", "d"), [(3, 6), (6, 6), (11, 6)])
def test_best_decoder(activation, n, d):
    B = encoders.gaussian(n, d, 0)
    A = risk.optimal_decoder(B, activation)
    best = risk.population(A, B, activation)
    assert best == pytest.approx(float(risk.minimal(B, activation)), abs=1e-9)
    for seed in range(5):
        assert risk.population(A + 0.01 * decoder(d, n, seed), B, activation) >= best - 1e-12


@pytest.mark.parametrize("activation", SHIPPED, **ids)
def test_batched_equals_one_by_one(activation):
    B, A = encoders.gaussian(9, 5, 1, batch=(2, 3)), decoder(5, 9, 1, (2, 3))
    B[0, 1, 4] = B[0, 1, 3]  # one problem of the batch is singular
    for function, arguments in (
        (risk.population, (A, B)),
        (risk.optimal_decoder, (B,)),
        (risk.minimal, (B,)),
        (risk.kernel_matrix, (B,)),
    ):
        together = function(*arguments, activation)
        for i in np.ndindex(2, 3):
            alone = function(*(argument[i] for argument in arguments), activation)
            assert torch.allclose(together[i], alone, atol=1e-7)


def test_leading_dimensions_broadcast():
    B, A = encoders.gaussian(4, 3, 0, batch=5), decoder(3, 4, 0, (2, 1))
    assert risk.population(A, B, sign).shape == (2, 5)
    x = torch.randn(7, 3, dtype=torch.float64)
    assert risk.reconstruct(A, B, sign, x).shape == (2, 5, 7, 3)
    assert risk.empirical(A, B, sign, x).shape == (2, 5)


@pytest.mark.parametrize("activation", SHIPPED, **ids)
def test_gradients(activation):
    rows, A = encoders.gaussian(4, 3, 2).requires_grad_(), decoder(3, 4).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, b: risk.population(a, encoders.normalize(b), activation), (A, rows)
    )
    if activation is not identity:
        assert torch.autograd.gradcheck(
            lambda b: risk.minimal(encoders.normalize(b), activation), rows, atol=1e-4
        )


@pytest.mark.parametrize("activation", SHIPPED, **ids)
@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-9, 1e-6, 1e-4, np.pi])
def test_parallel_rows(activation, angle):
    *rows, spare = encoders.orthogonal(5, 8, 0)
    B = torch.stack(rows)
    extra = np.cos(angle) * B[0] + np.sin(angle) * spare
    B = torch.cat([B, extra[None], B[1:2]])
    risky = risk.minimal(B, activation)
    reduced = float(risk.minimal(B[:4], activation))
    digits = 3e-4 if angle == 1e-6 else 1e-5  # the condition number is 1/angle²
    # Two nearly equal looks tell a new direction, if the digits suffice; they cannot hurt.
    assert limits.isotropic(5 / 8, activation) - digits <= risky <= reduced + 1e-6
    if angle in (0.0, np.pi):
        assert risky == pytest.approx(reduced, abs=1e-7)
    A = risk.optimal_decoder(B, activation)
    assert A.isfinite().all()
    assert risk.population(A, B, activation) == pytest.approx(float(risky), abs=digits)
    leaf = B.clone().requires_grad_()
    risk.minimal(leaf, activation).backward()
    assert leaf.grad.isfinite().all()


def test_singular_kernels_of_polynomials():
    B = encoders.gaussian(30, 2, 0)  # far more rows than monomials of degree 1 and 3
    for activation in (identity, cubic):
        assert risk.minimal(B, activation) + 1e-9 >= 0
        assert risk.optimal_decoder(B, activation).isfinite().all()
    assert risk.minimal(B, identity) == pytest.approx(0, abs=1e-9)


def test_float32():
    B = encoders.tight_frame(60, 30, 0)
    for activation in (sign, tanh):
        single = risk.minimal(B.float(), activation)
        assert single.dtype == torch.float32
        assert float(single) == pytest.approx(float(risk.minimal(B, activation)), abs=1e-4)


# Monte Carlo


def test_monte_carlo_is_calibrated_and_repeats():
    B = encoders.gaussian(6, 4, 0)
    A = risk.optimal_decoder(B, sign)
    exact = float(risk.population(A, B, sign))
    runs = [risk.monte_carlo(A, B, sign, sources.Gaussian(4), 2000, seed) for seed in range(60)]
    z = np.array([(run.mean - exact) / run.standard_error for run in runs])
    assert abs(z.mean()) < 4 / 60**0.5
    assert 0.7 < z.std() < 1.3
    assert runs[0] == risk.monte_carlo(A, B, sign, sources.Gaussian(4), 2000, 0)
    assert runs[0].samples == 2000


class Recording(sources.Gaussian):
    def sample(self, count, *arguments, **options):
        self.counts.append(count)
        x = super().sample(count, *arguments, **options)
        self.seen.append(x)
        return x


def test_monte_carlo_streams():
    d, n = 200, 400
    source = Recording(d)
    object.__setattr__(source, "counts", [])
    object.__setattr__(source, "seen", [])
    B = encoders.tight_frame(n, d, 0, dtype=torch.float32)
    A = risk.optimal_decoder(B, sign)
    run = risk.monte_carlo(A, B, sign, source, 20_000, 0)
    assert sum(source.counts) == 20_000
    assert max(source.counts) * (n + d) <= 2**22
    error = (
        (torch.cat(source.seen) - risk.reconstruct(A, B, sign, torch.cat(source.seen)))
        .square()
        .mean(dim=1)
        .double()
    )
    assert run.mean == pytest.approx(float(error.mean()), rel=1e-9)
    assert run.standard_error == pytest.approx(float(error.std() / 20_000**0.5), rel=1e-9)


def test_monte_carlo_of_a_batch():
    B = encoders.gaussian(3, 4, 0, batch=2)
    A = risk.optimal_decoder(B, tanh)
    run = risk.monte_carlo(A, B, tanh, sources.Gaussian(4), 50_000, 0)
    assert run.mean.shape == run.standard_error.shape == (2,)
    assert ((run.mean - risk.minimal(B, tanh)).abs() < 4 * run.standard_error).all()


def test_empirical_and_least_squares():
    x = sources.Gaussian(5).sample(500, 0, dtype=torch.float64)
    B = encoders.gaussian(7, 5, 0)
    A = risk.least_squares_decoder(B, sign, x)
    least = risk.empirical(A, B, sign, x)
    by_hand = ((x - sign(x @ B.T) @ A.T) ** 2).mean()
    assert least == pytest.approx(float(by_hand))
    for seed in range(5):
        assert risk.empirical(A + 0.01 * decoder(5, 7, seed), B, sign, x) > least
    reference = torch.linalg.lstsq(sign(x @ B.T), x).solution.T
    assert torch.allclose(A, reference, atol=1e-9)


def test_more_codes_than_samples():
    x, B = sources.Gaussian(5).sample(6, 0, dtype=torch.float64), encoders.gaussian(40, 5, 0)
    codes = sign(x @ B.T)
    assert torch.linalg.matrix_rank(codes) == len(x), "six codes that no linear rule confuses"
    A = risk.least_squares_decoder(B, sign, x)
    assert torch.allclose(A, (torch.linalg.pinv(codes) @ x).T, atol=1e-9)
    assert risk.empirical(A, B, sign, x) < 1e-12


def test_a_readers_activation_goes_all_the_way():
    quantizer = limits.lloyd_max_quantizer(3)
    mine = from_function(quantizer, "3 levels", quantizer.thresholds)
    B = encoders.orthogonal(4, 4, 0)
    A = risk.optimal_decoder(B, mine)
    assert float(risk.population(A, B, mine)) == pytest.approx(limits.lloyd_max(3), abs=1e-10)
    run = risk.monte_carlo(A, B, mine, sources.Gaussian(4), 50_000, 0)
    assert abs(run.mean - limits.lloyd_max(3)) < 4 * run.standard_error


# Bad input

GOOD_B, GOOD_A = encoders.gaussian(4, 3, 0), decoder(3, 4)
INFINITE = GOOD_A.clone()
INFINITE[0, 0] = torch.inf
X = torch.randn(6, 3).double()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: risk.population(GOOD_A, 2 * GOOD_B, sign),
            ValueError,
            "B must have rows of unit norm, got norms from 2",
        ),
        (lambda: risk.minimal(GOOD_B.numpy(), sign), TypeError, "B must be a torch.Tensor, got ndarray"),
        (lambda: risk.minimal(GOOD_B[0], sign), ValueError, "B must have at least 2 dimensions"),
        (lambda: risk.minimal(GOOD_B[:0], sign), ValueError, "B must have.*none of size 0"),
        (lambda: risk.minimal(GOOD_B.long(), sign), TypeError, "B must have a real floating-point dtype"),
        (lambda: risk.minimal(GOOD_B * torch.nan, sign), ValueError, "B must have finite entries"),
        (lambda: risk.population(INFINITE, GOOD_B, sign), ValueError, "A must have finite entries"),
        (
            lambda: risk.population(GOOD_A.T, GOOD_B, sign),
            ValueError,
            r"A must have shape \(..., d, n\) = \(..., 3, 4\)",
        ),
        (lambda: risk.population(GOOD_A.float(), GOOD_B, sign), TypeError, "A and B must share a dtype"),
        (
            lambda: risk.population(GOOD_A.expand(2, 3, 4), GOOD_B.expand(3, 4, 3), sign),
            ValueError,
            "leading dimensions of A and B",
        ),
        (lambda: risk.minimal(GOOD_B, "sign"), TypeError, "activation must be"),
        (lambda: risk.reconstruct(GOOD_A, GOOD_B, sign, X[:, :2]), ValueError, "x must have shape"),
        (lambda: risk.empirical(GOOD_A, GOOD_B, sign, X.float()), TypeError, "x and B must share a dtype"),
        (
            lambda: risk.least_squares_decoder(GOOD_B, sign, X * torch.inf),
            ValueError,
            "data must have finite",
        ),
        (
            lambda: risk.monte_carlo(GOOD_A, GOOD_B, sign, sources.Gaussian(5), 10),
            ValueError,
            "source must have dimension",
        ),
        (lambda: risk.monte_carlo(GOOD_A, GOOD_B, sign, X, 10), TypeError, "source must be"),
        (
            lambda: risk.monte_carlo(GOOD_A, GOOD_B, sign, sources.Gaussian(3), 1),
            ValueError,
            "samples must be at least 2",
        ),
        (lambda: risk.monte_carlo(GOOD_A, GOOD_B, sign, sources.Gaussian(3), 1e3), TypeError, "samples"),
        (
            lambda: risk.population(GOOD_A.to("meta"), GOOD_B, sign),
            ValueError,
            "A and B must be on the same device",
        ),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_risk_on_cuda():
    B = encoders.tight_frame(60, 30, 0)
    A = risk.optimal_decoder(B, tanh)
    assert torch.allclose(risk.population(A.cuda(), B.cuda(), tanh).cpu(), risk.population(A, B, tanh))
    assert torch.allclose(risk.optimal_decoder(B.cuda(), tanh).cpu(), A)
    run = risk.monte_carlo(A.cuda(), B.cuda(), tanh, sources.Gaussian(30), 10_000, 0)
    assert run.mean == pytest.approx(
        risk.monte_carlo(A, B, tanh, sources.Gaussian(30), 10_000, 0).mean, rel=1e-9
    )
