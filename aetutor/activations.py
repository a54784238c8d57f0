"""Activations: an odd function, its Hermite coefficients and its kernel.

Write σ = Σ c_ℓ h_ℓ in the Hermite polynomials that are orthonormal under N(0, 1).
The kernel is f(ρ) = Σ c_ℓ² ρ^ℓ = E[σ(g)σ(g′)] for unit Gaussians g, g′ with correlation ρ.
Everything the theory needs to know of σ is c₁, f and the gain g = f(1)/c₁² − 1.

The formulas are derived in the chapter "Hermite polynomials and the kernel of an activation".
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import dct
from scipy.special import erf as _erf

from aetutor import _checks

__all__ = [
    "Activation",
    "cubic",
    "erf",
    "from_function",
    "hard_tanh",
    "identity",
    "sign",
    "sin",
    "tanh",
]

_REACH = 10.0  # N(0, 1) puts 1.5e-23 beyond
_MARKS = 0.01 * 4.0 ** np.arange(5)  # graded panel edges around 0, where steep functions are steep
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True)
class ClosedForm:
    """What is known of an activation without quadrature: c₁, f(1), f and f′."""

    c1: float
    second_moment: float
    kernel: Callable[[Any], Any]
    kernel_derivative: Callable[[Any], Any]


@dataclass(frozen=True, eq=False, repr=False)
class Activation:
    """An odd activation σ with its Hermite expansion and kernel.

    Calling it applies σ entrywise to a number, a NumPy array or a torch tensor.
    Use the instances of this module or :func:`from_function`.

    Attributes
    ----------
    name : str
        What figures and tables call it.
    function : callable
        σ itself, on arrays.
    breakpoints : tuple of float
        Where σ jumps or has a kink. Quadrature is split there.
    closed_form : ClosedForm or None
        Exact constants and kernel where they are known.
    """

    name: str
    function: Callable[[Any], Any]
    breakpoints: tuple[float, ...] = ()
    closed_form: ClosedForm | None = field(default=None)

    def __repr__(self) -> str:
        return f"Activation({self.name!r})"

    def __call__(self, x: Any) -> Any:
        """Apply σ entrywise; a tensor comes back as a tensor of the same dtype and device."""
        if not _is_tensor(x):
            values = np.asarray(self.function(np.asarray(x, dtype=np.float64)))
            return values if values.ndim else float(values)
        if self._takes_tensors:
            return self.function(x).to(x.dtype)
        if x.requires_grad:
            raise TypeError(
                f"x must not require a gradient: {self!r} was written for NumPy arrays and cannot be "
                "differentiated through; write sigma with torch functions for that"
            )
        array = np.asarray(self.function(x.detach().cpu().double().numpy()))
        return x.new_tensor(array)

    @functools.cached_property
    def _takes_tensors(self) -> bool:
        """Whether σ, on a tensor, gives the tensor that it should without a complaint."""
        x = sys.modules["torch"].tensor([-1.25, -0.5, 0.75], dtype=sys.modules["torch"].float64)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                values = self.function(x)
            except Exception:
                return False
        return _is_tensor(values) and np.allclose(values.numpy(), self._values(x.numpy()))

    # The expansion

    @functools.cached_property
    def c1(self) -> float:
        """First Hermite coefficient c₁ = E[gσ(g)]."""
        return self.closed_form.c1 if self.closed_form else self.hermite(1)

    @functools.cached_property
    def second_moment(self) -> float:
        """f(1) = E[σ(g)²]."""
        if self.closed_form:
            return self.closed_form.second_moment
        x, w = _gauss_panels(self.breakpoints)
        return float(w @ self._values(x) ** 2)

    @functools.cached_property
    def gain(self) -> float:
        """G = f(1)/c₁² − 1, zero for a linear activation and π/2 − 1 for the sign."""
        return self.second_moment / self.c1**2 - 1

    @functools.cached_property
    def jumps(self) -> tuple[tuple[float, float], ...]:
        """Place and height of each jump: those breakpoints at which σ is not continuous."""
        found = []
        for b in self.breakpoints:
            steps = np.array([1e-12, 1e-9]) * max(1.0, abs(b))
            near, far = self._values(b + steps) - self._values(b - steps)
            if abs(near) > max(1e-6, abs(far) / 2):  # a steep but continuous place would have shrunk away
                found.append((float(b), float(near)))
        return tuple(found)

    def hermite(self, order: ArrayLike) -> Any:
        """Coefficient c_ℓ = E[σ(g)h_ℓ(g)] of the orthonormal Hermite polynomial h_ℓ.

        Parameters
        ----------
        order : int or array_like of int
            ℓ ≥ 0.

        Returns
        -------
        float or ndarray
            One coefficient for each order; exactly 0 for even orders, since σ is odd.

        Raises
        ------
        TypeError, ValueError
            If an order is not a whole number of at least 0.
        """
        orders = np.asarray(order)
        if orders.dtype.kind not in "iu":
            raise TypeError(f"order must be a whole number or an array of them, got {order!r}")
        if orders.size == 0 or orders.min() < 0:
            raise ValueError(f"order must be at least 0, got {order!r}")
        top = int(orders.max())
        x, w = _gauss_panels(self.breakpoints, reach=_REACH + 2 * np.sqrt(top), density=False)
        # Hermite functions h_ℓ √φ stay bounded where h_ℓ alone would overflow.
        root_density = np.exp(-(x**2) / 4) / (2 * np.pi) ** 0.25
        weighted = w * self._values(x) * root_density
        coefficients = np.zeros(top + 1)
        previous, current = np.zeros_like(x), root_density
        for k in range(top + 1):
            if k % 2:
                coefficients[k] = weighted @ current
            previous, current = current, (x * current - np.sqrt(k) * previous) / np.sqrt(k + 1)
        result = coefficients[orders]
        return result if result.ndim else float(result)

    # The kernel

    def kernel(self, rho: Any) -> Any:
        """Kernel f(ρ) = E[σ(g)σ(g′)] of unit Gaussians with correlation ρ.

        Parameters
        ----------
        rho : float, array_like or torch.Tensor
            Correlations in [−1, 1]. Values that leave the interval by rounding are clipped.

        Returns
        -------
        float, ndarray or torch.Tensor
            Same shape as `rho`; differentiable for a tensor. Where f has an infinite
            slope (the sign at ρ = ±1) the gradient is taken just inside the interval.

        Raises
        ------
        ValueError
            If an entry is NaN or outside [−1, 1].
        """
        rho = _correlations(rho)
        if _is_tensor(rho):
            return _differentiable_kernel().apply(rho, self)
        value = self._kernel(rho)
        return value if value.ndim else float(value)

    def kernel_derivative(self, rho: Any) -> Any:
        """Derivative f′(ρ), infinite at ρ = ±1 for an activation that jumps.

        Takes and returns what :meth:`kernel` does.
        """
        rho = _correlations(rho)
        with np.errstate(divide="ignore"):
            value = self._kernel_derivative(rho)
        return value if _is_tensor(rho) or value.ndim else float(value)

    def _kernel(self, rho: Any) -> Any:
        if self.closed_form:
            return self.closed_form.kernel(rho)
        x = _library(rho).arcsin(rho) * (2 / np.pi)
        b0, b1, _ = _clenshaw(self._table.kernel, 2 * x * x - 1)
        return x * (b0 - b1)

    def _kernel_derivative(self, rho: Any) -> Any:
        if self.closed_form:
            return self.closed_form.kernel_derivative(rho)
        lib = _library(rho)
        x = lib.arcsin(rho) * (2 / np.pi)
        b0, b1, y = _clenshaw(self._table.smooth_derivative, 2 * x * x - 1)
        smooth = b0 - y * b1
        if self._table.jump == 0:
            return smooth
        return smooth + self._table.jump / lib.sqrt((1 - rho) * (1 + rho))

    def _values(self, x: np.ndarray) -> np.ndarray:
        values = np.asarray(self.function(x), dtype=np.float64)
        if values.shape != x.shape:
            raise ValueError(
                f"sigma must act entrywise: for an array of shape {x.shape} it gave shape {values.shape}"
            )
        if not np.all(np.isfinite(values)):
            raise ValueError(f"sigma must be finite, got {values[~np.isfinite(values)].flat[0]}")
        return values

    @functools.cached_property
    def _table(self) -> _KernelTable:
        return _tabulate(self)


@dataclass(frozen=True)
class _KernelTable:
    """f(sin θ) = Σ kernel_k T_{2k+1}(2θ/π) and f′(sin θ) = jump/cos θ + Σ smooth_k T_{2k}(2θ/π).

    In the angle θ the square-root behaviour that jumps and kinks give f at ρ = ±1 becomes
    smooth, so that few Chebyshev polynomials serve the whole interval, ends included.
    """

    kernel: np.ndarray
    smooth_derivative: np.ndarray
    jump: float


def _tabulate(activation: Activation, size: int = 64) -> _KernelTable:
    """Quadrature for f and f′ at Chebyshev points, by the identity f(s²) = E[(T_s σ)(x)²].

    T_s σ(x) = E_z σ(sx + √(1−s²) z) is the Ornstein–Uhlenbeck smoothing of σ. Its derivative
    needs no σ′: it is s E_z[z σ(sx + √(1−s²) z)]/√(1−s²), by parts.
    """
    # Jumps Δ at b give f′ the singular part φ(b)Δ²/√(2π(1−ρ²)).
    jumps = sum(np.exp(-(b**2) / 2) * height**2 / (2 * np.pi) for b, height in activation.jumps)
    marks = np.unique(np.concatenate([-_MARKS, [0.0], _MARKS, activation.breakpoints]))
    half = size // 2
    angles = np.pi / 2 * np.cos(np.pi * (np.arange(half) + 0.5) / size)  # the positive half
    kernel, derivative = np.empty(half), np.empty(half)
    for i, angle in enumerate(angles):
        s2 = np.sin(angle)
        s, q = np.sqrt(s2), np.sqrt(2) * np.sin((np.pi / 2 - angle) / 2)  # q² = 1 − sin θ
        layers = q / s * 2.0 ** np.arange(-1, 5)
        edges = np.concatenate([m / s + np.concatenate([-layers, [0], layers]) for m in marks])
        x, w = _gauss_panels(edges, panels_per_unit=2)
        x, w = x[x > 0], 2 * w[x > 0]  # both integrands are even
        smoothed, slope = _smooth(activation, x, s, q, marks)
        kernel[i] = w @ smoothed**2
        derivative[i] = w @ slope**2
    smooth = derivative - jumps / np.cos(angles)
    series = _trim(dct(np.concatenate([kernel, -kernel[::-1]]))[1::2] / size)
    return _KernelTable(
        # The last digit of f(1) decides whether a matrix with parallel rows is seen to be singular.
        kernel=series * (activation.second_moment / series.sum()),
        smooth_derivative=_trim(
            dct(np.concatenate([smooth, smooth[::-1]]))[::2] / size * np.r_[0.5, np.ones(half - 1)]
        ),
        jump=float(jumps),
    )


def _smooth(activation: Activation, x: np.ndarray, s: float, q: float, marks: np.ndarray) -> Any:
    """E_z σ(sx + qz) and E_z[z σ(sx + qz)]/q at every x, with panels that follow the marks."""
    moving = np.clip((marks - s * x[:, None]) / q, -_REACH, _REACH)
    fixed = np.broadcast_to(np.arange(-_REACH, _REACH + 1), (x.size, int(2 * _REACH) + 1))
    edges = np.sort(np.concatenate([fixed, moving], axis=1), axis=1)
    middle, half = (edges[:, 1:] + edges[:, :-1]) / 2, (edges[:, 1:] - edges[:, :-1]) / 2
    z = middle[..., None] + half[..., None] * _NODES
    weight = half[..., None] * _WEIGHTS * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    weight *= activation._values(s * x[:, None, None] + q * z)
    return weight.sum(axis=(1, 2)), (weight * z).sum(axis=(1, 2)) / q


def _trim(coefficients: np.ndarray) -> np.ndarray:
    """Drop the trailing coefficients that are rounding noise."""
    keep = np.nonzero(np.abs(coefficients) > 1e-15 * np.abs(coefficients).max())[0]
    return coefficients[: keep[-1] + 1]


def _clenshaw(coefficients: np.ndarray, y: Any) -> tuple[Any, Any, Any]:
    """Clenshaw's recurrence in y = T₂(x), shared by the odd and the even series."""
    b0, b1, twice = 0 * y, 0 * y, 2 * y
    for a in coefficients[::-1].tolist():
        b0, b1 = twice * b0 - b1 + a, b0
    return b0, b1, y


