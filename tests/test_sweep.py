import contextlib
import functools
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import uuid

import joblib
import numpy as np
import pytest

from aetutor import _files, experiments, sweep

AXES = {"x": [0.1, 0.5, 2.0], "kind": ["plain", "square"]}
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")

# Functions of a point, which workers import from here


def note(log, what):
    """Leave a file for a call that has begun."""
    with open(os.path.join(log, f"{what}@{uuid.uuid4().hex}"), "w"):
        pass


def curve(x, kind, scale=1.0):
    level = np.sin(x) * scale if kind == "plain" else (x / 3) ** 2
    return {"level": level, "curve": np.array([[level, np.nan], [np.inf, np.float32(x)]])}


AWKWARD = [0.1 + 0.2, 5e-324, -0.0, 1.7976931348623157e308, math.pi, math.inf, -math.inf, math.nan, 1 / 3]


def awkward(i):
    return AWKWARD[i]


def slow(x, log, pause=0.0, backwards=False):
    note(log, x)
    time.sleep(pause or (0.1 * (x < 1) if backwards else 0.0))
    return x**2


def many(x, y, log):
    note(log, f"{','.join(map(str, x))} {y}")
    return {"sum": np.array(x) + y}


def threads(x):
    import torch

    return torch.get_num_threads()


def process(x):
    return os.getpid()


def killed_once(x, log, at, spare=False):
    """Kill the own process at a point, once, or whenever `at` is a list."""
    again = str(x) in calls(log)
    note(log, x)
    time.sleep(0.02)
    if not spare and ((x == at and not again) or (isinstance(at, list) and x in at)):
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def fails(x, bad, marker=""):
    if x in bad and not os.path.exists(marker):
        raise ZeroDivisionError(f"no {x}")
    return x


def odd(kind):
    return (
        {
            "good": {"a": 1},
            "text": "a",
            "none": None,
            "empty": {},
            "name": {"b": 1},
            "shape": {"a": [1, 2]},
            "axis": {"kind": 1},
        }[kind]
        if isinstance(kind, str)
        else np.zeros(3)
    )


def long(x, log):
    note(log, x)
    return np.arange(100) + x / 3


def sized(x, d):
    return np.zeros(d)


def kinds(b, s, t):
    assert (type(b), type(s), type(t)) == (bool, int, str)
    return s


def weighted(x, weights):
    return x * float(weights.sum())


