"""The sandbox and its conversation, apart from any assignment."""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from optional import missing

from aetutor.assignments import _wire, checks, sandbox
from aetutor.assignments.sandbox import Limits, Sandbox, SandboxError, SubmissionError


def through(value):
    data = _wire.pack(value)
    at = 0

    def read(size):
        nonlocal at
        part = data[at : at + size]
        assert len(part) == size
        at += size
        return part

    return _wire.unpack(read)


@pytest.mark.parametrize(
    "value",
    [None, ..., True, 3, 2**80, -0.5, "ö", [], [1, [2.0, "x"]], (1, (2,)), {"a": [1], "b": {"c": None}}],
    ids=repr,
)
def test_plain_data_goes_through(value):
    assert through(value) == value
    assert type(through(value)) is type(value)


def test_arrays_go_through():
    for array in (
        np.arange(6.0).reshape(2, 3).T,
        np.zeros((0, 3)),
        np.array(2),
        np.array([True]),
        np.array([1j]),
    ):
        back = through({"x": [array]})["x"][0]
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)
    tensor = torch.arange(3.0, requires_grad=True)
    np.testing.assert_array_equal(through(tensor), [0, 1, 2])
    np.testing.assert_array_equal(through(np.arange(3, dtype=">i4")), [0, 1, 2])
    assert type(through(np.float64(2.5))) is float
    assert through(checks.function("lambda x: 2 * x"))(4) == 8
    assert through(np.array(["a", "b"])) == ["a", "b"]


@pytest.mark.parametrize("value", [object(), {1: 2}, {"x": print}, np.array([object()])], ids=str)
def test_other_things_do_not(value):
    with pytest.raises(_wire.NotPlainDataError):
        _wire.pack(value)


def test_what_contains_itself_does_not():
    value = []
    value.append(value)
    with pytest.raises(_wire.NotPlainDataError):
        _wire.pack(value)


def test_no_message_of_any_bytes_does_harm():
    """Every message, whole, changed or made up, gives plain data or a ValueError."""
    draw = random.Random(0)
    whole = _wire.pack({"a": np.arange(4.0), "b": [1, (2, "x")]})
    for trial in range(3000):
        data = bytearray(whole)
        if trial % 3 == 0:
            data = bytearray(draw.randbytes(60))
            data[:4] = (60).to_bytes(4, "big")
        else:
            for _ in range(draw.randint(1, 4)):
                data[draw.randrange(4, len(data))] = draw.randrange(256)
        stream = iter([bytes(data[:4]), bytes(data[4:])])
        with contextlib.suppress(ValueError):
            _wire.unpack(lambda size, stream=stream: next(stream))
    for header in (
        '{"kind": "array", "dtype": "O", "shape": [1]}',
        '{"kind": "array", "dtype": "<f8", "shape": [9999999999]}',
        "[" * 5000,
        '{"kind": "system"}',
        "NaN1",
    ):
        body = len(header).to_bytes(4, "big") + header.encode()
        stream = iter([(len(body) + 4).to_bytes(4, "big"), body])
        with pytest.raises(ValueError, match=r"[a-z]"):
            _wire.unpack(lambda size, stream=stream: next(stream))


def test_as_another_user_with_a_python_in_reach(tmp_path_factory):
    """Where Python lies in root's own folder, as here it may, the tests below skip: run them with another."""
    if os.getuid() or sys.platform != "linux":
        pytest.skip("only root on Linux can run submissions as another user")
    if "user" in sandbox.available():
        return  # the tests below try it
    other = Path(f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}")
    if not other.exists():
        pytest.skip(f"there is no {other}")
    package = Path(sandbox.__file__)
    if subprocess.run(["test", "-r", package], user=61183, group=61183, extra_groups=[]).returncode:
        pytest.skip(f"other users cannot read {package}")
    place = Path(tempfile.mkdtemp(prefix="aetutor-python-"))
    try:
        subprocess.run([other, "-m", "venv", "--without-pip", place], check=True, capture_output=True)
        (packages,) = place.glob("lib/*/site-packages")
        root = Path(sandbox.__file__).parents[2]
        (packages / "all.pth").write_text(f"{sysconfig.get_path('purelib')}\n{root}\n")
        place.chmod(0o755)
        done = subprocess.run(
            [
                place / "bin" / "python",
                "-m",
                "pytest",
                __file__,
                "-q",
                "-k",
                "[user]",
                "-p",
                "no:cacheprovider",
            ],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=200,
        )
    finally:
        shutil.rmtree(place)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "skipped" not in done.stdout, done.stdout[-1000:]


@pytest.fixture(params=["bubblewrap", "user", "none"])
def isolation(request):
    if request.param not in sandbox.available():
        if request.param == "bubblewrap":
            missing("sandbox", "this machine cannot give the isolation bubblewrap")
        pytest.skip(f"this machine cannot give the isolation {request.param}")
    return request.param


CELLS = [
    "import numpy as np\nimport os",
    "def double(x):\n    return 2 * np.asarray(x)",
    "1 / 0",
    "answer = 42",
    "def slow():\n    import time\n    time.sleep(60)",
    "def odd():\n    return object()",
    "def wrong(x):\n    raise KeyError('a hint')",
    "%timeit -n1 -r1 pass",
    "def sees(path):\n    return os.access(path, os.R_OK), os.access(path, os.W_OK), os.getuid()",
    "def told():\n    return sorted(os.environ)",
]