def _gauss_panels(
    edges: ArrayLike, reach: float = _REACH, panels_per_unit: int = 8, density: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of composite Gauss–Legendre on [−reach, reach], split at `edges`.

    With `density` the weights carry the density of N(0, 1).
    """
    inner = np.concatenate([np.asarray(edges, dtype=float).ravel(), -_MARKS, _MARKS])
    count = 2 * int(np.ceil(panels_per_unit * reach))
    uniform = np.linspace(-reach, reach, count + 1)
    ends = np.unique(np.concatenate([uniform, inner[np.abs(inner) < reach]]))
    middle, half = (ends[1:] + ends[:-1]) / 2, np.diff(ends) / 2
    x = (middle[:, None] + half[:, None] * _NODES).ravel()
    w = (half[:, None] * _WEIGHTS).ravel()
    return x, w * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) if density else w


def from_function(
    sigma: Callable[[Any], Any], name: str, breakpoints: Sequence[float] | None = None
) -> Activation:
    """Make an :class:`Activation` of any odd function.

    Parameters
    ----------
    sigma : callable
        Takes a float64 NumPy array, gives an array of the same shape. If it also takes torch
        tensors, so does the activation, and it can be differentiated through.
    name : str
        What figures and tables call it.
    breakpoints : sequence of float, optional
        Where `sigma` jumps or has a kink; one sign of each is enough. When left out, they are
        located by bisection in [−10, 10].

    Returns
    -------
    Activation

    Raises
    ------
    TypeError
        If `sigma` is not callable.
    ValueError
        If `sigma` is not odd, is constant, is not finite, grows too fast to have a second moment
        under N(0, 1), or has no linear part (c₁ = 0), for then no rate is of any use.

    Notes
    -----
    c₁ and f(1) come from composite Gauss–Legendre quadrature split at the breakpoints: errors
    are near 1e-14 for piecewise smooth functions. Breakpoints closer together than 0.004 may be
    missed by the search, and then cost up to about 1e-5: list them.
    """
    if not callable(sigma):
        raise TypeError(f"sigma must be callable, got {type(sigma).__name__}")
    activation = Activation(str(name), sigma)
    x = np.linspace(1e-3, _REACH, 1999) + 1e-7 * np.pi  # off round numbers, where jumps sit
    positive, negative = activation._values(x), activation._values(-x)
    scale = np.abs(positive).max()
    if scale == 0 or np.ptp(np.concatenate([positive, negative])) == 0:
        raise ValueError(f"sigma must not be constant, got the constant {positive[0]}")
    defect = np.abs(positive + negative)
    if defect.max() > 1e-9 * scale:
        worst = int(defect.argmax())
        raise ValueError(
            f"sigma must be odd, sigma(-x) = -sigma(x), got sigma({x[worst]:.4g}) = "
            f"{positive[worst]:.6g} and sigma({-x[worst]:.4g}) = {negative[worst]:.6g}"
        )
    if breakpoints is None:
        found = _find_breakpoints(activation)
    else:
        found = _checks.real_array(list(breakpoints), "breakpoints").ravel()
        if not np.all(np.isfinite(found)):
            raise ValueError(f"breakpoints must be finite, got {list(breakpoints)}")
    activation = Activation(str(name), sigma, tuple(np.unique(np.concatenate([found, -found])).tolist()))
    # In the last unit of the reach a function of moderate growth leaves almost nothing.
    if positive[-1] ** 2 * np.exp(-(x[-1] ** 2) / 2) > 1e-12 * activation.second_moment:
        raise ValueError("sigma must have a second moment under N(0, 1), got one that grows too fast")
    if activation.c1**2 < 1e-16 * activation.second_moment:
        raise ValueError(
            "sigma must have a linear part, got c1 = E[g sigma(g)] = 0: no linear decoder can use it"
        )
    return activation


def _find_breakpoints(activation: Activation) -> np.ndarray:
    """Non-negative jumps and kinks of σ up to the reach."""
    h = 1e-5

    def slope(x: np.ndarray) -> np.ndarray:
        return (activation._values(x + h) - activation._values(x - h)) / (2 * h)

    jumps = _bisect_jumps(activation._values, 4e-15)
    kinks = _bisect_jumps(slope, 4 * h)
    near_jump = np.abs(kinks[:, None] - jumps[None, :]).min(axis=1, initial=np.inf) < 8 * h
    return np.concatenate([jumps, kinks[~near_jump]])


def _bisect_jumps(function: Callable[[np.ndarray], np.ndarray], width: float) -> np.ndarray:
    """Where `function` still changes as much over `width` as over a step of the grid."""
    step = 1e-3
    # A little to the left of 0 too, so that a jump there has neighbours on both sides.
    grid = (np.arange(-2, int(_REACH / step)) - np.sqrt(0.5)) * step
    values = function(grid)
    change = np.abs(np.diff(values))
    padded = np.pad(change, 2, mode="edge")
    neighbours = np.maximum(padded[:-4], padded[4:])  # two to the left, two to the right
    found = []
    for i in np.nonzero(change > 4 * neighbours + 1e-9 * np.abs(values).max())[0]:
        low, high = grid[i], grid[i + 1]
        while high - low > width * max(1.0, abs(low)):
            middle = (low + high) / 2
            a, b, c = function(np.array([low, middle, high]))
            low, high = (low, middle) if abs(b - a) >= abs(c - b) else (middle, high)
        a, b = function(np.array([low, high]))
        if abs(b - a) > 0.5 * change[i]:  # a steep but continuous stretch would have shrunk away
            found.append(0.0 if abs(low) < 1e-12 else (low + high) / 2)
    return np.array(found)


def check(activation: Any, name: str = "activation") -> Activation:
    """The activation that came, or a TypeError that says how to get one."""
    if not isinstance(activation, Activation):
        raise TypeError(
            f"{name} must be an aetutor.activations.Activation such as activations.sign, or made by "
            f"from_function, got {activation!r}"
        )
    return activation


# Arrays and tensors alike


def _is_tensor(x: Any) -> bool:
    return "torch" in sys.modules and isinstance(x, sys.modules["torch"].Tensor)


def _library(x: Any) -> Any:
    return sys.modules["torch"] if _is_tensor(x) else np


def _correlations(rho: Any) -> Any:
    """Correlations clipped to [−1, 1] after a check."""
    if not _is_tensor(rho):
        rho = _checks.real_array(rho, "rho")
    elif not rho.dtype.is_floating_point:
        raise TypeError(f"rho must have a real floating-point dtype, got {rho.dtype}")
    tolerance = 1e-3 if rho.dtype.itemsize < 8 else 1e-8
    inside = abs(rho) <= 1 + tolerance  # False for NaN
    if not bool(inside.all()):
        raise ValueError(f"rho must be in [-1, 1], got {float(rho[~inside].ravel()[0])}")
    return rho.clip(-1, 1)


@functools.cache
def _differentiable_kernel() -> Any:
    import torch

    class Kernel(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, rho: Any, activation: Activation) -> Any:
            ctx.save_for_backward(rho)
            ctx.activation = activation
            return activation._kernel(rho)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, gradient: Any) -> Any:
            (rho,) = ctx.saved_tensors
            inside = 1 - 4 * torch.finfo(rho.dtype).eps
            return gradient * ctx.activation._kernel_derivative(rho.clip(-inside, inside)), None

    return Kernel


# The shipped instances


def _sign(x: Any) -> Any:
    ones = _library(x).ones_like(x)
    return _library(x).where(x >= 0, ones, -ones)


sign = Activation(
    "sign",
    _sign,
    (0.0,),
    ClosedForm(
        c1=float(np.sqrt(2 / np.pi)),
        second_moment=1.0,
        kernel=lambda rho: _library(rho).arcsin(rho) * (2 / np.pi),
        kernel_derivative=lambda rho: (2 / np.pi) / _library(rho).sqrt((1 - rho) * (1 + rho)),
    ),
)
"""sign(x), with sign(0) = +1, which gives one bit for each row of the encoder."""

identity = Activation(
    "identity",
    lambda x: 1 * x,
    (),
    ClosedForm(1.0, 1.0, lambda rho: 1 * rho, lambda rho: _library(rho).ones_like(rho)),
)
"""x itself, which makes the autoencoder linear."""

tanh = Activation("tanh", lambda x: _library(x).tanh(x))
"""tanh(x)."""

erf = Activation(
    "erf",
    lambda x: (sys.modules["torch"].erf if _is_tensor(x) else _erf)(x / np.sqrt(2)),
    (),
    ClosedForm(
        c1=float(1 / np.sqrt(np.pi)),
        second_moment=1 / 3,
        kernel=lambda rho: _library(rho).arcsin(rho / 2) * (2 / np.pi),
        kernel_derivative=lambda rho: (2 / np.pi) / _library(rho).sqrt((2 - rho) * (2 + rho)),
    ),
)
"""erf(x/√2) = P(−x ≤ g ≤ x) for g ~ N(0, 1) and x ≥ 0, and odd."""

hard_tanh = Activation("hard tanh", lambda x: _library(x).clip(x, -1, 1), (-1.0, 1.0))
"""x clipped to [−1, 1]."""

sin = Activation(
    "sin",
    lambda x: _library(x).sin(x),
    (),
    ClosedForm(
        c1=float(np.exp(-0.5)),
        second_moment=float(np.exp(-1) * np.sinh(1)),
        kernel=lambda rho: _library(rho).sinh(rho) * np.exp(-1),
        kernel_derivative=lambda rho: _library(rho).cosh(rho) * np.exp(-1),
    ),
)
"""sin(x)."""

cubic = Activation(
    "cubic",
    lambda x: x**3,
    (),
    ClosedForm(3.0, 15.0, lambda rho: 9 * rho + 6 * rho**3, lambda rho: 9 + 18 * rho**2),
)
"""x³ = 3h₁(x) + √6 h₃(x)."""
