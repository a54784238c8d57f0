"""Figures with sliders, rendered at chosen settings; panels, run as their buttons would."""

import asyncio
import base64
import io
import json
import re

import altair as alt
import matplotlib.image
import numpy as np
import pytest
import torch
import vl_convert

from aetutor import activations, descent, encoders, experiments, explore, limits, risk, sources

MAKERS = [
    explore.limit,
    explore.linear_to_sign,
    explore.plane,
    explore.step_by_step,
    explore.digit,
    explore.water,
    explore.images,
]


@pytest.fixture(scope="module")
def figures():
    return {maker.__name__: maker() for maker in MAKERS}


def readout(figure, **settings):
    """The numbers above the figure, with its sliders set."""
    spec = figure.chart.to_dict()
    for param in spec["params"]:
        if param["name"] in settings:
            param["value"] = settings.pop(param["name"])
    assert not settings
    svg = vl_convert.vegalite_to_svg(spec, vl_version="v" + ".".join(alt.SCHEMA_VERSION[1:].split(".")[:2]))
    text = re.findall(r"aria-label=\"Title text '(.*?)'\"", svg)[-1]  # the titles of panels come before
    return [float(number) for number in re.findall(r"(?<![\w.])\d+\.?\d*", text)]


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_figure_has_text_sliders_and_both_forms(figures, maker):
    figure = figures[maker.__name__]
    spec = figure.chart.to_dict()
    assert len(spec["description"]) > 60
    assert any("bind" in param for param in spec["params"])
    bundle = figure._repr_mimebundle_()
    major = alt.SCHEMA_VERSION[1]
    assert bundle[f"application/vnd.vegalite.v{major}+json"] == spec
    assert "vega" in bundle["text/html"]
    assert len(json.dumps(spec)) < 600_000


@pytest.mark.parametrize("rate", [0.3, 1.0, 2.75])
@pytest.mark.parametrize("activation", [activations.sign, activations.tanh, 0.37])
def test_limit(figures, rate, activation):
    own = isinstance(activation, float)
    chosen = (
        {"my_gain": activation, "activation": "a gain of my own"} if own else {"activation": activation.name}
    )
    gain = activation if own else activation.gain
    numbers = readout(figures["limit"], rate=rate, **chosen)
    expected = [rate, gain, limits.isotropic(rate, activation), limits.shannon(rate)]
    np.testing.assert_allclose(numbers, expected, atol=5.1e-4)


@pytest.mark.parametrize("exponent", [-1, 0, 0.7, 1.5])
def test_linear_to_sign(figures, exponent):
    steep = activations.from_function(lambda x: np.tanh(10.0**exponent * x), "steep", ())
    *_, gain, one, least = readout(figures["linear_to_sign"], exponent=exponent)
    assert gain == pytest.approx(steep.gain, abs=6e-5)
    assert one == 1
    assert least == pytest.approx(limits.isotropic(1, steep), abs=6e-5)


@pytest.mark.parametrize(
    ("n", "degrees"),
    [
        (2, (0, 90)),
        (3, (90, 210, 330)),
        (3, (10, 10, 80)),
        (4, (5, 71, 140, 222)),
        (5, (0, 40, 75, 120, 300)),
    ],
)
def test_plane(figures, n, degrees):
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    B = torch.stack([angles.cos(), angles.sin()], dim=-1)
    settings = {f"angle{i + 1}": angle for i, angle in enumerate(degrees)}
    reached, bound, potential, least = readout(figures["plane"], n=n, **settings)
    distinct = torch.stack([B[i] for i in range(n) if degrees[i] not in degrees[:i]])
    assert reached == pytest.approx(float(risk.minimal(distinct, activations.sign)), abs=6e-5)
    assert bound == pytest.approx(limits.isotropic(n / 2), abs=6e-5)
    assert potential == pytest.approx(float((B @ B.mT).square().sum()), abs=6e-4)
    assert least == pytest.approx(max(n, n * n / 2), abs=6e-4)


def test_step_by_step(figures):
    for rate, step in ((0.5, 3), (1, 0), (2, 30)):
        run = descent.projected_gradient(
            encoders.gaussian(round(64 * rate), 64, 0), steps=max(step, 1), step_size=0.15
        )
        shown = readout(figures["step_by_step"], rate=rate, step=step)
        np.testing.assert_allclose(shown, [rate, step, run.risk[step], run.limit], atol=6e-5)