@pytest.fixture(scope="module", autouse=True)
def _like_the_workers():
    """One thread, as they have on two cores: with more, last digits may differ. None is left behind."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True, kill_workers=True)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def log(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    return str(folder)


def run(function, axes, store, **options):
    return sweep.run(function, axes, store, **{"progress": False, **options})


@contextlib.contextmanager
def here():
    """In this process, one after another."""
    with joblib.parallel_config(n_jobs=1):
        yield


def calls(log):
    """How often each point was begun."""
    names = [name.split("@")[0] for name in os.listdir(log)]
    return {name: names.count(name) for name in names}


def lines(store):
    return (store / "points.jsonl").read_text().splitlines()


def stored(store):
    return [json.dumps(json.loads(line)["point"]) for line in lines(store) if '"point"' in line]


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# What it computes


def test_completeness_and_labels(store):
    dataset = run(curve, AXES, store, constants={"scale": 3.0})
    assert dict(dataset.sizes) == {"x": 3, "kind": 2, "curve_0": 2, "curve_1": 2}
    assert dataset.x.values.tolist() == AXES["x"]
    assert dataset.kind.values.tolist() == AXES["kind"]
    assert dataset.level.dims == ("x", "kind")
    assert dataset.curve.dims == ("x", "kind", "curve_0", "curve_1")
    for x in AXES["x"]:  # a plain loop, bit for bit
        for kind in AXES["kind"]:
            expected = curve(x=x, kind=kind, scale=3.0)
            one = dataset.sel(x=x, kind=kind)
            assert float(one.level) == expected["level"]
            assert np.array_equal(one.curve, expected["curve"], equal_nan=True)
    assert dataset.attrs["function"] == "test_sweep.curve"
    assert json.loads(dataset.attrs["constants"]) == {"scale": 3.0}
    assert dataset.attrs["numpy"] == np.__version__
    assert {"aetutor", "torch"} < set(dataset.attrs)
    import xarray

    with xarray.open_dataset(store / "result.nc", engine="scipy") as kept:
        assert kept.load().identical(dataset)
    assert sweep.load(store).identical(dataset)
    assert sorted(os.listdir(store)) == ["points.jsonl", "result.nc"]


def test_floats_are_kept_to_the_last_bit(store):
    with here():
        run(awkward, {"i": range(len(AWKWARD))}, store)
    values = sweep.load(store)["value"].values
    assert values.tobytes() == np.array(AWKWARD).tobytes()


def test_order_does_not_matter(tmp_path, log):
    axes = {"x": list(range(12))}
    with here():
        first = run(slow, axes, tmp_path / "a", constants={"log": log})
        assert len(set(stored(tmp_path / "a"))) == 12
    late = run(slow, axes, tmp_path / "b", constants={"log": log, "backwards": True})
    assert stored(tmp_path / "a") != stored(tmp_path / "b")
    assert late.value.identical(first.value)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_backends_agree(tmp_path, backend, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    axes, constants = {"rate": [0.5, 1.5], "seed": [0, 1, 2]}, {"d": 12, "steps": 3}
    loop = [[experiments.on_gaussian(r, s, **constants)["risk"] for s in axes["seed"]] for r in axes["rate"]]
    with joblib.parallel_config(backend=backend, n_jobs=2):
        dataset = run(experiments.on_gaussian, axes, tmp_path / "one", constants=constants)
        together = run(experiments.on_gaussian, axes, tmp_path / "batch", constants=constants, batch="seed")
    assert np.array_equal(dataset.risk, loop)
    assert np.abs(together.risk - dataset.risk).max() < 1e-9
    assert together.limit.identical(dataset.limit)


def test_a_batch_gets_what_is_missing(store, log):
    with here():
        run(many, {"x": [1, 2], "y": [10, 20]}, store, constants={"log": log}, batch="x")
        assert calls(log) == {"1,2 10": 1, "1,2 20": 1}
        grown = run(many, {"x": [1, 3, 2, 4], "y": [10, 20]}, store, constants={"log": log}, batch="x")
    assert calls(log) == {"1,2 10": 1, "1,2 20": 1, "3,4 10": 1, "3,4 20": 1}
    assert grown["sum"].values.tolist() == [[11, 21], [13, 23], [12, 22], [14, 24]]
    assert len(stored(store)) == 8


def test_threads_of_the_workers(store):
    with joblib.parallel_config(n_jobs=2):
        found = run(threads, {"x": [0, 1, 2]}, store)["value"].values
    expected = os.environ.get("OMP_NUM_THREADS", max(1, joblib.cpu_count() // 2))
    assert found.tolist() == [float(expected)] * 3


def test_jobs(store, tmp_path):
    with joblib.parallel_config(n_jobs=1):
        one = run(process, {"x": range(3)}, store)
    assert set(one["value"].values) == {os.getpid()}
    assert os.getpid() not in run(process, {"x": range(3)}, tmp_path / "all")["value"].values


# What it does not compute again


def test_nothing_is_computed_twice(store, log):
    first = run(slow, {"x": [1, 2, 3]}, store, constants={"log": log})
    assert calls(log) == {"1": 1, "2": 1, "3": 1}
    before = snapshot(store)["points.jsonl"]
    assert run(slow, {"x": [1, 2, 3]}, store, constants={"log": log}).identical(first)
    assert calls(log) == {"1": 1, "2": 1, "3": 1}
    assert snapshot(store)["points.jsonl"] == before


def test_a_grid_may_grow(store, log):
    with here():
        run(slow, {"x": [1, 3]}, store, constants={"log": log})
        grown = run(slow, {"x": np.array([1.0, 2.5, 3.0])}, store, constants={"log": log})
        assert calls(log) == {"1": 1, "3": 1, "2.5": 1}
        assert grown["value"].values.tolist() == [1, 2.5**2, 9]
        both = run(slow, {"x": [1, 2.5], "log": [log]}, store)  # a constant has become an axis
    assert calls(log) == {"1": 1, "3": 1, "2.5": 1}
    assert both["value"].values.tolist() == [[1], [2.5**2]]
    assert sweep.load(store).identical(both)


def test_other_constants_are_other_points(store):
    with here():
        one = run(curve, AXES, store, constants={"scale": 1.0})
        two = run(curve, AXES, store, constants={"scale": 2.0})
        assert not one.equals(two)
        assert run(curve, AXES, store, constants={"scale": 1.0}).identical(one)
    assert len(stored(store)) == 12


def test_load_of_a_part(store):
    with here(), pytest.raises(RuntimeError, match="1 of 3 points"):
        run(fails, {"x": [1, 2, 3]}, store, constants={"bad": [2]})
    assert np.array_equal(sweep.load(store)["value"], [1, np.nan, 3], equal_nan=True)
    with (store / "points.jsonl").open("ab") as journal:
        journal.write(b'{"point": {"x": 2, "bad"')
    before = snapshot(store)
    assert np.array_equal(sweep.load(store)["value"], [1, np.nan, 3], equal_nan=True)
    assert snapshot(store) == before


def test_load_during_a_run(store):
    seen = []

    def look(x):
        seen.append(sweep.load(store))
        return x

    with here():
        run(look, {"x": [1, 2, 3]}, store)
    assert list(seen[0].data_vars) == []
    assert np.array_equal(seen[2]["value"], [1, 2, np.nan], equal_nan=True)


# Faults

DRIVER = """
import joblib, sys
import test_sweep as points
from aetutor import sweep
store, log = sys.argv[1:]
with joblib.parallel_config(n_jobs=2):
    constants = {"log": log, "pause": 0.03}
    sweep.run(points.slow, {"x": list(range(40))}, store, constants=constants, progress=False)
