import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from aetutor import descent, encoders, plotting, spectrum
from aetutor.activations import sign


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_theory_is_lines_and_simulation_points():
    _, ax = plotting.figure()
    plotting.theory(ax, [0, 1], torch.tensor([1.0, 2.0]), "theory", 1)
    plotting.simulation(ax, torch.tensor([0.5]), [1.5], [0.1], "simulation", 1)
    line, points = ax.lines[0], ax.containers[0].lines[0]
    assert line.get_marker() == "None"
    assert line.get_linestyle() != "None"
    assert points.get_linestyle() == "None"
    assert points.get_marker() == "s"
    assert line.get_color() == points.get_color() == plotting.COLORS[1]
    assert [text.get_text() for text in ax.legend().get_texts()] == ["theory", "simulation"]


def test_any_trajectory_is_drawn_against_its_limit():
    start = encoders.gaussian(6, 6, 0, batch=3)
    runs = [
        descent.projected_gradient(start, sign, steps=40),
        descent.projected_gradient(start[0], sign, steps=5),
        descent.tied_flow(start[0], sign, 2.0),
        spectrum.learning_curve(1.0, sign, 40),
        spectrum.replicator(1.0, sign, 4.0),
    ]
    for run in runs:
        _, ax = plotting.figure()
        plotting.trajectory(ax, run, "label", 2)
        assert ax.lines[0].get_ydata()[0] == run.limit
        drawn = ax.lines[1]
        assert drawn.get_xdata()[0] == 0
        assert drawn.get_xdata()[-1] == run.times[-1]
        assert drawn.get_ydata()[-1] == pytest.approx(run.risk[..., -1].mean())
        assert (drawn.get_marker() == "None") == (run.B is None)
        assert len(ax.containers) == (run.B is not None)
        plotting.trajectory(ax, run, excess=True)
        assert ax.get_yscale() == "log"
    assert len(ax.lines) == 3


def test_style_does_not_leak():
    before = dict(mpl.rcParams)
    plotting.figure(2)
    plotting.gallery({"a": np.zeros((2, 3, 3))})
    assert dict(mpl.rcParams) == before


def test_gallery_and_matrix():
    fig = plotting.gallery({"one": torch.rand(3, 4, 4), "two": np.ones((3, 2, 2))}, limits={"two": (-1, 1)})
    assert len(fig.axes) == 6
    _, ax = plotting.figure()
    plotting.matrix(ax, torch.eye(3), "eye")
    assert ax.get_title() == "eye"


def test_colours_are_told_apart_without_colour():
    """Each pair of the first four differs in luminance or is drawn with another dash and marker."""
    looks = {(str(plotting._DASHES[k]), plotting._MARKERS[k]) for k in range(6)}
    assert len(looks) == 6


def test_gallery_in_colour():
    red = np.zeros((2, 3, 4, 5))
    red[:, 0] = 1
    fig = plotting.gallery({"red": red, "grey": np.ones((2, 4, 5))})
    shown = fig.axes[0].images[0].get_array()
    assert shown.shape == (4, 5, 3)
    assert np.allclose(shown[..., 0], 1)
    assert np.allclose(shown[..., 1:], 0)
    plt.close(fig)