def test_step_by_step_takes_other_settings():
    figure = explore.step_by_step([0.5, 0.75], activations.tanh, d=8, steps=4, step_size=0.05)
    run = descent.projected_gradient(encoders.gaussian(6, 8, 0), activations.tanh, steps=4, step_size=0.05)
    shown = readout(figure, rate=0.75, step=4)
    np.testing.assert_allclose(shown, [0.75, 4, run.risk[4], run.limit], atol=6e-5)
    with pytest.raises(ValueError, match="step_size"):
        explore.step_by_step(step_size=-1)
    with pytest.raises(ValueError, match="rate"):
        explore.step_by_step([0])


def test_digit(figures):
    train, test = sources.mnist().split(held_out=500, seed=0)
    x = sources.whiten(train, rank=100).forward(test.data)
    B = encoders.orthogonal(50, 100, 0)
    A = risk.optimal_decoder(B, activations.sign)
    loss = (x - risk.reconstruct(A, B, activations.sign, x)).square()
    bits, one, mean, least = readout(figures["digit"], image=4, rate=0.5)
    assert bits == 50
    assert one == pytest.approx(float(loss[3].sum() / x[3].square().sum()), abs=6e-4)
    assert mean == pytest.approx(float(loss.mean() / x.square().mean()), abs=6e-4)
    assert least == pytest.approx(limits.isotropic(0.5), abs=6e-4)


