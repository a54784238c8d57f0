import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import joblib
import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from aetutor import _download, limits, reproduce, sweep
from aetutor.__main__ import main

PARTS = {
    "isotropic": ["projected gradient", "construction", "samples"],
    "activations": ["projected gradient"],
    "dynamics": ["projected gradient"],
    "weight-tied": ["flow"],
    "anisotropic": ["projected gradient"],
    "images": ["training"],
    "cifar10-classes": ["training"],
}


@pytest.fixture(scope="module", autouse=True)
def _no_workers_left():
    yield
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True, kill_workers=True)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Where all figures of the small scale are made, each by the first test that asks for it."""
    return tmp_path_factory.mktemp("out")


@pytest.fixture
def made(out):
    def folder(name):
        if not (out / name / "record.md").exists():
            assert main(["reproduce", name, "--out", str(out), "--device", "cpu"]) == 0
        return out / name

    return folder


def load(folder, part):
    return sweep.load(folder / part)


def no_network(monkeypatch, tmp_path):
    """No data sets here, and nowhere to get them."""
    monkeypatch.setenv("AETUTOR_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("no_proxy", "*")
    closed = ("http://127.0.0.1:9/file",)
    files = {name: file._replace(urls=closed) for name, file in _download.FILES.items()}
    monkeypatch.setattr(_download, "FILES", files)


# What a figure leaves


def test_all_figures_are_listed(capsys):
    assert list(PARTS) == list(reproduce.FIGURES)
    assert main(["reproduce", "list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(PARTS)


@pytest.mark.parametrize("name", PARTS)
def test_files(made, name):
    folder = made(name)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*PARTS[name], "figure.png", "record.md"])
    for part in PARTS[name]:
        assert sorted(os.listdir(folder / part)) == ["points.jsonl", "result.nc"]
        assert not load(folder, part).to_array().isnull().any()
    image = plt.imread(folder / "figure.png")
    height, width, _ = image.shape
    assert 500 < height < 800
    assert 700 < width < 1600
    assert 0.005 < np.mean(image[..., :3].min(axis=-1) < 0.9) < 0.4  # something is drawn, and not too much
    assert not plt.get_fignums()


@pytest.mark.parametrize("name", PARTS)
def test_record(made, name):
    folder = made(name)
    text = (folder / "record.md").read_text("utf-8")
    assert text.startswith(f"# {reproduce.FIGURES[name].title}\n\n{reproduce.FIGURES[name].shows}\n")
    for words in (
        rf"\| Command \| `aetutor reproduce {name} --scale small --device cpu --out .+` \|",
        r"\| Date \| \d{4}-\d\d-\d\d \d\d:\d\d \w+ \|",
        r"\| Scale \| small \|",
        r"\| Points \| (\d+) of \1 in this run, \d+\.\d s of wall time \|",
        r"\| Versions \| Python 3\.\d+\.\d+, aetutor [\d.]+, torch [\w.+]+, numpy [\d.]+, scipy [\d.]+ \|",
        r"\| Hardware \| .+, \d+ CPUs, [\d.]+ GiB of memory, no GPU used \|",
        r"\n- seed: 0, 1",
    ):
        assert re.search(words, text), words
    found = re.findall(r"largest relative distance from the limit, of means over (\d+) seeds: (\S+)", text)
    assert len(found) == len(PARTS[name])
    for part, (seeds, distance) in zip(PARTS[name], found, strict=True):
        data = load(folder, part)
        assert int(seeds) == data.sizes["seed"]
        assert float(distance) == pytest.approx(float(abs(excess(data)).max()), rel=0.06)


# What was measured, beside the limit


def excess(data):
    mean = data.mean("seed")
    if "limit_0" in mean.dims:  # a curve, along its limit
        return mean["risk"] / mean["limit"].rename(limit_0="risk_0") - 1
    return mean["risk"] / mean["limit"] - 1


def test_isotropic(made):
    """d = 60: at the limit up to rate 1, at most 1 % (descent) and 2.5 % (construction) above it beyond."""
    folder = made("isotropic")
    for part, low, high in (
        ("projected gradient", 1e-3, 0.01),
        ("construction", 1e-12, 0.025),
        ("samples", 2e-3, 0.015),
    ):
        data = load(folder, part)
        assert np.allclose(data.limit.mean("seed"), limits.isotropic(data.rate.values), atol=1e-12)
        over = excess(data)
        assert abs(over.where(over.rate <= 1)).max() < low
        assert over.where(over.rate > 1).max() < high
        assert over.min() > -1e-9


def test_activations(made):
    """d = 60: the smaller the limit, the more finite d shows; 12 % for erf at rate 3."""
    data = load(made("activations"), "projected gradient")
    over = excess(data)
    assert abs(over.where(over.rate <= 1)).max() < 1e-3
    highest = over.max("rate")
    for name, bound in {"sign": 0.015, "hard_tanh": 0.05, "tanh": 0.065, "erf": 0.14}.items():
        assert 0 < float(highest.sel(activation=name)) < bound
    risk = data.risk.mean("seed")
    for stronger, weaker in (("erf", "tanh"), ("tanh", "hard_tanh"), ("hard_tanh", "sign")):
        assert (risk.sel(activation=stronger) < risk.sel(activation=weaker)).all()


def test_dynamics(made):
    """d = 100: within 1 % of the learning curve at every step, while the risk falls by 5 to 40 %."""
    data = load(made("dynamics"), "projected gradient")
    assert abs(excess(data)).max() < 0.01
    risk = data.risk.mean("seed")
    fallen = risk.isel(risk_0=-1) / risk.isel(risk_0=0)
    assert np.allclose(fallen, [0.945, 0.696, 0.731], atol=0.02)
    start = data.limit.isel(limit_0=0).mean("seed")
    assert (abs(risk.isel(risk_0=0) / start - 1) < 0.005).all()


def test_weight_tied(made):
    data = load(made("weight-tied"), "flow")
    assert abs(excess(data)).max() < 1e-9
    assert (data.log_det.diff("log_det_0") > -1e-8).all()
    assert (data.log_det.isel(log_det_0=0) < -0.5).all()
    assert abs(data.log_det.isel(log_det_0=-1)).max() < 1e-7
    assert (data.curve.diff("curve_0") < 1e-8).all()


def test_anisotropic(made):
    """d = 60: within 4 % of the limit, and the strong directions within 4 % of their allocation."""
    data = load(made("anisotropic"), "projected gradient")
    over = excess(data)
    assert over.min() > -1e-9
    assert over.max() < 0.04
    assert over.where(over.rate <= 1).max() < 0.01
    mean = data.mean("seed")
    assert abs(mean.strong / mean.strong_limit - 1).max() < 0.04
    assert abs(mean.weak - mean.weak_limit).max() < 0.1
    assert float(mean.weak.sel(rate=0.4)) < 1e-3  # under water
    assert np.allclose(mean.strong / 3 + 2 * mean.weak / 3, mean.rate)


def test_images(made):
    """Digits, alike in contrast, come within 5 % of the limit; patches of what random scales give."""
    mean = load(made("images"), "training").mean("seed")
    over, white = mean.risk / mean.limit - 1, mean.sel(whitened=True)
    assert abs(over.sel(whitened=True, data=["digits", "MNIST sample"])).max() < 0.05
    assert abs(over.sel(whitened=False, data=["digits", "MNIST sample"])).max() < 0.13
    assert abs(white.risk / white.mixture - 1).max() < 0.09
    assert abs(white.random / white.mixture - 1).max() < 0.04
    assert (over.sel(data="patches, contrast normalised") > 0.05).all()
    assert np.allclose(white.limit, limits.isotropic(white.rate.values))


def test_classes(made):
    """Between the limit and what random scales give, with contrast normalised within 6 % of the latter."""
    mean = load(made("cifar10-classes"), "training").mean("seed")
    assert (mean.limit < mean.risk).all()
    assert (mean.risk < mean.mixture).all()
    normal = mean.sel(data="patches, contrast normalised")
    assert abs(normal.risk / normal.mixture - 1).max() < 0.06
    assert np.allclose(mean.factor.max("rate").sel(data=["patches"]), 0.47, atol=0.05)


# Running again, stopping, and what it would cost


@pytest.mark.parametrize("name", PARTS)
def test_second_call_computes_nothing(made, name):
    folder = made(name)
    before = {part: load(folder, part) for part in PARTS[name]}
    record = (folder / "record.md").read_bytes()
    found = reproduce.run(name, "small", folder.parent, device="cpu", progress=False)
    assert found.computed == 0
    assert found.points == sum(
        data.risk[..., 0].size if name == "dynamics" else data.risk.size for data in before.values()
    )
    assert found.seconds < 10
    assert all(found.data[part].identical(data) for part, data in before.items())
    assert (folder / "record.md").read_bytes() == record


def points(folder):
    return sum(path.read_bytes().count(b'\n{"point"') for path in folder.glob("*/points.jsonl"))


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
@pytest.mark.parametrize("serial", [False, True])
def test_interrupted(made, tmp_path, serial):
    """Ctrl-C, which a terminal sends to the workers too; the numbers are those of a run without it."""
    here = "import joblib, sys; from aetutor.__main__ import main\nwith joblib.parallel_config(n_jobs=1): "
    program = ["-c", here + "sys.exit(main(sys.argv[1:]))"] if serial else ["-m", "aetutor"]
    command = ["reproduce", "anisotropic", "--out", str(tmp_path), "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, *program, *command], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    folder = tmp_path / "anisotropic"
    try:
        end = time.monotonic() + 60
        while points(folder) < 3:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert "aetutor: stopped; the same command goes on from here" in said.splitlines()
    kept = points(folder)
    assert 3 <= kept < 18
    assert not (folder / "record.md").exists()
    found = reproduce.run("anisotropic", "small", tmp_path, device="cpu", progress=False)
    assert found.computed == 18 - kept
    assert points(folder) == 18
    whole = load(made("anisotropic"), "projected gradient")
    assert np.allclose(found.data["projected gradient"].risk, whole.risk, rtol=1e-6)
    assert f"{18 - kept} of 18 in this run" in found.record.read_text("utf-8")


def test_from_python(tmp_path):
    with joblib.parallel_config(n_jobs=1):
        found = reproduce.run("weight-tied", out=tmp_path / "new" / "folder", progress=False)
    assert (found.computed, found.points) == (15, 15)
    assert found.distance["flow"] < 1e-9
    assert found.figure == tmp_path / "new" / "folder" / "weight-tied" / "figure.png"
    assert found.figure.stat().st_size > 10_000


def test_estimate_at_paper_scale(monkeypatch, tmp_path, capsys):
    no_network(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "all", "--scale", "paper", "--estimate", "--device", "cpu"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert list(lines) == [*PARTS, "together"]
    for name in ("isotropic", "activations", "dynamics", "weight-tied", "anisotropic"):
        assert re.fullmatch(rf"{name} +\d+ points +about [\d.]+ (s|min|h)", lines[name])
    for name in ("images", "cifar10-classes"):
        assert re.fullmatch(rf"{name} +\S+\.gz is not in .+; a run would download it", lines[name])
    assert re.search(r"on the CPU; each took up to [\d.]+ GB|one process", lines["together"])
    assert not list(tmp_path.iterdir())


def test_estimates_grow_with_the_work():
    """A point five times as long, of twice the dimension, and more of them take longer."""
    small, paper = (reproduce.estimate("dynamics", scale, device="cpu") for scale in ("small", "paper"))
    assert (small.points, paper.points) == (15, 60)
    assert paper.seconds > 10 * small.seconds > 0
    assert small.memory > 10_000_000


# Bad input


def said(capsys, arguments, code=2):
    assert main(["reproduce", *arguments]) == code
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    return err, out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["figure9"], r"aetutor: FIGURE must be one of 'isotropic', .*'all', got 'figure9'"),
        (["isotropic", "--scale", "huge"], r"--scale must be one of 'small', 'medium', 'paper', got 'huge'"),
        (["isotropic", "--device", "abacus"], r"device must be one that PyTorch can use here, got 'abacus'"),
    ],
)
def test_bad_input(capsys, tmp_path, arguments, words):
    err, _ = said(capsys, [*arguments, "--out", str(tmp_path / "out")])
    assert re.search(words, err)
    assert not (tmp_path / "out").exists()


def test_folder_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        err, _ = said(capsys, ["weight-tied", "--out", str(path)])
        assert f"aetutor: out must be a folder that can be written, got {str(path)!r}" in err


def test_foreign_store(capsys, tmp_path, made):
    (tmp_path / "weight-tied").mkdir()
    shutil.copytree(made("dynamics") / "projected gradient", tmp_path / "weight-tied" / "flow")
    err, _ = said(capsys, ["weight-tied", "--out", str(tmp_path)])
    assert "is of another function: it was aetutor.reproduce.on_descent" in err


@pytest.mark.parametrize(
    ("name", "file"),
    [("images", "train-images-idx3-ubyte.gz"), ("cifar10-classes", "cifar-10-binary.tar.gz")],
)
def test_missing_download(monkeypatch, capsys, tmp_path, name, file):
    no_network(monkeypatch, tmp_path)
    err, _ = said(capsys, [name, "--scale", "paper", "--out", str(tmp_path / "out")])
    assert re.match(
        rf"aetutor: {file} is not in .*data.* and cannot be downloaded \(.*\); put the file from", err
    )
    assert not (tmp_path / "out" / name).exists()


def test_missing_download_does_not_stop_the_others(monkeypatch, capsys, tmp_path):
    def measured(name, *_, **__):
        if name == "images":
            raise FileNotFoundError("no images")
        return reproduce.Result({}, {"x": 0.5}, 1, 2, 3.0, tmp_path, tmp_path)

    monkeypatch.setattr(reproduce, "run", measured)
    err, out = said(capsys, ["all"])
    assert err == "aetutor: no images\n"
    assert out.count("1 of 2 points computed") == len(PARTS) - 1


def test_points_that_fail(monkeypatch, capsys):
    def fails(*_, **__):
        raise RuntimeError("function failed at 1 of 2 points")

    monkeypatch.setattr(reproduce, "run", fails)
    said(capsys, ["isotropic"], code=1)


def test_help():
    done = subprocess.run(
        [sys.executable, "-m", "aetutor", "reproduce", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert "usage: aetutor reproduce" in text
    for name, figure in reproduce.FIGURES.items():
        assert f"{name}: {figure.title}. {figure.shows}" in text
        assert figure.data in text
    for name, cost in reproduce.SCALES.items():
        assert f"{name}: {cost}" in text
    assert max(map(len, done.stdout.splitlines())) <= 80