"""
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path]),
    "PYTHONWARNINGS": "ignore",
}


def script(source, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source), *map(str, arguments)],
        env=ENVIRONMENT,
        text=True,
        **options,
    )


def wait_for(number, store, driver):
    """Until that many points are in the journal."""
    while driver.poll() is None:
        with contextlib.suppress(OSError):
            if len(stored(store)) >= number:
                return
        time.sleep(0.002)
    pytest.fail(f"the driver ended early: {driver.returncode}")


@POSIX
def test_driver_killed_at_random_moments(store, log):
    chance, drivers, done = random.Random(0), [], 0
    for _ in range(3):
        driver = script(DRIVER, store, log, start_new_session=True)
        drivers.append(driver)
        wait_for(done + chance.randint(1, 8), store, driver)
        time.sleep(chance.uniform(0, 0.02))
        driver.send_signal(signal.SIGKILL)
        assert driver.wait() == -signal.SIGKILL
        done = len(stored(store))
        assert done < 40
    with joblib.parallel_config(n_jobs=2):
        whole = run(slow, {"x": list(range(40))}, store, constants={"log": log, "pause": 0.03})
    assert whole["value"].values.tolist() == [float(x**2) for x in range(40)]
    assert len(stored(store)) == len(set(stored(store))) == 40
    for driver in drivers:  # whose workers would idle on for minutes
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
    # Lost were at most what two workers computed, what waited for them, and what was on its way back.
    assert set(calls(log)) == {str(x) for x in range(40)}
    assert sum(calls(log).values()) <= 40 + 6 * len(drivers)
    assert sorted(os.listdir(store)) == ["points.jsonl", "result.nc"]


@POSIX
def test_interrupted(store, log):
    driver = script(DRIVER, store, log, stderr=subprocess.PIPE)
    wait_for(3, store, driver)
    driver.send_signal(signal.SIGINT)
    said = driver.communicate(timeout=60)[1]
    assert driver.returncode != 0
    assert "KeyboardInterrupt" in said
    assert 3 <= len(stored(store)) < 40
    before = calls(log)
    run(slow, {"x": list(range(40))}, store, constants={"log": log, "pause": 0.03})
    assert sum(calls(log).values()) - sum(before.values()) <= 40 - 3
    assert len(stored(store)) == 40


@POSIX
def test_worker_killed(store, log):
    dataset = run(killed_once, {"x": range(10)}, store, constants={"log": log, "at": 4})
    assert dataset["value"].values.tolist() == list(range(10))
    assert len(stored(store)) == len(set(stored(store))) == 10
    assert calls(log)["4"] == 2


@POSIX
def test_a_point_that_always_kills(store, log):
    with pytest.raises(
        RuntimeError, match=r"workers failed 4 times in a row \(TerminatedWorkerError"
    ) as info:
        run(killed_once, {"x": range(10)}, store, constants={"log": log, "at": [0]})
    assert '"x": 0' in str(info.value)
    assert len(stored(store)) == 9  # it came first, and yet all others are there


@POSIX
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning", "ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_dask(tmp_path, log):
    import logging

    import dask
    import distributed

    for name in ("distributed", "distributed.scheduler", "distributed.nanny", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    axes = {"x": list(range(12))}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        one = run(killed_once, axes, tmp_path / "one", constants={"log": log, "at": 4})
        assert one["value"].values.tolist() == axes["x"]
        assert len(stored(tmp_path / "one")) == len(set(stored(tmp_path / "one"))) == 12
        assert calls(log)["4"] == 2
        with pytest.raises(RuntimeError, match=r"workers failed 1 times in a row \(KilledWorker"):
            run(killed_once, axes, tmp_path / "always", constants={"log": log, "at": [3]}, retries=0)
        with pytest.raises(RuntimeError, match="failed at 1 of 12 points"):
            run(fails, axes, tmp_path / "fails", constants={"bad": [2]})
    with here():  # and what the cluster has begun can be ended here
        both = run(killed_once, axes, tmp_path / "always", constants={"log": log, "at": [3], "spare": True})
    assert both["value"].values.tolist() == axes["x"]


def test_failing_points(store, log):
    with pytest.raises(RuntimeError) as info:
        run(fails, {"x": range(8)}, store, constants={"bad": [1, 3, 4, 6]})
    said = str(info.value)
    assert said.startswith("function failed at 4 of 8 points; the others are kept")
    assert '"x": 1}; {' in said
    assert "; …. The first failed with\nTraceback" in said
    assert "ZeroDivisionError: no 1" in said
    assert len(stored(store)) == 4
    assert not (store / "result.nc").exists()


def test_failing_points_are_tried_again(store, tmp_path):
    marker = tmp_path / "fixed"
    with here():
        with pytest.raises(RuntimeError, match="1 of 3 points"):
            run(fails, {"x": range(3)}, store, constants={"bad": [1], "marker": str(marker)})
        marker.touch()
        dataset = run(fails, {"x": range(3)}, store, constants={"bad": [1], "marker": str(marker)})
    assert dataset["value"].values.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("text", "value 'value' must hold real numbers, got 'a'"),
        ("none", "value 'value' must hold real numbers"),
        ("empty", "must return at least one value"),
        ("name", "the same names and shapes at every point"),
        ("shape", "the same names and shapes at every point"),
        ("axis", "must not return values named as an axis, got 'kind'"),
    ],
)
def test_bad_results(store, kind, words):
    first = ["axis"] if kind == "axis" else ["good", kind]
    with here(), pytest.raises(RuntimeError, match=words):
        run(odd, {"kind": first}, store)


def test_bad_batch_results(store):
    with here(), pytest.raises(RuntimeError, match=r"must have first dimension 2, got shape \(3,\)"):
        run(odd, {"kind": ["good", "x"]}, store, batch="kind")


def test_second_driver(store, log):
    pytest.importorskip("fcntl")

    def nested(x):
        with pytest.raises(RuntimeError, match=r"store '.*store' is in use by another run"):
            run(process, {"x": [1]}, store)
        return x

    with here():
        run(nested, {"x": [1, 2]}, store)
    driver = script(DRIVER, store / "other", log)
    wait_for(1, store / "other", driver)
    with pytest.raises(RuntimeError, match="in use by another run"):
        run(slow, {"x": [1]}, store / "other")
    assert driver.wait(timeout=60) == 0


def test_without_locks(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with here():
        assert run(process, {"x": [1, 2]}, store).sizes["x"] == 2


FULL = """
import errno, resource, signal, sys
import joblib
import test_sweep as points
from aetutor import sweep
store, log, limit = sys.argv[1:]
if int(limit):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    with joblib.parallel_config(n_jobs=1):
        sweep.run(points.long, {"x": list(range(40))}, store, constants={"log": log}, progress=False)
