"""Checks at the edge: each error names the argument, what came and what was expected."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


def count(value: Any, name: str, minimum: int = 1) -> int:
    """A whole number of at least `minimum`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if isinstance(value, bool) or number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value!r}")
    return number


def rows(rate: Any, d: int) -> int:
    """Rows of an encoder of this rate in d dimensions: at least one."""
    return max(1, round(positive(rate, "rate") * count(d, "d")))


def choice(value: Any, name: str, known: Iterable[Any]) -> None:
    """One of the known values."""
    known = tuple(known)
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")


def positive(value: Any, name: str, zero: bool = False) -> float:
    """A finite number greater than 0, or at least 0 where `zero` may come."""
    array = real_array(value, name)
    if array.ndim or not np.isfinite(array) or array < 0 or (array == 0 and not zero):
        raise ValueError(
            f"{name} must be a finite number {'of at least' if zero else 'greater than'} 0, got {value!r}"
        )
    return float(array)


def times(value: Any, name: str) -> np.ndarray:
    """Finite, increasing times from 0 on; a number T > 0 stands for 201 of them, from 0 to T."""
    array = real_array(value, name)
    if array.ndim == 0:
        array = np.linspace(0, positive(value, name), 201)
    if array.ndim != 1 or array.size < 2 or array[0] != 0 or not np.all(np.diff(array) > 0):
        raise ValueError(f"{name} must be increasing numbers, the first of them 0, got {value!r}")
    if not np.isfinite(array[-1]):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return array


def steps(value: Any, name: str, last: int) -> frozenset[int]:
    """Numbers of steps between 0 and `last`."""
    found = frozenset(count(step, name, minimum=0) for step in value)
    if found and max(found) > last:
        raise ValueError(f"{name} must be at most the {last} steps that are taken, got {max(found)}")
    return found


def rates(value: Any, name: str = "rate") -> np.ndarray:
    """Finite positive rates as a float64 array."""
    array = real_array(value, name)
    if not np.all(np.isfinite(array)) or np.any(array <= 0):
        bad = array[~(np.isfinite(array) & (array > 0))].flat[0]
        raise ValueError(f"{name} must be finite and greater than 0, got {bad}")
    return array


def real_array(value: Any, name: str) -> np.ndarray:
    """Anything array-like of real numbers as a float64 array."""
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, got {value!r} of dtype {array.dtype}")
    return array.astype(np.float64, copy=False)


def tensor(value: Any, name: str, minimum_ndim: int = 2) -> torch.Tensor:
    """A finite floating-point tensor with at least `minimum_ndim` dimensions, none of size 0."""
    import torch

    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if not value.dtype.is_floating_point:
        raise TypeError(f"{name} must have a real floating-point dtype, got {value.dtype}")
    if value.ndim < minimum_ndim or 0 in value.shape:
        raise ValueError(
            f"{name} must have at least {minimum_ndim} dimensions and none of size 0, "
            f"got shape {tuple(value.shape)}"
        )
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"{name} must have finite entries only, got infinite or NaN entries")
    return value


def encoder(B: Any, name: str = "B") -> torch.Tensor:
    """An encoder of shape (..., n, d) whose rows have unit norm."""
    import torch

    B = tensor(B, name)
    norms = torch.linalg.vector_norm(B.detach(), dim=-1)
    tolerance = 100 * torch.finfo(B.dtype).eps ** 0.75  # 2e-10 in double, 6e-4 in single
    worst = float((norms - 1).abs().max())
    if worst > tolerance:
        raise ValueError(
            f"{name} must have rows of unit norm, got norms from {float(norms.min()):.6g} "
            f"to {float(norms.max()):.6g}; aetutor.encoders.normalize(B) divides each row by its norm"
        )
    return B


def decoder(A: Any, B: torch.Tensor, name: str = "A") -> torch.Tensor:
    """A decoder of shape (..., d, n) that goes with the encoder `B`."""
    import torch

    if isinstance(A, torch.Tensor):
        alike(A, name, B, "B")
    A = tensor(A, name)
    n, d = B.shape[-2:]
    if tuple(A.shape[-2:]) != (d, n):
        raise ValueError(
            f"{name} must have shape (..., d, n) = (..., {d}, {n}) to go with B of shape "
            f"{tuple(B.shape)}, got {tuple(A.shape)}"
        )
    batches(A.shape[:-2], name, B.shape[:-2], "B")
    return A


def scales(value: Any, B: torch.Tensor, name: str = "scales", zero: bool = True) -> torch.Tensor:
    """Standard deviations of shape (d,) to go with the encoder `B`; none is 0 unless `zero` may come."""
    import torch

    array = value if isinstance(value, torch.Tensor) else np.array(real_array(value, name))
    D = torch.as_tensor(array, dtype=B.dtype, device=B.device).detach()
    if tuple(D.shape) != (B.shape[-1],):
        raise ValueError(f"{name} must have shape (d,) = ({B.shape[-1]},) to go with B, got {tuple(D.shape)}")
    low = float(D.min())
    if not bool(torch.isfinite(D).all()) or low < 0 or not bool(D.any()):
        raise ValueError(
            f"{name} must be finite, at least 0 and not all 0, got numbers from {low} to {float(D.max())}"
        )
    if low == 0 and not zero:
        raise ValueError(f"{name} must be greater than 0 where samples are divided by them, got a 0")
    return D


def alike(a: torch.Tensor, a_name: str, b: torch.Tensor, b_name: str) -> None:
    """Same dtype and same device."""
    if a.dtype != b.dtype:
        raise TypeError(f"{a_name} and {b_name} must share a dtype, got {a.dtype} and {b.dtype}")
    if a.device != b.device:
        raise ValueError(f"{a_name} and {b_name} must be on the same device, got {a.device} and {b.device}")


def device(value: Any, dtype: torch.dtype) -> torch.device:
    """A device that is there; "auto" is CUDA, then MPS (no double precision), then the CPU."""
    import torch

    if value == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        single = torch.finfo(dtype).bits <= 32
        return torch.device("mps" if single and torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(value)
        torch.empty(0, dtype=dtype, device=chosen)
    except (RuntimeError, TypeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device must be one that PyTorch can use here, got {value!r} ({reason})") from None
    return chosen


def floating(dtype: Any) -> torch.dtype:
    """torch.float32 or torch.float64."""
    import torch

    if dtype not in (torch.float32, torch.float64):
        raise TypeError(f"dtype must be torch.float32 or torch.float64, got {dtype!r}")
    return dtype


def batches(a: Any, a_name: str, b: Any, b_name: str) -> None:
    """Leading shapes that broadcast."""
    try:
        np.broadcast_shapes(tuple(a), tuple(b))
    except ValueError:
        raise ValueError(
            f"the leading dimensions of {a_name} and {b_name} must broadcast, got {tuple(a)} and {tuple(b)}"
        ) from None


def generator(seed: Any, purpose: str) -> torch.Generator:
    """A CPU generator from an integer seed, or the generator that came.

    An integer is mixed with the purpose, so that an encoder and samples drawn with the same seed
    are independent: drawn from one stream, the first samples would be the encoder's own rows.
    """
    import torch

    if isinstance(seed, torch.Generator):
        if seed.device.type != "cpu":
            raise ValueError(
                f"seed must be an int or a CPU torch.Generator (numbers are drawn on the CPU so that "
                f"every device sees the same ones), got a generator on {seed.device}"
            )
        return seed
    entropy = [count(seed, "seed", minimum=0), *purpose.encode()]
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))
