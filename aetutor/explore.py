"""Figures to play with: sliders that work in a page with no kernel, and panels that train while one looks.

The figures are Altair charts. What they show is computed here, when they are made, or by a formula that
the chart carries with it; so they answer in a static page, in Jupyter and on Colab alike.
:func:`training` and :func:`samples` are ipywidgets and need a kernel.
"""

from __future__ import annotations

import base64
import functools
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import matplotlib.pyplot as plt
import numpy as np
import torch

from aetutor import (
    _checks,
    activations,
    descent,
    encoders,
    experiments,
    limits,
    plotting,
    risk,
    sources,
    spectrum,
)
from aetutor.activations import Activation

__all__ = [
    "Figure",
    "digit",
    "images",
    "limit",
    "linear_to_sign",
    "plane",
    "samples",
    "step_by_step",
    "training",
    "water",
]

_PANEL = 250  # a panel's width in pixels: two of them and their axes fit a page, one a phone
_THIRD = 170  # of three panels side by side
_PICTURE = 100  # an image's: three of them fit a phone
_BLUE, _VERMILION, _GREEN, _PURPLE, _ORANGE = plotting.COLORS[:5]
_GREY = "#666666"

ACTIVATIONS = (activations.sign, activations.hard_tanh, activations.tanh, activations.erf, activations.sin)
"""What figures and panels offer to choose from."""

_SETS = {"digits": (0.0, 1.0), "MNIST sample": (0.0, 1.0), "patches, contrast normalised": (2.0, -2.0)}
"""Sets of :data:`aetutor.experiments.DATA` to show, with the pixels drawn white and black."""


@dataclass(frozen=True, eq=False, repr=False)
class Figure:
    """A chart that answers to its sliders wherever it is shown.

    Attributes
    ----------
    chart : altair.TopLevelMixin
        The Altair chart. It has a signal ``readout``, the lines of text above the picture.
    """

    chart: Any

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """The chart as Altair shows it, and its specification for pages that bring their own Vega."""
        shown = self.chart._repr_mimebundle_(include, exclude)
        major = alt.SCHEMA_VERSION.lstrip("v").partition(".")[0]
        bundle = dict(shown[0] if isinstance(shown, tuple) else shown)
        return bundle | {f"application/vnd.vegalite.v{major}+json": self.chart.to_dict()}


def limit() -> Figure:
    """The least distortion at a rate: choose rate and activation, or a gain of your own.

    Shannon's curve and the best scalar quantisers are drawn beside it. The chart evaluates the formula
    of :func:`aetutor.limits.isotropic` itself.
    """
    own = "a gain of my own"
    gains = {a.name: a.gain for a in ACTIVATIONS}
    rate = _slider("rate", "rate r", 0.05, 4, 0.05, 1)
    chosen = _choice("activation", "activation", [*gains, own], "sign")
    my_gain = _slider("my_gain", "gain of my own", 0, 2, 0.01, 1)
    gain = alt.param(
        name="gain", expr=f"activation === '{own}' ? my_gain : ({json.dumps(gains)})[activation]"
    )
    least = alt.param(name="distortion", expr=_limit("rate", "gain"))
    shannon = alt.param(name="shannon", expr="pow(2, -2 * rate)")
    readout = _readout(
        "'Rate ' + format(rate, '.2f') + ', ' + activation + ' (gain ' + format(gain, '.3f') + '):'",
        "'limit ' + format(distortion, '.4f') + ', Shannon ' + format(shannon, '.4f')",
    )
    rates = np.arange(0.02, 4.01, 0.02)
    curve = alt.Chart(
        _values([{"rate": float(r), "shannon": float(limits.shannon(r))} for r in rates.round(4)])
    ).encode(x=_x("rate", "rate r = n/d", domain=[0, 4]))
    levels = (2, 3, 4, 5, 6, 8, 12, 16)
    quantisers = alt.Chart(
        _values([{"rate": np.log2(n), "distortion": limits.lloyd_max(n), "levels": n} for n in levels])
    )
    here = alt.Chart(_values([{}]))
    layers = alt.layer(
        curve.mark_line(color=_GREEN, strokeDash=[8, 3, 2, 3]).encode(y=_y("shannon", "distortion", [0, 1])),
        curve.transform_calculate(limit=_limit("datum.rate", "gain"))
        .mark_line(color=_BLUE, strokeWidth=3)
        .encode(y="limit:Q"),
        quantisers.mark_point(shape="square", color=_VERMILION, filled=True, opacity=1, size=45).encode(
            x="rate:Q",
            y="distortion:Q",
            tooltip=[
                alt.Tooltip("levels:Q", title="levels"),
                alt.Tooltip("rate:Q", format=".3f"),
                alt.Tooltip("distortion:Q", format=".4f"),
            ],
        ),
        here.transform_calculate(at="rate").mark_rule(color=_GREY, strokeDash=[3, 3]).encode(x="at:Q"),
        here.transform_calculate(at="rate", value="distortion")
        .mark_point(color=_BLUE, filled=True, size=110, opacity=1)
        .encode(x="at:Q", y="value:Q"),
        *_labels(
            [
                (1.9, 0.95, "limit", _BLUE),
                (1.9, 0.87, "Shannon, all methods", _GREEN),
                (1.9, 0.79, "Lloyd–Max, scalar", _VERMILION),
            ]
        ),
    ).properties(width="container", height=_PANEL)
    return _figure(
        layers,
        [rate, chosen, my_gain, gain, least, shannon, readout],
        "Distortion against rate. The limit of the chosen activation, Shannon's curve below it, squares for "
        "the best scalar quantisers; a point marks the chosen rate. The numbers stand above.",
    )