def test_a_submission_is_run_and_asked(isolation, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "secret")
    with Sandbox(CELLS, Limits(call=2), isolation) as box:
        assert ["1 / 0" in error and "ZeroDivisionError" in error for error in box.errors] == [True]
        np.testing.assert_array_equal(box.call("double", [1, 2]), [2, 4])
        names = box.environment(["answer", "double", "nowhere", "odd"])
        assert names["answer"] == 42
        np.testing.assert_array_equal(names["double"](np.ones(2)), [2, 2])
        for what in (lambda: names["nowhere"](1), lambda: np.asarray(names["nowhere"])):
            with pytest.raises(SubmissionError, match="nowhere is not defined"):
                what()
        with pytest.raises(SubmissionError, match="KeyError: 'a hint'"):
            box.call("wrong", 1)
        with pytest.raises(SubmissionError, match="type object"):
            box.call("odd")
        with pytest.raises(SubmissionError, match="more than 2 s"):
            box.call("slow")
        np.testing.assert_array_equal(box.call("double", [3]), [6])  # and it is still there
        assert "MY_TOKEN" not in box.call("told")
    assert box._process.poll() is not None


def test_the_disk_is_closed(isolation, tmp_path):
    if isolation == "none":
        pytest.skip("isolation none closes nothing")
    mine = tmp_path / "mine"
    mine.write_text("x")
    mine.chmod(0o600)
    with Sandbox(CELLS, isolation=isolation) as box:
        for path in (mine, "/root", "/etc/shadow"):
            readable, writable, user = box.call("sees", str(path))
            assert not readable or (path == "/root" and isolation == "bubblewrap")  # an empty one of its own
            assert not writable
        assert box.call("sees", sandbox.__file__)[1] is False
        assert user != 0 or os.getuid() != 0


def test_limits_end_it(isolation):
    with pytest.raises(SandboxError, match="ran out of its 2 s"):
        Sandbox(
            ["while True:\n    try:\n        x = 1\n    except: pass"], Limits(seconds=2, cell=60), isolation
        )
    grow = "kept = []\nwhile True:\n    kept.append(bytearray(2**26))"
    with Sandbox([grow, "kept = None"], Limits(memory=1), isolation) as box:
        assert "MemoryError" in box.errors[0]
    with pytest.raises(SandboxError, match="ended its own process"):
        Sandbox(["import os\nos._exit(1)"], isolation=isolation)


def test_what_it_started_ends_with_it(isolation):
    """Also a process that leaves its group and its session."""
    mark = str(time.monotonic_ns())
    child = f"[sys.executable, '-c', 'import time; time.sleep(99) # {mark}']"
    run = f"import subprocess, sys\nsubprocess.Popen({child}, start_new_session=True)"
    with Sandbox([run], isolation=isolation) as box:
        assert not box.errors
    time.sleep(0.2)
    left = [p for p in Path("/proc").glob("[0-9]*/cmdline") if mark.encode() in _bytes(p)]
    if isolation == "none":
        for path in left:
            os.kill(int(path.parent.name), 9)
    else:
        assert not left


def _bytes(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_docker_is_asked_for_all_of_it(tmp_path, monkeypatch):
    """There may be no Docker here: a stand-in takes the command and runs the worker."""
    stand_in = tmp_path / "docker"
    stand_in.write_text(
        "#!/bin/sh\n"
        f'echo "$*" >> {tmp_path}/log\n'
        'case "$1" in image) exit 0;; kill) exit 0;; esac\n'
        'while [ "$1" != aetutor-grading ]; do shift; done; shift; shift\n'
        f'exec {sys.executable} "$@"\n'
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert sandbox.available()[0] == sandbox.best() == "docker"
    with Sandbox(["def f():\n    return 1"], Limits(memory=3)) as box:
        assert box.call("f") == 1
    started, killed = (tmp_path / "log").read_text().splitlines()[-2:]
    for option in (
        "--rm",
        "--network none",
        "--read-only",
        "--cap-drop ALL",
        "no-new-privileges",
        "--pids-limit 256",
    ):
        assert option in started
    assert "--memory 3g --memory-swap 3g" in started
    assert killed.split()[1] in started


def test_no_isolation_is_not_chosen_by_itself(monkeypatch):
    monkeypatch.setattr(sandbox, "available", lambda: ["none"])
    with pytest.raises(RuntimeError, match="no way to isolate"):
        sandbox.best()
    with pytest.raises(ValueError, match="isolation must be one of"):
        Sandbox([], isolation="hope")
    with pytest.raises(ValueError, match="seconds must be positive"):
        Limits(seconds=0)


def test_the_grader_may_be_killed(isolation):
    """The sandbox ends with a grader that is killed while a cell runs."""
    if isolation == "none" and sys.platform != "linux":
        pytest.skip("only Linux ends a process with its parent")
    mark = str(time.monotonic_ns())
    cell = f"import time\nwhile True:\n    time.sleep(0.1) # {mark}"
    code = (
        "from aetutor.assignments.sandbox import *\n"
        f"print('go', flush=True)\nSandbox([{cell!r}], Limits(seconds=90), {isolation!r})"
    )
    grader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    grader.stdout.readline()
    deadline = time.monotonic() + 30
    while not _workers(grader.pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1)
    workers = _workers(grader.pid)
    grader.kill()
    grader.communicate()
    deadline = time.monotonic() + 10
    while any(
        Path(f"/proc/{worker}/cmdline").exists() and b"_worker" in _bytes(Path(f"/proc/{worker}/cmdline"))
        for worker in workers
    ):
        assert time.monotonic() < deadline, "a sandbox without a grader"
        time.sleep(0.1)


def _workers(pid):
    """Processes below this one that run a worker."""
    children = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        todo += below
        found += [child for child in below if b"_worker" in _bytes(Path(f"/proc/{child}/cmdline"))]
    return found
