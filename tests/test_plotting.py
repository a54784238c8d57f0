import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from aetutor import plotting


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
