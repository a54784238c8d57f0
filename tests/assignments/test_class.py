"""Grading a folder of submissions: resumable, isolated, one result a student."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import hostile
import nbformat
import pytest
import trials

from aetutor.assignments import checks, grading, sandbox

if "bits" not in trials.names():
    pytest.skip("the assignments' sources are not here", allow_module_level=True)


pytestmark = pytest.mark.usefixtures("confined")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "bits-autograder.zip"
    path.write_bytes(trials.made("bits").autograder)
    return path


def notebook(cells, name="bits"):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata["otter"] = {"assignment_name": name}
    return nbformat.writes(made)


@pytest.fixture(scope="module")
def answer():
    """A cell that answers the first question rightly, and the points it gives."""
    (question, code), *_ = trials.variants("bits").ALTERNATIVE.items()
    return f"import numpy as np\n{code}", trials.autograder("bits").possible[question]


def grade(package, folder, out, *options, **more):
    command = [sys.executable, "-m", "aetutor", "grade", package, folder, "--out", out, *options]
    return subprocess.Popen(
        [*map(str, command)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **more
    )


def table(out):
    return {
        row["student"]: row for row in csv.DictReader(io.StringIO((out / "grades.csv").read_text("utf-8")))
    }


def test_a_class(package, answer, canary, tmp_path):
    code, points = answer
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for student in ("ada", "bob"):
        (folder / f"{student}_hand-in-bits.ipynb").write_text(notebook([code]))
    (folder / "Eve Ö_17_file").mkdir()
    with zipfile.ZipFile(folder / "Eve Ö_17_file" / "work.zip", "w") as zipped:
        zipped.writestr("deep/hand-in-bits.ipynb", notebook([code]))
    for what in ("ends its process", "overwrites every test it finds", "deletes files"):
        attack = f"CANARY = {str(canary)!r}\n" + hostile.ATTACKS[what][1]
        (folder / f"{what}.ipynb").write_text(notebook([attack, code]))
    (folder / "=1+1.ipynb").write_text(notebook([code]))
    (folder / "other.ipynb").write_text(notebook([code], "kernels"))
    (folder / "garbage.ipynb").write_bytes(os.urandom(100))
    (folder / "bomb.zip").write_bytes(b"PK" + os.urandom(100))
    (folder / "empty").mkdir()
    run = grade(package, folder, out)
    said, errors = run.communicate(timeout=300)
    assert run.returncode == 0, errors
    rows = table(out)
    assert {name: float(row["points"]) for name, row in rows.items()} == {
        "ada": points,
        "bob": points,
        "Eve Ö_17_file": points,
        "'=1+1": points,
        "ends its process": 0,
        "overwrites every test it finds": points,
        "deletes files": points,
        "other": 0,
        "garbage": 0,
        "bomb": 0,
        "empty": 0,
    }
    problems = {name for name, row in rows.items() if row["problem"]}
    assert problems == {"ends its process", "other", "garbage", "bomb", "empty"}
    assert all(name in said for name in problems)
    assert canary.read_text() == "alive"
    assert rows["ada"]["out of"] == f"{sum(trials.autograder('bits').possible.values()):g}"
    assert [name for name in rows["ada"] if "by hand" in name]

    results = {
        json.loads(p.read_text("utf-8"))["student"]: json.loads(p.read_text("utf-8"))
        for p in (out / "results").iterdir()
    }
    pages = {path.stem: path.read_text("utf-8") for path in (out / "feedback").iterdir()}
    assert len(results) == len(pages) == len(rows)
    hidden = [
        test["message"]
        for record in results.values()
        for tests in record["questions"].values()
        for test in tests
        if test["hidden"] and not test["passed"]
    ]
    shown = [
        test["message"]
        for tests in results["ada"]["questions"].values()
        for test in tests
        if not test["hidden"] and not test["passed"]
    ]
    assert hidden
    assert shown
    assert not [message for message in hidden if message in pages["ada"] and message not in shown]

    # Again: nothing to do, nothing is touched.
    before = {path: path.stat().st_mtime_ns for path in (out / "results").iterdir()}
    run = grade(package, folder, out)
    run.communicate(timeout=100)
    assert {path: path.stat().st_mtime_ns for path in (out / "results").iterdir()} == before

    # A submission that changed and a student who is named are graded again; the rest is not.
    (folder / "bob_hand-in-bits.ipynb").write_text(notebook(["pass"]))
    run = grade(package, folder, out, "--again", "ada")
    run.communicate(timeout=100)
    rows = table(out)
    assert float(rows["bob"]["points"]) == 0
    assert float(rows["ada"]["points"]) == points
    changed = {path.stem for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert changed == {"ada", "bob"}
    assert [old["points"] for old in json.loads((out / "results" / "bob.json").read_text())["before"]]


def test_killed_and_started_again(package, answer, tmp_path):
    code, points = answer
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for number in range(8):
        (folder / f"student{number}.ipynb").write_text(notebook(["import time\ntime.sleep(1)", code]))
    run = grade(package, folder, out, "--jobs", "2", start_new_session=True)
    deadline = time.monotonic() + 120
    while len([*out.glob("results/*.json")]) < 2:
        assert time.monotonic() < deadline
        assert run.poll() is None, run.communicate()
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    time.sleep(0.5)
    done = {path: path.read_bytes() for path in out.glob("results/*.json")}
    assert 2 <= len(done) < 8
    time.sleep(3)
    assert {*out.glob("results/*.json")} == {*done}, "graders that outlive the command"
    run = grade(package, folder, out, "--jobs", "2")
    _, errors = run.communicate(timeout=200)
    assert run.returncode == 0, errors
    assert {path: path.read_bytes() for path in done} == done
    assert [float(row["points"]) for row in table(out).values()] == [points] * 8
    assert not any(json.loads(path.read_text())["before"] for path in out.glob("results/*.json"))


def test_interrupted_by_hand(package, answer, tmp_path):
    code, _ = answer
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for number in range(4):
        (folder / f"student{number}.ipynb").write_text(notebook(["import time\ntime.sleep(2)", code]))
    run = grade(package, folder, out, "--jobs", "1", start_new_session=True)
    while not [*out.glob("results/*.json")]:
        assert run.poll() is None, run.communicate()
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)  # as the terminal does
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "the same command goes on" in errors
    assert len(table(out)) == len([*out.glob("results/*.json")]) < 4


def test_bad_requests(package, answer, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "ada.ipynb").write_text(notebook([answer[0]]))
    with pytest.raises(ValueError, match="folder must be"):
        grading.grade_class(package, tmp_path / "none", out)
    with pytest.raises(ValueError, match="autograder must be"):
        grading.grade_class(folder / "ada.ipynb", folder, out)
    with pytest.raises(ValueError, match="isolation must be one of"):
        grading.grade_class(package, folder, out, isolation="hope")
    with pytest.raises(ValueError, match="no submission of carl"):
        grading.grade_class(package, folder, out, again=("carl",))
    with pytest.raises(ValueError, match="jobs must be at least 1"):
        grading.grade_class(package, folder, out, jobs=-1)
    grading.grade_class(package, folder, out, seed=3)
    with pytest.raises(ValueError, match="begun with the seed 3"):
        grading.grade_class(package, folder, out, seed=4)
    other = tmp_path / "other.zip"
    shutil.copy(package, other)
    with zipfile.ZipFile(other, "a") as changed, zipfile.ZipFile(package) as old:
        changed.writestr("tests/q9.py", old.read("tests/q1.py"))
    with pytest.raises(ValueError, match="another autograder"):
        grading.grade_class(other, folder, out)
    with grading._alone(out), pytest.raises(RuntimeError, match="another run"):
        grading.grade_class(package, folder, out)


def test_the_seed_repeats_the_instances(monkeypatch):
    zeros = {"q1": "def quantise(x, points):\n    return 0 * x\ndef distortion(x, y):\n    return 0.0"}
    said = []
    for seed in ("1", "1", "2", None):
        if seed is not None:
            monkeypatch.setenv(checks.SEED, seed)
        else:
            monkeypatch.delenv(checks.SEED)
        result = trials.autograder("bits").grade([*zeros.values()])
        said.append([test.message for test in result.questions["q1"]])
    assert said[0] == said[1]
    assert len({*map(tuple, said)}) == 3


def test_students_are_found(tmp_path):
    for name in (
        "a.ipynb",
        "b_hand-in-bits-2.zip",
        "c.txt",
        ".hidden.ipynb",
        "d/x.ipynb",
        "d/.y/z.ipynb",
        "e/1.zip",
        "e/2.zip",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    found = {one.student: one for one in grading.submissions(tmp_path, "bits")}
    assert {*found} == {"a", "b", "d", "e"}
    assert found["d"].path == tmp_path / "d" / "x.ipynb"
    assert "2 notebooks" in found["e"].problem
    (tmp_path / "d.zip").touch()
    (tmp_path / "f_hand-in-bits (1).ipynb").touch()
    found = {one.student: one for one in grading.submissions(tmp_path, "bits")}
    assert {*found} == {"a", "b", "d", "e", "f"}
    assert "more than one" in found["d"].problem


def test_names_of_files_are_safe_and_different():
    students = ["ada", "Ada", "../../etc/passwd", "a/b", "a?b", "", "x" * 300]
    names = grading._file_names(students)
    assert len({name.lower() for name in names.values()}) == len(students)
    assert all(Path(name).name == name and len(name) < 100 for name in names.values())


def test_user_isolation_needs_closed_folders(tmp_path):
    if "user" not in sandbox.available():
        pytest.skip("only root on Linux can run submissions as another user")
    tmp_path.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    above = [parent for parent in tmp_path.parents if not parent.stat().st_mode & 0o001]
    assert sandbox.readable([closed], "user") == []
    assert sandbox.readable([tmp_path], "user") == ([] if above else [tmp_path])
    assert sandbox.readable([tmp_path], "bubblewrap") == []
