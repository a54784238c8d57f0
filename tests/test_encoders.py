import numpy as np
import pytest
import torch
from scipy import stats

from aetutor import encoders

MAKERS = [(encoders.gaussian, 7, 5), (encoders.orthogonal, 5, 7), (encoders.tight_frame, 7, 5)]


@pytest.mark.parametrize(("make", "n", "d"), MAKERS)
def test_shape_norm_seed_dtype(make, n, d):
    B = make(n, d, 3, batch=(2, 4))
    assert B.shape == (2, 4, n, d)
    assert B.dtype == torch.float64
    assert torch.allclose(B.norm(dim=-1), torch.ones(2, 4, n).double(), atol=1e-14)
    assert torch.equal(make(n, d, 3), make(n, d, 3))
    assert not torch.equal(make(n, d, 3), make(n, d, 4))
    assert make(n, d, 3, dtype=torch.float32).dtype == torch.float32
    assert make(n, d, 3, batch=2).shape == (2, n, d)


@pytest.mark.parametrize(("make", "n", "d"), MAKERS)
def test_generators_move_on_and_global_state_stays(make, n, d):
    generator = torch.Generator().manual_seed(0)
    before = torch.get_rng_state()
    assert not torch.equal(make(n, d, generator), make(n, d, generator))
    assert torch.equal(torch.get_rng_state(), before)


def test_orthogonal_rows():
    B = encoders.orthogonal(4, 9, 0, batch=3)
    assert torch.allclose(B @ B.mT, torch.eye(4).double().expand(3, 4, 4), atol=1e-14)


def test_square_frame_is_orthogonal():
    B = encoders.tight_frame(6, 6, 0)
    assert torch.allclose(B @ B.T, torch.eye(6).double(), atol=1e-13)


def test_frames_become_tight():
    defects = []
    for d in (20, 80, 320):
        B = encoders.tight_frame(2 * d, d, 0)
        defects.append(float((B.T @ B / 2 - torch.eye(d)).square().mean() * d))
    assert defects[0] > 3 * defects[1] > 9 * defects[2]


def test_haar_has_no_preferred_sign_or_direction():
    # A QR factorisation without the correction of signs fails this.
    B = encoders.orthogonal(3, 3, 0, batch=4000)
    for i in range(3):
        # One coordinate of a uniform point on the sphere in three dimensions is uniform.
        assert stats.kstest(B[:, i, i].numpy(), stats.uniform(-1, 2).cdf).pvalue > 1e-3
    turned = B @ encoders.orthogonal(3, 3, 1)
    assert stats.ks_2samp(B[:, 0, 1].numpy(), turned[:, 0, 1].numpy()).pvalue > 1e-3
    assert np.allclose(torch.linalg.det(B).abs(), 1)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: encoders.gaussian(0, 3), ValueError, "n must be at least 1, got 0"),
        (lambda: encoders.gaussian(3, -1), ValueError, "d must be"),
        (lambda: encoders.gaussian(2.5, 3), TypeError, "n must be a whole number, got 2.5"),
        (lambda: encoders.gaussian(2, 3, batch=0), ValueError, "batch"),
        (lambda: encoders.gaussian(2, 3, seed=-1), ValueError, "seed"),
        (lambda: encoders.gaussian(2, 3, seed="x"), TypeError, "seed"),
        (lambda: encoders.orthogonal(4, 3), ValueError, "n must be at most d.*tight_frame"),
        (lambda: encoders.tight_frame(2, 3), ValueError, "n must be at least d.*orthogonal"),
        (lambda: encoders.normalize(torch.zeros(2, 3)), ValueError, "B must have nonzero rows"),
        (lambda: encoders.normalize(torch.tensor([[1.0, torch.inf]])), ValueError, "B must have finite"),
        (lambda: encoders.normalize([[1.0]]), TypeError, "B must be a torch.Tensor"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()