def linear_to_sign() -> Figure:
    """tanh(βx) from nearly linear to nearly the sign, and all that follows from it.

    Shape, Hermite coefficients, kernel and limit for slopes β from 0.1 to 30, each computed by
    :mod:`aetutor.activations`. The activation is scaled so that E σ(g)² = 1.
    """
    first, last, step = -1.0, 1.5, 0.1
    x, rho, orders = np.linspace(-3, 3, 121), np.linspace(-1, 1, 81), np.arange(1, 10, 2)
    states = []
    for k in range(round((last - first) / step) + 1):
        beta = 10 ** (first + k * step)
        sigma = _steep(beta)
        square = sigma.second_moment
        states.append(
            {
                "k": k,
                "beta": beta,
                "gain": sigma.gain,
                "shape": (sigma(x) / square**0.5).round(4),
                "share": (sigma.hermite(orders) ** 2 / square).round(5),
                "kernel": (sigma.kernel(rho) / square).round(4),
            }
        )
    slope = _slider("exponent", "log₁₀ of the slope β", first, last, step, 0)
    now_k = f"round((exponent - ({first})) / {step})"
    gains = "[" + ",".join(f"{state['gain']:.8g}" for state in states) + "]"
    gain = alt.param(name="gain", expr=f"{gains}[{now_k}]")
    readout = _readout(
        "'β = ' + format(pow(10, exponent), '.2f') + ': gain ' + format(gain, '.4f')",
        f"'limit at rate 1: ' + format({_limit('1', 'gain')}, '.4f')",
    )
    now = alt.Chart(_values(states)).transform_filter(f"datum.k === {now_k}")

    def along(column: str, grid: np.ndarray) -> alt.Chart:
        return (
            now.transform_calculate(i=f"sequence({len(grid)})")
            .transform_flatten([column, "i"])
            .transform_calculate(at=f"{grid[0]} + {grid[1] - grid[0]} * datum.i")
        )

    def panel(*layers: alt.Chart, title: str) -> Any:
        return alt.layer(*layers).properties(width=_PANEL, height=_PANEL * 0.7, title=title)

    shape = along("shape", x).mark_line(color=_BLUE, strokeWidth=2.5, clip=True)
    shape = shape.encode(x=_x("at", "x"), y=_y("shape", "σ(x), scaled", [-3, 3]))
    bars = along("share", orders).mark_bar(color=_BLUE, size=18)
    bars = bars.encode(
        x=alt.X("at:O", title="order ℓ", axis=alt.Axis(labelAngle=0)), y=_y("share", "share of f(1)", [0, 1])
    )
    kernel = along("kernel", rho).mark_line(color=_BLUE, strokeWidth=2.5)
    kernel = kernel.encode(x=_x("at", "correlation ρ"), y=_y("kernel", "f(ρ) / f(1)", [-1, 1]))
    straight = alt.Chart(_values([{"at": -1, "y": -1}, {"at": 1, "y": 1}])).mark_line(
        color=_GREY, strokeDash=[3, 3]
    )
    rates = alt.Chart(alt.sequence(0.02, 3.01, 0.02, as_="rate"))
    curve = rates.transform_calculate(limit=_limit("datum.rate", "gain")).mark_line(
        color=_BLUE, strokeWidth=2.5
    )
    ends = [
        rates.transform_calculate(limit=_limit("datum.rate", repr(g))).mark_line(
            color=_GREY, strokeDash=[3, 3]
        )
        for g in (0.0, activations.sign.gain)
    ]
    limits_panel = [
        mark.encode(x=_x("rate", "rate r", [0, 3]), y=_y("limit", "limit", [0, 1])) for mark in (*ends, curve)
    ]
    chart = alt.concat(
        panel(shape, title="the activation"),
        panel(bars, title="its squared Hermite coefficients"),
        panel(straight.encode(x="at:Q", y="y:Q"), kernel, title="its kernel; dashed: linear"),
        panel(*limits_panel, title="its limit; dashed: linear, sign"),
        columns=2,
    )
    return _figure(
        chart,
        [slope, gain, readout],
        "Four panels for tanh of β x: the function, its squared Hermite coefficients, its kernel and its "
        "limit against rate. Small β is nearly linear, large β nearly the sign.",
    )


def plane() -> Figure:
    """Two to five unit vectors in the plane: turn them, and see frame potential, risk and bound.

    The chart computes the risk of the sign with the best decoder exactly, from the kernel
    (2/π) arcsin ρ, by an LDLᵀ factorisation. Beside it stands the risk as the last of the
    vectors goes round.
    """
    most = 5
    number = _choice("n", "how many rows", list(range(2, most + 1)), 3)
    starts = (90, 130, 170, 240, 300)
    turns = [
        _slider(f"angle{i + 1}", f"row {i + 1}, degrees", 0, 360, 1, start) for i, start in enumerate(starts)
    ]
    angles = [f"angle{i + 1}" for i in range(most)]
    computed = [alt.param(name=name, expr=expression) for name, expression in _plane_risk(angles)]
    bound = alt.param(name="bound", expr=_limit("n / 2", repr(activations.sign.gain)))
    readout = _readout(
        "'Risk ' + format(risk, '.4f') + ', bound ' + format(bound, '.4f')",
        "'frame potential ' + format(potential, '.3f') + ', least ' + format(max(n, n * n / 2), '.3f')",
    )
    rows = alt.Chart(_values([{"i": i, "start": starts[i]} for i in range(most)]))
    rows = rows.transform_filter("datum.i < n").transform_calculate(
        x=f"cos([{','.join(angles)}][datum.i] * PI / 180)",
        y=f"sin([{','.join(angles)}][datum.i] * PI / 180)",
        x2="-datum.x",
        y2="-datum.y",
        row="'row ' + (datum.i + 1)",
    )
    hidden = alt.Axis(labels=False, ticks=False, grid=False, domain=False, title=None)
    place = {
        "x": alt.X("x:Q", scale=alt.Scale(domain=[-1.2, 1.2]), axis=hidden),
        "y": alt.Y("y:Q", scale=alt.Scale(domain=[-1.2, 1.2]), axis=hidden),
    }
    color = alt.Color("row:N", scale=alt.Scale(range=list(plotting.COLORS[:most])), legend=None)
    circle = alt.Chart(
        _values([{"k": k, "x": np.cos(k / 30 * np.pi), "y": np.sin(k / 30 * np.pi)} for k in range(61)])
    )
    picture = alt.layer(
        circle.mark_line(color="#bbbbbb").encode(**place, order="k:Q"),
        rows.mark_rule(strokeWidth=3, opacity=0.35).encode(**place, x2="x2", y2="y2", color=color),
        rows.mark_point(size=130, filled=True, opacity=1).encode(
            **place, color=color, tooltip=[alt.Tooltip("row:N")]
        ),
        rows.mark_text(dx=11, dy=-11, fontWeight="bold")
        .encode(**place, text=alt.Text("label:N"), color=color)
        .transform_calculate(label="datum.i + 1"),
    ).properties(width=_PANEL, height=_PANEL, title="the rows, and their opposites (faint)")

    turning = [f"(n === {i + 1} ? datum.turn : angle{i + 1})" for i in range(most)]
    around = alt.Chart(alt.sequence(0, 361, 2, as_="turn"))
    for name, expression in _plane_risk(turning, "datum."):
        around = around.transform_calculate(**{name: expression})
    here = alt.Chart(_values([{}])).transform_calculate(
        turn=f"[{','.join(angles)}][n - 1]", risk="risk", bound="bound"
    )
    degrees = _x("turn", "angle of the last row", [0, 360], values=[0, 90, 180, 270, 360])
    landscape = alt.layer(
        around.mark_line(color=_BLUE, strokeWidth=2.5).encode(
            x=degrees, y=alt.Y("risk:Q", title="risk", scale=alt.Scale(zero=False))
        ),
        here.mark_rule(color=_GREY, strokeDash=[4, 3]).encode(y="bound:Q"),
        here.mark_point(color=_VERMILION, filled=True, size=110, opacity=1).encode(x=degrees, y="risk:Q"),
    ).properties(width=_PANEL, height=_PANEL, title="risk as the last row turns; dashed: bound")
    return _figure(
        alt.concat(picture, landscape, columns=2),
        [number, *turns, *computed, bound, readout],
        "Left, unit vectors on a circle with their opposites. Right, the risk as the last vector goes round, "
        "with a point where it is now and a dashed line for the bound. The numbers stand above.",
    )


