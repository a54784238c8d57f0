"""One style for every figure: theory is a line, simulation is points with error bars.

Colours are Okabe and Ito's, told apart with any colour vision; lines differ in dash and points in
marker too. Figures keep a white ground; the site's stylesheet turns line plots dark with the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aetutor.trajectory import Trajectory

__all__ = ["COLORS", "figure", "gallery", "matrix", "simulation", "theory", "trajectory"]

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444")
"""Blue, vermilion, green, purple, orange, sky blue, dark grey."""

_DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 1.5)), "-.", (0, (8, 2, 2, 2, 2, 2)), (0, (1, 1)), "-")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_STYLE: dict[str, Any] = {
    "figure.dpi": 144,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.size": 10.5,
    "axes.prop_cycle": cycler(color=COLORS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10.5,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.7,
    "lines.linewidth": 2.0,
    "lines.markersize": 5.5,
    "legend.frameon": False,
    "image.cmap": "gray_r",
}


def figure(
    columns: int = 1, *, width: float = 6.0, height: float = 3.7, **options: Any
) -> tuple[Figure, Any]:
    """A figure in the book's style with one axes, or a row of them.

    Parameters
    ----------
    columns : int
        How many axes side by side.
    width, height : float
        In inches.
    **options
        Passed to :func:`matplotlib.pyplot.subplots`.

    Returns
    -------
    Figure and Axes, or an array of Axes if `columns` > 1
    """
    with _style():
        return plt.subplots(1, columns, figsize=(width, height), **options)


def theory(ax: Axes, x: Any, y: Any, label: str | None = None, color: int = 0) -> None:
    """Draw a formula as a line.

    Parameters
    ----------
    ax : Axes
    x, y : array_like or Tensor
    label : str, optional
    color : int
        Index into :data:`COLORS`; it also picks the dash.
    """
    ax.plot(_array(x), _array(y), color=_of(COLORS, color), linestyle=_of(_DASHES, color), label=label)


def simulation(
    ax: Axes, x: Any, mean: Any, error: Any = None, label: str | None = None, color: int = 0
) -> None:
    """Draw measurements as points, with error bars of ± `error` where given.

    Parameters
    ----------
    ax : Axes
    x, mean : array_like or Tensor
    error : array_like or Tensor, optional
        Standard errors; say in the caption what they are over.
    label : str, optional
    color : int
        Index into :data:`COLORS`; it also picks the marker.
    """
    ax.errorbar(
        _array(x),
        _array(mean),
        yerr=None if error is None else _array(error),
        color=_of(COLORS, color),
        marker=_of(_MARKERS, color),
        linestyle="none",
        markeredgecolor="white",
        markeredgewidth=0.6,
        capsize=2.5,
        label=label,
        zorder=3,
    )


def trajectory(
    ax: Axes, run: Trajectory, label: str | None = None, color: int = 0, *, excess: bool = False
) -> None:
    """Draw the risk of any :class:`~aetutor.trajectory.Trajectory` against its limit.

    Theory, a run without matrices, is a line. A run with matrices is at most 25 points, the mean over its
    problems with standard errors; a dotted line marks the limit.

    Parameters
    ----------
    ax : Axes
    run : Trajectory
    label : str, optional
    color : int
        Index into :data:`COLORS`.
    excess : bool
        Draw risk/limit − 1 on a logarithmic axis, and no limit.
    """
    values = run.risk.reshape(-1, len(run.times))
    if excess:
        values = values / run.limit - 1
        ax.set_yscale("log")
    else:
        ax.axhline(run.limit, color=_of(COLORS, color), linestyle=":", linewidth=1, zorder=1)
    if run.B is None:
        theory(ax, run.times, values.mean(axis=0), label, color)
        return
    shown = np.unique(np.linspace(0, len(run.times) - 1, 25).round().astype(int))
    values = values[:, shown]
    error = values.std(axis=0, ddof=1) / len(values) ** 0.5 if len(values) > 1 else None
    simulation(ax, run.times[shown], values.mean(axis=0), error, label, color)


def matrix(ax: Axes, values: Any, title: str = "", limit: float = 1.0) -> None:
    """Draw a matrix as a heat map, blue for −`limit`, white for 0, red for `limit`."""
    ax.imshow(_array(values), cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set(title=title, xticks=[], yticks=[])
    ax.grid(False)


def gallery(
    rows: Mapping[str, Any], *, scale: float = 0.62, limits: Mapping[str, Any] | None = None
) -> Figure:
    """Rows of small images, each row with its label.

    Parameters
    ----------
    rows : mapping of str to array_like or Tensor, shape (count, height, width)
        Label and images of each row; all rows have the same count. Colour comes as (count, 3, height,
        width) with values from 0 to 1.
    scale : float
        Side of an image in inches.
    limits : mapping of str to (float, float), optional
        Values shown as white and black for a row; (0, 1) where not given.

    Returns
    -------
    Figure
    """
    limits = limits or {}
    columns = max(len(_array(images)) for images in rows.values())
    width = columns * scale + 1.3
    with _style():
        fig, axes = plt.subplots(len(rows), columns, figsize=(width, len(rows) * scale + 0.1), squeeze=False)
    for line, (label, images) in zip(axes, rows.items(), strict=True):
        low, high = limits.get(label, (0.0, 1.0))
        for ax, image in zip(line, _array(images), strict=False):
            image = np.moveaxis(image, 0, -1).clip(0, 1) if image.ndim == 3 else image
            ax.imshow(image, vmin=low, vmax=high, cmap="gray_r", interpolation="nearest")
        for ax in line:
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            for spine in ax.spines.values():
                spine.set_visible(False)
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    return fig


@contextmanager
def _style() -> Iterator[None]:
    """Apply the style, and after it restore these settings only.

    ``rc_context`` would restore all, and so undo what a notebook's backend sets when it starts.
    """
    settings: Any = mpl.rcParams
    before = {key: settings[key] for key in _STYLE}
    settings.update(_STYLE)
    try:
        yield
    finally:
        settings.update(before)


def _of(options: tuple[Any, ...], index: int) -> Any:
    return options[index % len(options)]


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