except OSError as error:
    assert error.errno in (errno.EFBIG, errno.ENOSPC), error
    assert error.filename.endswith("points.jsonl"), error
    assert "could not be written" in str(error) and "what was finished before is kept" in str(error)
    print("full")
"""


def full(store, log, limit):
    driver = script(FULL, store, log, limit, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = driver.communicate(timeout=60)
    assert (driver.returncode, out) == (0, "full\n"), err
    found = len(stored(store))
    assert 1 < found < 40
    assert (store / "points.jsonl").read_bytes().endswith(b"\n")
    assert int(sweep.load(store)["value"].notnull().all("value_0").sum()) == found
    return found


def finish(store, log):
    with here():
        dataset = run(long, {"x": list(range(40))}, store, constants={"log": log})
    assert int(dataset["value"].isnull().sum()) == 0
    assert len(stored(store)) == 40


@POSIX
@pytest.mark.parametrize("limit", [10_000, 20_001])
def test_file_that_may_not_grow(store, log, limit):
    found = full(store, log, limit)
    finish(store, log)
    assert sum(calls(log).values()) == 40 + 1
    assert found < 40


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to mount")
def test_full_disk(tmp_path, log):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("may not mount")
    try:
        full(disk / "store", log, 0)
        shutil.copytree(disk / "store", tmp_path / "store")
    finally:
        subprocess.run(["umount", disk], check=True)
    finish(tmp_path / "store", log)


def test_result_that_cannot_be_written(store, monkeypatch):
    def no_space(path, *parts):
        raise OSError(28, "No space left on device")

    with here():
        monkeypatch.setattr(_files, "replace", no_space)
        with pytest.raises(OSError, match=r"could not be written \(No space left on device\).*result.nc"):
            run(process, {"x": [1, 2]}, store)
        monkeypatch.undo()
        assert len(stored(store)) == 2
        run(process, {"x": [1, 2]}, store)
    assert (store / "result.nc").exists()


# Stores that are not as they should be


@pytest.fixture
def finished(store):
    with here():
        run(curve, AXES, store)
    return store


def refused(words, store, function=curve, also_load=True):
    """Refused with these words, and left as it was."""
    before = snapshot(store)
    with pytest.raises(ValueError, match=words):
        run(function, AXES, store)
    if also_load:
        with pytest.raises(ValueError, match=words):
            sweep.load(store)
    assert snapshot(store) == before


def test_foreign_folder(store):
    store.mkdir()
    (store / "thesis.tex").write_text("years of work")
    refused("store must be a new or empty folder, or one of a sweep", store, also_load=False)
    with pytest.raises(ValueError, match=r"store must be a folder that aetutor\.sweep has written"):
        sweep.load(store)


@pytest.mark.parametrize(
    "content", [b"a", b"[1, 2]\n", b'{"aetutor.sweep": 2, "function": "f"}\n', b"\0\0\0"]
)
def test_foreign_journal(store, content):
    store.mkdir()
    (store / "points.jsonl").write_bytes(content)
    refused("store must be one that aetutor.sweep has written", store)


def test_store_of_another_function(finished):
    refused(
        "is of another function: it was test_sweep.curve, and is test_sweep.odd now",
        finished,
        odd,
        also_load=False,
    )


def test_every_flipped_byte_is_found(finished):
    path = finished / "points.jsonl"
    whole = path.read_bytes()
    ends = [k for k, byte in enumerate(whole) if byte == ord("\n")]
    chance = random.Random(1)
    for at in chance.sample(range(len(whole)), 60):
        if at in ends:
            continue
        damaged = bytearray(whole)
        damaged[at] ^= 1 << chance.randrange(7)
        path.write_bytes(damaged)
        if damaged[at] == ord("\n"):
            continue
        number = sum(end < at for end in ends) + 1
        words = f"line {number} of '.*points.jsonl' does not have its checksum|store must be one that"
        refused(words, finished)


def test_cut_off_anywhere(finished):
    path = finished / "points.jsonl"
    whole = path.read_bytes()
    expected = sweep.load(finished)
    chance = random.Random(2)
    for at in [0, 1, 5, 30, *chance.sample(range(len(whole)), 20)]:
        path.write_bytes(whole[:at])
        with here():
            assert run(curve, AXES, finished).identical(expected)
        assert path.read_bytes() == whole


def test_zeros_at_the_end(finished):
    """What a file system may leave after a power failure."""
    path = finished / "points.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0" * 500)
    with here():
        run(curve, AXES, finished)
    assert path.read_bytes() == whole


def test_load_before_the_first_grid(store):
    store.mkdir()
    (store / "points.jsonl").write_bytes(b'{"aetu')
    with pytest.raises(ValueError, match="holds nothing yet"):
        sweep.load(store)
    with pytest.raises(ValueError, match=r"store must be a folder that aetutor\.sweep has written"):
        sweep.load(store / "nowhere")
    with pytest.raises(ValueError, match="store must be a folder, got the file"):
        sweep.load(store / "points.jsonl")


def test_store_with_other_shapes(store):
    with here():
        run(sized, {"x": [1]}, store, constants={"d": 2})
        run(sized, {"x": [1]}, store, constants={"d": 3})
        with pytest.raises(ValueError, match=r"store does not fit these axes at .*the same names and shapes"):
            run(sized, {"x": [1], "d": [2, 3]}, store)


# Bad input, and the rest


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"function": 3}, TypeError, "function must be a function with a name .* got 3"),
        ({"function": functools.partial(process, x=1)}, TypeError, "function must be a function with a name"),
        ({"axes": [1]}, TypeError, r"axes must be a mapping of names to values, got \[1\]"),
        ({"axes": {}}, ValueError, "axes must name at least one axis"),
        ({"axes": {1: [1]}}, TypeError, "axes must have strings as names, got 1"),
        ({"axes": {"x": []}}, ValueError, r"at least one value each, .* got x = \[\]"),
        ({"axes": {"x": 3}}, ValueError, "at least one value each, .* got x = 3"),
        ({"axes": {"x": "abc"}}, ValueError, "at least one value each, .* got x = 'abc'"),
        ({"axes": {"x": [1, "a"]}}, ValueError, "all numbers, all strings or all bools"),
        ({"axes": {"x": [1, True]}}, ValueError, "all numbers, all strings or all bools"),
        ({"axes": {"x": [[1], [2]]}}, ValueError, "all numbers, all strings or all bools"),
        ({"axes": {"x": [None]}}, ValueError, "all numbers, all strings or all bools"),
        ({"axes": {"x": [1, 1.0]}}, ValueError, "axes must hold distinct values and no NaN"),
        ({"axes": {"x": [np.nan]}}, ValueError, "axes must hold distinct values and no NaN"),
        ({"constants": [1]}, TypeError, "constants must be a mapping"),
        ({"constants": {"x": 1}}, ValueError, "constants must not name an axis, got 'x'"),
        ({"constants": {"y": object}}, TypeError, "constants must be what JSON can write, got y"),
        ({"batch": "y"}, ValueError, "batch must be one of the axes 'x', got 'y'"),
        ({"retries": -1}, ValueError, "retries must be at least 0, got -1"),
        ({"store": 3}, TypeError, "store must be a path, got 3"),
    ],
)
def test_bad_input(store, change, error, words):
    call = {"function": process, "axes": {"x": [1, 2]}, "store": store, **change}
    with pytest.raises(error, match=words):
        run(**call)
    assert not store.exists()


@pytest.mark.parametrize("package", ["xarray", "joblib"])
def test_missing_packages(finished, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"a sweep needs {package}: pip install 'aetutor\[sweep\]'"):
        run(process, {"x": [1]}, tmp_path / "new")
    if package == "joblib":
        assert sweep.load(finished).sizes["x"] == 3


def test_progress(store, capsys):
    with here(), contextlib.suppress(RuntimeError):
        run(fails, {"x": range(4)}, store, constants={"bad": [3]})
    with here(), contextlib.suppress(RuntimeError):
        sweep.run(fails, {"x": range(4)}, store, constants={"bad": [3]})
    said = capsys.readouterr().err
    assert "75%" in said
    assert "100%" in said


def test_axes_of_any_kind(store):
    seeds = [1, 2**40]  # more than netCDF 3 holds
    with here():
        dataset = run(kinds, {"b": [True, False], "s": np.array(seeds), "t": ("ä", "b")}, store)
    assert dataset.s.values.tolist() == seeds
    assert float(dataset["value"].sel(b=False, s=2**40, t="ä")) == 2**40
    import xarray

    with xarray.open_dataset(store / "result.nc", engine="scipy") as kept:
        assert kept["value"].values.tolist() == dataset["value"].values.tolist()
        assert kept.s.values.tolist() == seeds
        assert kept.t.values.tolist() == ["ä", "b"]


def test_constants_may_be_arrays(store):
    import torch

    weights = np.array([1.0, 2.0])
    with here():
        first = run(weighted, {"x": [1.0, 2.0]}, store, constants={"weights": weights})
        assert first["value"].values.tolist() == [3, 6]
        assert run(
            weighted, {"x": [1.0, 2.0]}, store, constants={"weights": torch.tensor(weights)}
        ).identical(first)
    assert len(stored(store)) == 2