def step_by_step(
    rates: Sequence[float] = (0.5, 1, 2),
    activation: Activation = activations.sign,
    *,
    d: int = 64,
    steps: int = 30,
    step_size: float = 0.15,
    seed: int = 0,
) -> Figure:
    """A run of projected gradient descent, step by step: Gram matrix, spectrum, learning curve.

    Parameters
    ----------
    rates : sequence of float
        Each gets a run; n is rate·d to the nearest whole number.
    activation : Activation
    d, steps : int
    step_size : float
    seed : int
        Of the Gaussian start.

    Raises
    ------
    ValueError, TypeError
        For bad rates, dimensions or step sizes, as in :func:`aetutor.descent.projected_gradient`.
    """
    d, every = _checks.count(d, "d"), range(_checks.count(steps, "steps") + 1)
    states, curves, risks = [], [], {}
    for rate in _checks.rates(rates).ravel().tolist():
        n = _checks.rows(rate, d)
        run = descent.projected_gradient(
            encoders.gaussian(n, d, seed),
            activation,
            steps=steps,
            step_size=step_size,
            spectrum_at=every,
            gram_at=every,
        )
        theory = spectrum.learning_curve(n / d, activation, steps, step_size).risk
        law = spectrum.MarchenkoPastur(n / d)
        many, side = min(n, d), min(n, 16)
        random = law.quantile((np.arange(many) + 0.5) / many).round(3)
        common = {"rate": rate, "flat": law.mean, "least": run.limit, "many": many, "side": side}
        for t in every:
            at_step = {"step": t, "risk": run.risk[t], "theory": theory[t]}
            states.append(
                common
                | at_step
                | {"eigenvalue": run.spectra[t].round(3), "random": random}
                | {"overlap": run.grams[t][:side, :side].ravel().round(2)}
            )
            curves.append(common | at_step)
        risks[f"{rate:g}"] = [*run.risk.round(6).tolist(), run.limit]
    options = list(dict.fromkeys(row["rate"] for row in curves))
    step = _slider("step", "step", 0, steps, 1, 0)
    rate = _choice("rate", "rate r", options, 1.0 if 1.0 in options else options[0])
    readout = _readout(
        "'Rate ' + rate + ', after ' + step + (step === 1 ? ' step:' : ' steps:')",
        f"'risk ' + format(({json.dumps(risks)})[rate][step], '.4f') + ', limit ' + "
        f"format(({json.dumps(risks)})[rate][{steps + 1}], '.4f')",
    )
    now = alt.Chart(_values(states)).transform_filter("datum.rate === rate && datum.step === step")
    cells = (
        now.transform_calculate(i="sequence(datum.side * datum.side)")
        .transform_flatten(["overlap", "i"])
        .transform_calculate(row="floor(datum.i / datum.side)", column="datum.i % datum.side")
    )
    bare = alt.Axis(labels=False, ticks=False, domain=False, title=None)
    gram = (
        cells.mark_rect()
        .encode(
            x=alt.X("column:O", axis=bare),
            y=alt.Y("row:O", axis=bare),
            color=alt.Color(
                "overlap:Q",
                scale=alt.Scale(scheme="redblue", reverse=True, domain=[-0.6, 0.6], clamp=True),
                legend=None,
            ),
            tooltip=[alt.Tooltip("overlap:Q", format=".2f")],
        )
        .properties(width=_THIRD, height=_THIRD, title="overlaps of 16 rows")
    )
    ordered = (
        now.transform_calculate(i="sequence(datum.many)")
        .transform_flatten(["eigenvalue", "random", "i"])
        .transform_calculate(position="(datum.i + 0.5) / datum.many")
    )
    rank = _x("position", "rank (fraction)", [0, 1])
    eigenvalues = alt.layer(
        ordered.mark_line(color=_GREY, strokeDash=[6, 3]).encode(x=rank, y=_y("random", "eigenvalue of BBᵀ")),
        now.mark_rule(color=_GREEN, strokeDash=[2, 2], strokeWidth=2).encode(y="flat:Q"),
        ordered.mark_point(color=_BLUE, filled=True, size=30, opacity=1).encode(x=rank, y="eigenvalue:Q"),
    ).properties(width=_THIRD, height=_THIRD, title="spectrum (dashed: at random)")
    curve = alt.Chart(_values(curves)).transform_filter("datum.rate === rate")
    horizontal = _x("step", "step", [0, steps])
    learning = alt.layer(
        curve.mark_rule(color=_GREEN, strokeDash=[2, 2], strokeWidth=2).encode(y="least:Q"),
        curve.mark_line(color=_GREY, strokeWidth=2).encode(x=horizontal, y=_y("theory", "risk", [0, 1])),
        curve.transform_filter("datum.step <= step")
        .mark_point(color=_BLUE, filled=True, size=30, opacity=1)
        .encode(x=horizontal, y="risk:Q"),
        curve.transform_filter("datum.step === step")
        .mark_point(color=_VERMILION, filled=True, size=110, opacity=1)
        .encode(x=horizontal, y="risk:Q"),
    ).properties(width=_THIRD, height=_THIRD, title="risk (line: theory)")
    return _figure(
        alt.concat(gram, eigenvalues, learning, columns=3),
        [step, rate, readout],
        f"Projected gradient descent at d = {d}, step by step. Overlaps of the first rows as a heat map, the "
        "eigenvalues in increasing order against the Marchenko–Pastur law and the flat end, and the learning "
        "curve against theory. Risk and limit stand above.",
    )