def test_digit_shows_the_bits_that_are_stored(figures):
    rows = figures["digit"].chart.data.values
    (row,) = (row for row in rows if (row["image"], row["rate"], row["part"]) == (1, 0.25, "bits"))
    picture = matplotlib.image.imread(io.BytesIO(base64.b64decode(row["url"].partition(",")[2])))
    cell = picture.shape[0] // 5
    dark = picture[cell // 2 :: cell, cell // 2 :: cell, 0] < 0.5
    train, test = sources.mnist().split(held_out=500, seed=0)
    x = sources.whiten(train, rank=100).forward(test.data[:1])
    z = activations.sign(x @ encoders.orthogonal(25, 100, 0).mT).reshape(5, 5)
    np.testing.assert_array_equal(dark, z.numpy() > 0)


@pytest.mark.parametrize(
    ("scales", "rate", "sigma"),
    [
        ((2, 1, 0.5), 1, activations.sign),
        ((2, 1, 0.5), 3, activations.sign),
        ((0.5, 2, 1), 0.2, activations.sign),  # rows for a part of one block
        ((0.3, 1, 3), 0.5, activations.hard_tanh),
        ((1, 0.1, 2), 1, activations.sign),  # the second stays dry
        ((0.1, 3, 0.1), 0.9, activations.sign),  # two stay dry
        ((1, 1, 1), 0.5, activations.sign),
        ((1, 1, 1), 1.7, activations.erf),
        ((0.7, 0.7, 2.4), 0.6, activations.tanh),
        ((2.4, 0.7, 0.7), 0.8, activations.sin),
        ((3, 0.1, 1.05), 0.05, activations.sign),
        ((1.2, 1.35, 1.5), 0.7, activations.sign),
    ],
)
def test_water(figures, scales, rate, sigma):
    filling = limits.anisotropic(scales, rate, sigma)
    variance = np.mean(np.square(scales))
    settings = {f"scale{k}": scale for k, scale in enumerate(scales, start=1)}
    shown = readout(figures["water"], rate=rate, activation=sigma.name, **settings)
    shannon = limits.rate_distortion(scales, rate).risk
    np.testing.assert_allclose(shown[:5], [rate, filling.level, *filling.allocation], atol=5.1e-4)
    np.testing.assert_allclose(shown[5:], np.array([filling.risk, shannon]) / variance, atol=5.1e-5)


@pytest.mark.parametrize(
    ("kind", "how", "rate"),
    [
        ("digits", "whitened", 0.25),
        ("digits", "raw", 0.5),
        ("MNIST sample", "whitened", 1),
        ("MNIST sample", "raw", 2),
        ("patches, contrast normalised", "whitened", 2),
        ("patches, contrast normalised", "raw", 1),
    ],
)
def test_images(figures, kind, how, rate):
    load, rank = experiments.DATA[kind]
    train, test, _, scales = experiments.prepare(load(), rank, whitened=how == "whitened")
    D = np.ones(rank) if scales is None else scales
    B = encoders.water_filled(round(rate * rank), D, 0)
    A = risk.least_squares_decoder(B, activations.sign, train.data, scales)
    mean = risk.empirical(A, B, activations.sign, test.data, scales) / test.data.square().mean()
    third = test.data[2:3]
    one = risk.empirical(A, B, activations.sign, third, scales) / third.square().mean()
    least = limits.anisotropic(D, rate).risk / np.mean(D**2)
    shown = readout(figures["images"], kind=kind, how=how, rate=rate, image=3)
    np.testing.assert_allclose(shown, [rate, mean, one, least], atol=6e-4)


def test_images_are_those_held_out(figures):
    rows = figures["images"].chart.concat[0].data.values

    def picture(**chosen):
        (row,) = (row for row in rows if chosen.items() <= row.items())
        return matplotlib.image.imread(io.BytesIO(base64.b64decode(row["url"].partition(",")[2])))[..., 0]

    _, held_out = sources.mnist().split(500, 0)
    for i in range(6):
        shown = picture(kind="MNIST sample", image=i + 1, part="original")
        np.testing.assert_allclose(shown, 1 - held_out.data[i].reshape(28, 28), atol=0.01)
    # Of a photograph the bright is bright.
    _, held_out = sources.normalize_contrast(sources.patches()).split(2000, 0)
    shown = picture(kind="patches, contrast normalised", image=2, part="original")
    expected = (held_out.data[1].reshape(12, 12) / 4 + 0.5).clip(0, 1)
    np.testing.assert_allclose(shown, expected, atol=0.01)
    bits = picture(kind="digits", image=1, part="bits", how="raw", rate=1)
    _, test, _, scales = experiments.prepare(sources.digits(), 40, whitened=False)
    codes = encoders.water_filled(40, scales, 0) @ (test.data[0] / torch.from_numpy(scales))
    np.testing.assert_array_equal(bits.ravel() < 0.5, codes > 0)


def test_images_name_a_bad_argument():
    with pytest.raises(ValueError, match="count"):
        explore.images(0)
    with pytest.raises(ValueError, match="count must be at most 179"):
        explore.images(180)
    with pytest.raises(ValueError, match="rate"):
        explore.images(rates=[-1])


def test_training_panel():
    panel = explore.training(d=30, steps=20)
    panel.start()  # no event loop here: the run blocks
    run = descent.projected_gradient(encoders.gaussian(30, 30, 0), steps=20, step_size=0.2)
    np.testing.assert_array_equal(panel.result.risk, run.risk)
    assert f"{run.risk[-1]:.4f}" in panel.message.value
    assert bytes(panel.picture.value).startswith(b"\x89PNG")
    assert panel.progress.value == panel.progress.max == 20
    assert panel.stop.disabled
    assert not panel.run.disabled


def test_training_panel_follows_its_controls():
    panel = explore.training()
    for name, value in (("d", 40), ("rate", 0.5), ("activation", "tanh"), ("step_size", 0.1), ("steps", 10)):
        panel.controls[name].value = value
    panel.run.click()
    run = panel.result
    assert (run.activation, run.rate, run.step_size, len(run.times)) == (activations.tanh, 0.5, 0.1, 11)


@pytest.mark.parametrize("panel", [explore.training(d=200, steps=500), explore.samples(steps=20_000)])
def test_stop_ends_a_run_and_the_loop_stays_free(panel):
    async def press_run_then_stop():
        panel.run.click()
        beats = 0
        while not panel._points or panel._points[-1][0] == 0:
            await asyncio.sleep(0.005)
            beats += 1
        panel.stop.click()
        while panel.run.disabled:
            await asyncio.sleep(0.005)
        return beats

    assert asyncio.run(press_run_then_stop()) > 0
    assert str(panel.result.stopped) == "interrupted"
    assert 0 < panel.result.times[-1] < panel.progress.max
    assert "interrupted" in panel.message.value


def test_samples_panel():
    panel = explore.samples(d=20, rate=0.5, activation=activations.tanh, batch_size=64, steps=200)
    panel.start()
    assert panel.result.method == "training on samples"
    assert panel.result.risk[-1] < panel.result.risk[0]


def test_an_error_of_the_run_is_shown(monkeypatch):
    def fails(*arguments, **options):
        raise RuntimeError("no memory")

    panel = explore.training()
    monkeypatch.setattr(descent, "projected_gradient", fails)
    panel.start()
    assert "no memory" in panel.message.value
    assert not panel.run.disabled


def test_panels_name_a_bad_argument():
    with pytest.raises(ValueError, match="activation"):
        explore.training(activation=activations.cubic)
    with pytest.raises(TypeError, match="steps"):
        explore.samples(steps=1.5)
    with pytest.raises(ValueError, match="step_size"):
        explore.training(step_size=0)