def digit(
    count: int = 10, rates: Sequence[float] = (0.25, 0.5, 1, 2, 4), *, rank: int = 100, seed: int = 0
) -> Figure:
    """Handwritten digits through a number of bits: original, bits, reconstruction, distortion.

    The images are held out from MNIST's; they are whitened to `rank` coordinates, encoded with evenly
    spread rows and decoded by :func:`aetutor.risk.optimal_decoder`. Needs the extra ``data``.

    Parameters
    ----------
    count : int
        How many images to choose from.
    rates : sequence of float
        Bits for each of the `rank` coordinates.
    rank : int
    seed : int
        Of the split and the encoders.
    """
    train, test = sources.mnist().split(held_out=500, seed=seed)
    whitening = sources.whiten(train, rank=rank)
    x = whitening.forward(test.data)
    originals = [_picture(image.reshape(28, 28), 0, 1) for image in test.data[:count]]
    states, numbers, sigma = [], {}, activations.sign
    for rate in _checks.rates(rates).ravel().tolist():
        n = _checks.rows(rate, rank)
        B = encoders.orthogonal(n, rank, seed) if n <= rank else encoders.tight_frame(n, rank, seed)
        A = risk.optimal_decoder(B, sigma)
        x_hat = risk.reconstruct(A, B, sigma, x)
        lost = (x - x_hat).square().sum(-1) / x.square().sum(-1)
        mean = float((x - x_hat).square().mean() / x.square().mean())
        height = next(h for h in range(int(n**0.5), 0, -1) if n % h == 0)
        bits = sigma(x[:count] @ B.mT).reshape(-1, height, n // height)
        rebuilt = whitening.inverse(x_hat[:count]).reshape(-1, 28, 28)
        for i in range(count):
            pictures = {
                "original": originals[i],
                "bits": _picture(bits[i], -1, 1),
                "rebuilt": _picture(rebuilt[i], 0, 1),
            }
            states += [
                {"image": i + 1, "rate": rate, "part": part, "url": url} for part, url in pictures.items()
            ]
        numbers[f"{rate:g}"] = [n, round(mean, 4), limits.isotropic(n / rank, sigma), *lost[:count].tolist()]
    options = list(dict.fromkeys(row["rate"] for row in states))
    image = _slider("image", "image", 1, count, 1, 1)
    rate = _choice("rate", "rate r", options, 1.0 if 1.0 in options else options[0])
    table = f"({json.dumps(numbers)})[rate]"
    readout = _readout(
        f"{table}[0] + ' bits: distortion ' + format({table}[image + 2], '.3f') + ' for this image,'",
        f"format({table}[1], '.3f') + ' on average, limit ' + format({table}[2], '.3f')",
    )
    shown = alt.Chart(_values(states)).transform_filter("datum.image === image && datum.rate === rate")
    parts = alt.X("part:N", sort=["original", "bits", "rebuilt"], axis=None)
    chart = alt.layer(
        shown.mark_image(width=_PICTURE, height=_PICTURE, y=20 + _PICTURE / 2).encode(x=parts, url="url:N"),
        shown.mark_text(y=8, fontSize=12).encode(x=parts, text="part:N"),
    ).properties(width=alt.Step(_PICTURE + 8), height=_PICTURE + 20)
    return _figure(
        chart,
        [image, rate, readout],
        "Three pictures of a handwritten digit: the original, the bits that are stored, black for +1, and "
        "what is rebuilt from them. Distortion and limit stand above.",
    )


def water() -> Figure:
    """Water poured over a spectrum: choose the scales of three blocks, the rate and the activation.

    Each block is a third of the directions. The chart evaluates the formulas of
    :func:`aetutor.limits.anisotropic` and :func:`aetutor.limits.rate_distortion` itself.
    """
    most, gap = 3, 0.05
    gains = {a.name: a.gain for a in ACTIVATIONS}
    one, two, three = blocks = ("scale1", "scale2", "scale3")
    sliders = [
        _slider(name, f"scale of block {name[-1]}", 0.1, 3, 0.05, start)
        for name, start in zip(blocks, (2, 1, 0.5), strict=True)
    ]
    rate = _slider("rate", "rate r", 0.05, most, 0.05, 1)
    chosen = _choice("activation", "activation", list(gains), "sign")
    named = {
        "gain": f"({json.dumps(gains)})[activation]",
        "scales": f"[{one}, {two}, {three}]",
        "total": f"{one} + {two} + {three}",
        "variance": f"({one} * {one} + {two} * {two} + {three} * {three}) / 3",
        "high": f"max({one}, {two}, {three})",
        "middle": f"max(min({one}, {two}), min(max({one}, {two}), {three}))",
        "low": f"min({one}, {two}, {three})",
        # How many blocks come first: the stronger ones, and of equal ones those on the left.
        "before": f"[({two} > {one}) + ({three} > {one}), ({one} >= {two}) + ({three} > {two}), "
        f"({one} >= {three}) + ({two} >= {three})]",
        **dict(_pour("rate")),
        "rows": "["
        + ", ".join(
            f"clamp(3 * rate - before[{k}], 0, 1) * max(level * {blocks[k]} - gain, 0)" for k in range(3)
        )
        + "]",
        # The picture is as high as the water at the highest rate, so that one sees it rise.
        "full": f"min(({3 * most} + gain) / high, ({3 * most} + 2 * gain) / (high + middle), "
        f"({3 * most} + 3 * gain) / total)",
        "top": "max(1.06 * full, min(1.12 * gain / low, 1.6 * full))",
    }
    computed = [alt.param(name=name, expr=expression) for name, expression in named.items()]
    shares = " + ', ".join(f"s{'₁₂₃'[k]} = ' + format(rows[{k}], '.3f')" for k in range(3))
    readout = _readout(
        "'Rate ' + format(rate, '.2f') + ', ' + activation + ': level μ = ' + format(level, '.3f') + ','",
        f"'rows each: {shares} + ','",
        "'limit ' + format(risk, '.4f') + ', Shannon ' + format(shannon, '.4f')",
    )
    block = alt.Chart(_values([{"block": k + 1} for k in range(3)])).transform_calculate(
        scale="scales[datum.block - 1]",
        rows="rows[datum.block - 1]",
        before="before[datum.block - 1]",
        floor="gain / datum.scale",
        ground="0",
        surface="max(level, datum.floor)",
        top="top",
        left=f"{gap} * (datum.block - 1) + {1 - 2 * gap} / total * "
        f"(datum.block === 1 ? 0 : datum.block === 2 ? {one} : {one} + {two})",
        right=f"datum.left + {1 - 2 * gap} / total * datum.scale",
        wet="datum.left + clamp(3 * rate - datum.before, 0, 1) * (datum.right - datum.left)",
        centre="(datum.left + datum.right) / 2",
        # A direction gets its first row when there is one, and when the water stands at its floor.
        appears="max(datum.before, gain * ((datum.before > 0) * (high / datum.scale - 1) + "
        "(datum.before > 1) * (middle / datum.scale - 1))) / 3",
    )
    color = alt.Color("block:N", scale=alt.Scale(range=[_VERMILION, _PURPLE, _ORANGE]), legend=None)
    up = alt.Y(
        "ground:Q",
        title="height",
        scale=alt.Scale(domain=[0, alt.ExprRef("top")], nice=False),
        axis=alt.Axis(tickCount=5, minExtent=26, maxExtent=26, grid=False),
    )

    def across(field: str) -> alt.X:
        return alt.X(f"{field}:Q", scale=_scale([0, 1]), axis=None)

    line = alt.Chart(_values([{"word": "μ"}])).transform_calculate(level="level", end="1")
    heading = (
        "rate < 1 ? 'water up to μ; light grey: no rows left' : 'widths D, floors at g/D, water up to μ'"
    )
    vessels = alt.layer(
        block.mark_rect(color="#f0f0f0", clip=True).encode(x=across("wet"), x2="right", y=up, y2="top"),
        block.mark_rect(color=plotting.COLORS[5], clip=True).encode(
            x=across("left"), x2="wet", y="ground:Q", y2="surface"
        ),
        block.mark_rect(color="#b5b5b5", clip=True).encode(
            x=across("left"),
            x2="right",
            y="ground:Q",
            y2="floor",
            tooltip=[
                alt.Tooltip("block:N"),
                alt.Tooltip("scale:Q", title="width D", format=".2f"),
                alt.Tooltip("floor:Q", title="floor g/D", format=".3f"),
                alt.Tooltip("rows:Q", title="rows per direction", format=".3f"),
            ],
        ),
        *(
            block.mark_rule(strokeWidth=2.5).encode(x=across(side), y="ground:Q", y2="top", color=color)
            for side in ("left", "right")
        ),
        line.mark_rule(color=_BLUE, strokeDash=[4, 3]).encode(y="level:Q"),
        line.mark_text(color=_BLUE, align="left", dx=4, fontSize=13).encode(
            x=across("end"), y="level:Q", text="word:N"
        ),
        block.mark_text(fontWeight="bold", fontSize=13, y=_PANEL + 12).encode(
            x=across("centre"), text="block:N", color=color
        ),
    ).properties(width=_PANEL, height=_PANEL, title=alt.TitleParams(text=alt.ExprRef(heading)))

    curve = alt.Chart(alt.sequence(0.02, most + 0.01, 0.02, as_="rate"))
    for name, expression in _pour("datum.rate", "datum."):
        curve = curve.transform_calculate(**{name: expression})
    curve = curve.transform_calculate(alike=_limit("datum.rate", "gain"))
    here = alt.Chart(_values([{}])).transform_calculate(rate="rate", risk="risk")
    along = _x("rate", "rate r", [0, most])
    curves = alt.layer(
        curve.mark_line(color=_GREY, strokeDash=[2, 3], strokeWidth=2).encode(
            x=along, y=_y("alike", "risk / variance", [0, 1])
        ),
        curve.mark_line(color=_GREEN, strokeDash=[8, 3, 2, 3]).encode(x=along, y="shannon:Q"),
        curve.mark_line(color=_BLUE, strokeWidth=3).encode(x=along, y="risk:Q"),
        here.mark_rule(color=_GREY, strokeDash=[3, 3]).encode(x=along),
        here.mark_point(color=_BLUE, filled=True, size=110, opacity=1).encode(x=along, y="risk:Q"),
        block.transform_filter(f"datum.appears <= {most}")
        .mark_point(shape="triangle-up", filled=True, opacity=1, size=90, y=_PANEL - 5)
        .encode(
            x="appears:Q",
            color=color,
            tooltip=[alt.Tooltip("block:N"), alt.Tooltip("appears:Q", title="wet from rate", format=".3f")],
        ),
        *_labels(
            [
                (1.15, 0.95, "all directions alike", _GREY),
                (1.15, 0.87, "limit", _BLUE),
                (1.15, 0.79, "Shannon, all methods", _GREEN),
            ]
        ),
    ).properties(width=_PANEL, height=_PANEL, title="▲ from here on a block is wet")
    return _figure(
        alt.concat(vessels, curves, columns=2),
        [*sliders, rate, chosen, *computed, readout],
        "Left, three vessels side by side, one for each block of directions: as wide as its scale D, with a "
        "grey floor at height g/D and water up to the common level. The area of water is the number of rows "
        "per direction; below rate 1 a part of a vessel may be closed. Right, risk against rate for this "
        "spectrum: the limit, Shannon's curve, and rows spread evenly. The numbers stand above.",
    )


def images(count: int = 6, rates: Sequence[float] = (0.25, 0.5, 1, 2), seed: int = 0) -> Figure:
    """Real images through bits, by an encoder that knows their covariance and nothing else.

    Each set is prepared by :func:`aetutor.experiments.prepare`, whitened and raw, encoded with the rows of
    :func:`aetutor.encoders.water_filled` and decoded by :func:`aetutor.risk.least_squares_decoder`, fitted
    on the training part. What is measured on held-out images stands beside the limit for a Gaussian source
    of that covariance. Distortions are relative to the variance that the leading directions keep. Needs
    the extra ``data``.

    Parameters
    ----------
    count : int
        How many held-out images of each set to choose from.
    rates : sequence of float
        Bits for each direction that is kept.
    seed : int
        Of the splits and the encoders.

    Raises
    ------
    ValueError, TypeError
        For a bad rate, or if `count` is not from 1 to the number of images held out.
    """
    count = _checks.count(count, "count")
    options = list(dict.fromkeys(_checks.rates(rates).ravel().tolist()))
    fine = np.linspace(0, 1.1 * max(options), 101)[1:]
    pictures: list[dict[str, Any]] = []
    curves, points, numbers = [], [], {}

    def show(part: str, pixels: torch.Tensor, white: float, black: float, **chosen: Any) -> None:
        for i, image in enumerate(pixels):
            flip = 1 if white < black else -1
            url = _picture(flip * image, flip * white, flip * black, size=1)
            pictures.append({"image": i + 1, "part": part, "url": url} | chosen)

    sigma = activations.sign
    for name, (white, black) in _SETS.items():
        load, rank = experiments.DATA[name]
        loaded = load()
        held_out = loaded.split(max(1, len(loaded) // 10), seed)[1]
        if count > len(held_out):
            raise ValueError(f"count must be at most {len(held_out)}, the {name} held out, got {count}")
        show("original", held_out.data[:count].reshape(-1, *loaded.shape), white, black, kind=name)
        for how in ("whitened", "raw"):
            train, test, transform, scales = experiments.prepare(
                loaded, rank, whitened=how == "whitened", seed=seed
            )
            chosen = {"kind": name, "how": how}
            if how == "whitened":  # the same directions either way
                kept = transform.inverse(test.data[:count]).reshape(-1, *loaded.shape)
                show(f"{rank} directions", kept, white, black, kind=name)
            D = np.ones(rank) if scales is None else scales
            least = limits.anisotropic(D, fine, sigma).risk / np.mean(D**2)
            curves.append(chosen | {"limit": least.round(4)})
            for rate in options:
                n = _checks.rows(rate, rank)
                B = encoders.water_filled(n, D, seed, sigma)
                A = risk.least_squares_decoder(B, sigma, train.data, scales)
                x, x_hat = test.data, risk.reconstruct(A, B, sigma, test.data, scales)
                lost = (x - x_hat).square().sum(-1) / x.square().sum(-1)
                mean = float((x - x_hat).square().mean() / x.square().mean())
                points.append(chosen | {"rate": rate, "distortion": round(mean, 4)})
                rebuilt = transform.inverse(x_hat[:count]).reshape(-1, *loaded.shape)
                height = next(h for h in range(int(n**0.5), 0, -1) if n % h == 0)
                bits = sigma(x[:count] / torch.from_numpy(D) @ B.mT).reshape(-1, height, n // height)
                show("bits", bits, -1, 1, rate=rate, **chosen)
                show("rebuilt", rebuilt, white, black, rate=rate, **chosen)
                limit = float(limits.anisotropic(D, n / rank, sigma).risk / np.mean(D**2))
                numbers[f"{name}/{how}/{rate:g}"] = [
                    round(number, 4) for number in (mean, limit, *lost[:count].tolist())
                ]
    kind = _choice("kind", "images", list(_SETS), "MNIST sample")
    prepared = _choice("how", "coordinates", ["whitened", "raw"], "whitened")
    rate = _choice("rate", "rate r", options, 1.0 if 1.0 in options else options[0])
    image = _slider("image", "image", 1, count, 1, 1)
    found = alt.param(name="found", expr=f"({json.dumps(numbers)})[kind + '/' + how + '/' + rate]")
    readout = _readout(
        "kind + ', ' + how + ','",
        "'rate ' + rate + ': distortion ' + format(found[0], '.3f') + ' on average'",
        "'(this image ' + format(found[image + 1], '.3f') + '), limit ' + format(found[1], '.3f')",
    )
    here = "datum.kind === kind && datum.how === how"
    shown = alt.Chart(_values(pictures)).transform_filter("datum.kind === kind && datum.image === image")
    shown = shown.transform_filter("!datum.how || datum.how === how && datum.rate === rate")
    shown = shown.transform_calculate(
        column="datum.part === 'original' || datum.part === 'bits' ? 0 : 1",
        row="datum.part === 'bits' || datum.part === 'rebuilt' ? 1 : 0",
    )
    place = {"x": alt.X("column:O", axis=None), "y": alt.Y("row:O", axis=None)}
    side = 112  # a whole number of screen pixels for each of an image
    gallery = alt.layer(
        shown.transform_filter("datum.part !== 'bits'")
        .mark_point(
            shape="square", size=(side + 2) ** 2, yOffset=9, color="#cccccc", strokeWidth=1, opacity=1
        )
        .encode(**place),
        shown.mark_image(width=side, height=side, yOffset=9, smooth=False).encode(**place, url="url:N"),
        shown.mark_text(yOffset=-side / 2 - 1, fontSize=12).encode(**place, text="part:N"),
    ).properties(width=alt.Step(side + 10), height=alt.Step(side + 22))
    curve = (
        alt.Chart(_values(curves))
        .transform_filter(here)
        .transform_calculate(i=f"sequence({len(fine)})")
        .transform_flatten(["limit", "i"])
        .transform_calculate(rate=f"{fine[0]} * (datum.i + 1)")
    )
    measured = alt.Chart(_values(points)).transform_filter(here)
    now = measured.transform_filter("datum.rate === rate")
    along = _x("rate", "rate r", [0, 1.1 * max(options)])
    chart = alt.layer(
        curve.mark_line(color=_BLUE, strokeWidth=2.5).encode(
            x=along, y=_y("limit", "distortion / variance", [0, 1])
        ),
        measured.mark_point(color=_BLUE, filled=True, size=60, opacity=1).encode(
            x=along, y="distortion:Q", tooltip=[alt.Tooltip("distortion:Q", format=".3f")]
        ),
        now.transform_calculate(one="found[image + 1]", shown="min(datum.one, 1)")
        .mark_point(color=_GREY, filled=False, strokeWidth=2, size=90, opacity=1)
        .encode(
            x=along,
            y="shown:Q",
            shape=alt.condition("datum.one > 1", alt.value("triangle-up"), alt.value("diamond")),
        ),
        now.mark_point(color=_VERMILION, filled=True, size=120, opacity=1).encode(x=along, y="distortion:Q"),
        *_labels(
            [
                (0.4 * max(options), 0.95, "limit, Gaussian source", _BLUE),
                (0.4 * max(options), 0.87, "measured, at this rate", _VERMILION),
                (0.4 * max(options), 0.79, "this image alone", _GREY),
            ]
        ),
    ).properties(width=_PANEL, height=_PANEL, title="held-out images")
    return _figure(
        alt.concat(gallery, chart, columns=2),
        [kind, prepared, rate, image, found, readout],
        "Left, four pictures: a held-out image, what the leading principal directions keep of it, the bits "
        "that are stored, black for +1, and what is rebuilt from them. Right, distortion against rate: "
        "points measured on held-out images and the limit for a Gaussian source of that covariance. The "
        "numbers stand above.",
    )


def training(
    d: int = 100,
    rate: float = 1.0,
    activation: Activation = activations.sign,
    *,
    step_size: float = 0.2,
    steps: int = 40,
) -> Any:
    """A panel that runs projected gradient descent while one looks, beside the theory's learning curve.

    Needs a live kernel and ipywidgets. The arguments are where its controls start.

    Parameters
    ----------
    d : int
    rate : float
    activation : Activation
        One of sign, hard_tanh, tanh, erf and sin.
    step_size : float
        η, see :func:`aetutor.descent.projected_gradient`.
    steps : int

    Returns
    -------
    ipywidgets.VBox
        Its attribute ``result`` is the last run's :class:`~aetutor.trajectory.Trajectory`.
    """
    from aetutor._panel import Training

    return Training(d, rate, activation, step_size, steps)


def samples(
    d: int = 50,
    rate: float = 1.0,
    activation: Activation = activations.sign,
    *,
    batch_size: int = 256,
    learning_rate: float = 0.003,
    steps: int = 3000,
) -> Any:
    """A panel that trains on samples of a Gaussian source while one looks, above the limit.

    Needs a live kernel and ipywidgets. The arguments are where its controls start.

    Parameters
    ----------
    d : int
    rate : float
    activation : Activation
        One of sign, hard_tanh, tanh, erf and sin.
    batch_size : int
    learning_rate : float
        Adam's, see :func:`aetutor.sgd.train`.
    steps : int

    Returns
    -------
    ipywidgets.VBox
        Its attribute ``result`` is the last run's :class:`~aetutor.trajectory.Trajectory`.
    """
    from aetutor._panel import Samples

    return Samples(d, rate, activation, batch_size, learning_rate, steps)


def _figure(chart: Any, params: list[Any], description: str) -> Figure:
    """A chart with its sliders, its lines of numbers as the title, and one style."""
    chart = (
        chart.add_params(*params)
        .properties(
            title=alt.TitleParams(text=alt.ExprRef("readout"), anchor="start", fontSize=14, offset=12),
            description=description,
            background="white",
        )
        .configure_axis(labelFontSize=11, titleFontSize=12, titleFontWeight="normal", gridColor="#dddddd")
        .configure_title(fontSize=12, fontWeight="normal", anchor="start")
        .configure_view(stroke=None)
    )
    return Figure(chart)


def _readout(*lines: str) -> alt.Parameter:
    return alt.param(name="readout", expr=f"[{', '.join(lines)}]")


def _slider(name: str, label: str, low: float, high: float, step: float, value: float) -> alt.Parameter:
    return alt.param(
        name=name, value=value, bind=alt.binding_range(min=low, max=high, step=step, name=f"{label} ")
    )


def _choice(name: str, label: str, options: list[Any], value: Any) -> alt.Parameter:
    return alt.param(name=name, value=value, bind=alt.binding_select(options=options, name=f"{label} "))


def _x(field: str, title: str, domain: Sequence[float] | None = None, values: Any = None) -> alt.X:
    axis = alt.Axis(values=values) if values else alt.Axis(tickCount=6)
    return alt.X(f"{field}:Q", title=title, scale=_scale(domain), axis=axis)


def _y(field: str, title: str, domain: Sequence[float] | None = None) -> alt.Y:
    # Labels get the same room whatever they say: a drawing must not outgrow the place it was given.
    axis = alt.Axis(tickCount=5, minExtent=26, maxExtent=26)
    return alt.Y(f"{field}:Q", title=title, scale=_scale(domain), axis=axis)


def _scale(domain: Sequence[float] | None) -> alt.Scale:
    return alt.Scale(nice=False) if domain is None else alt.Scale(domain=list(domain), nice=False)


def _labels(words: list[tuple[float, float, str, str]]) -> list[alt.Chart]:
    """Words in the plot, each in the colour of what it names: x, y, word, colour."""
    return [
        alt.Chart(_values([{"x": x, "y": y, "word": word}]))
        .mark_text(color=color, align="left", fontSize=12)
        .encode(x="x:Q", y="y:Q", text="word:N")
        for x, y, word, color in words
    ]


def _values(rows: list[dict[str, Any]]) -> alt.Data:
    """Rows as inline data; arrays in them become lists."""
    plain = [
        {
            key: value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
            for key, value in row.items()
        }
        for row in rows
    ]
    return alt.Data(values=plain)


def _limit(rate: str, gain: str) -> str:
    """:func:`aetutor.limits.isotropic` as a Vega expression."""
    return f"(max(1 - {rate}, 0) + {gain}) / (max({rate}, 1) + {gain})"


def _plane_risk(angles: list[str], prefix: str = "") -> list[tuple[str, str]]:
    """Names and Vega expressions that lead from angles in degrees to ``potential`` and ``risk``.

    F = LDLᵀ for the sign's kernel, then R* = 1 − (c₁²/2) Σ_k |y_k|²/D_k with Ly = B. Rows from n on are
    taken as absent: zero in B, and in F those of the identity. A pivot of 0, two equal rows, counts
    for nothing.
    """
    steps: list[tuple[str, str]] = []

    def let(name: str, expression: str) -> str:
        steps.append((name, expression))
        return prefix + name

    rows: list[list[str]] = []
    y: list[list[str]] = []
    L: dict[tuple[int, int], str] = {}
    D: list[str] = []
    for i, angle in enumerate(angles):
        there = f"({i} < n)"
        rows.append([let(f"b{i}{axis}", f"{there} * {axis}({angle} * PI / 180)") for axis in ("cos", "sin")])
    overlaps = []
    for i, (x_i, y_i) in enumerate(rows):
        for j, (x_j, y_j) in enumerate(rows[:i]):
            rho = let(f"g{i}{j}", f"max(-1, min(1, {x_i} * {x_j} + {y_i} * {y_j}))")
            overlaps.append(rho)
            under = "".join(f" - {L[i, k]} * {L[j, k]} * {D[k]}" for k in range(j))
            L[i, j] = let(f"l{i}{j}", f"{D[j]} > 1e-9 ? (2 / PI * asin({rho}){under}) / {D[j]} : 0")
        D.append(let(f"d{i}", "1" + "".join(f" - {L[i, k]} * {L[i, k]} * {D[k]}" for k in range(i))))
        y.append(
            [
                let(f"y{i}{axis}", rows[i][c] + "".join(f" - {L[i, k]} * {y[k][c]}" for k in range(i)))
                for c, axis in enumerate(("cos", "sin"))
            ]
        )
    let("potential", "n + 2 * (" + " + ".join(f"{rho} * {rho}" for rho in overlaps) + ")")
    explained = " + ".join(
        f"({D[i]} > 1e-9 ? ({y[i][0]} * {y[i][0]} + {y[i][1]} * {y[i][1]}) / {D[i]} : 0)"
        for i in range(len(angles))
    )
    let("risk", f"1 - ({explained}) / PI")
    return steps


def _pour(rate: str, prefix: str = "") -> list[tuple[str, str]]:
    """Names and Vega expressions that lead from a rate to ``level``, ``risk`` and ``shannon``.

    :func:`aetutor.limits.anisotropic` and :func:`aetutor.limits.rate_distortion` for a third of the
    directions each of the scales ``high``, ``middle`` and ``low``. Another vessel lowers the water exactly if
    its floor is below it, so the level is the least that the first one, two or three give; Shannon's
    level, likewise, is the highest.
    """
    scales = ("high", "middle", "low")
    steps: list[tuple[str, str]] = []

    def let(name: str, expression: str) -> str:
        steps.append((name, expression))
        return prefix + name

    weights = [let(f"weight{k}", f"clamp(3 * {rate} - {k}, 0, 1)") for k in range(3)]
    vessels = [f"{w} * {D}" for w, D in zip(weights, scales, strict=True)]
    levels, thetas = [], []
    for k in (1, 2, 3):
        levels.append(f"(3 * {rate} + gain * ({' + '.join(weights[:k])})) / ({' + '.join(vessels[:k])})")
        thetas.append(f"pow({' * '.join(scales[:k])}, 2 / {k}) * pow(2, -6 * {rate} / {k})")
    level = let("level", f"min({', '.join(levels)})")
    theta = let("theta", f"max({', '.join(thetas)})")
    left = (
        f"{v} * min({D}, gain / {level}) + (1 - {w}) * {D} * {D}"
        for v, w, D in zip(vessels, weights, scales, strict=True)
    )
    let("risk", f"({' + '.join(left)}) / 3 / variance")
    let("shannon", f"({' + '.join(f'min({theta}, {D} * {D})' for D in scales)}) / 3 / variance")
    return steps


@functools.cache
def _steep(beta: float) -> Activation:
    return activations.from_function(lambda x: np.tanh(beta * x), f"tanh({beta:g}x)", ())


def _picture(values: torch.Tensor, low: float, high: float, size: int = 2 * _PICTURE) -> str:
    """A grey image, dark for `high`, as a PNG in a data address."""
    array = values.detach().cpu().numpy()
    scale = max(1, size // max(array.shape))
    buffer = io.BytesIO()
    plt.imsave(
        buffer, np.kron(array, np.ones((scale, scale))), cmap="gray_r", vmin=low, vmax=high, format="png"
    )
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
