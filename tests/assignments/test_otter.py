"""The autograder packages under Otter-Grader itself, as Gradescope and `otter grade` run them."""

import json
import os
import pickle
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
import trials

pytestmark = pytest.mark.usefixtures("confined")
OTTER = Path(sys.executable).with_name("otter")


def run(package, submission, folder):
    """Let Otter grade a submission; give its results, or its words if there are none."""
    folder.mkdir()
    # Otter's kernel is one more Python; two at a time must fit.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [OTTER, "run", submission, "-a", package, "-o", folder, "--no-logo"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    results = folder / "results.json"
    if not results.exists():
        return done.stdout + done.stderr
    return json.loads(results.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def graded(confined, tmp_path_factory):
    """What Otter gives for reference and untouched notebooks of all assignments."""
    place = tmp_path_factory.mktemp("otter")
    with ThreadPoolExecutor(2) as pool:
        jobs = {}
        for name in trials.names():
            made = trials.made(name)
            (place / f"{name}.zip").write_bytes(made.autograder)
            for what, text in (("reference", made.solution), ("untouched", made.student)):
                file = place / f"{name}-{what}.ipynb"
                file.write_text(text, encoding="utf-8")
                jobs[name, what] = pool.submit(run, place / f"{name}.zip", file, place / f"{name}-{what}")
        return {key: job.result() for key, job in jobs.items()}


@pytest.mark.parametrize("what", ["reference", "untouched"])
@pytest.mark.parametrize("name", trials.names())
def test_otter_gives_the_same_points(graded, name, what):
    tests = graded[name, what]["tests"]
    points = {one["name"]: (one["score"], one["max_score"]) for one in tests if "score" in one}
    possible = trials.autograder(name).possible
    assert points == {q: (most if what == "reference" else 0, most) for q, most in possible.items()}


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.unlink, (self.path,)


@pytest.mark.skipif("bits" not in trials.names(), reason="the assignments' sources are not here")
def test_files_that_come_along_do_nothing(tmp_path, canary):
    """A log that would be unpickled, and modules that would be imported, go before either happens."""
    cells = trials.untouched("bits")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["otter"] = {"assignment_name": "bits"}
    notebook.metadata["kernelspec"] = {"name": "evil", "display_name": "Evil"}
    attack = f"import os\nos.unlink({str(canary)!r})\nraise SystemExit\n"
    with zipfile.ZipFile(tmp_path / "handed-in.zip", "w") as zipped:
        zipped.writestr("bits.ipynb", nbformat.writes(notebook))
        zipped.writestr(".OTTER_LOG", pickle.dumps(Evil(str(canary))))
        for module in (
            "numpy.py",
            "pickle.py",
            "otter.py",
            "aetutor/__init__.py",
            "sitecustomize.py",
            "tests/q1.py",
        ):
            zipped.writestr(module, attack)
    (tmp_path / "bits.zip").write_bytes(trials.made("bits").autograder)
    results = run(tmp_path / "bits.zip", tmp_path / "handed-in.zip", tmp_path / "out")
    assert canary.read_text() == "alive"
    assert isinstance(results, dict), results
    assert sum(one["score"] for one in results["tests"] if "score" in one) == 0
    assert sum(one["max_score"] for one in results["tests"] if "score" in one) == 10


@pytest.mark.skipif("bits" not in trials.names(), reason="the assignments' sources are not here")
def test_students_are_told_what_failed(tmp_path):
    cells = ["1 / 0", *trials.untouched("bits")]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["otter"] = {"assignment_name": "bits"}
    nbformat.write(notebook, tmp_path / "bits.ipynb")
    (tmp_path / "bits.zip").write_bytes(trials.made("bits").autograder)
    results = run(tmp_path / "bits.zip", tmp_path / "bits.ipynb", tmp_path / "out")
    assert "ZeroDivisionError" in results["output"]
    notebook.metadata["otter"] = {"assignment_name": "kernels"}
    nbformat.write(notebook, tmp_path / "bits.ipynb")
    assert "this is assignment 'bits'" in run(
        tmp_path / "bits.zip", tmp_path / "bits.ipynb", tmp_path / "out2"
    )


CONTAINER = """
set -e
mount -t tmpfs tmpfs {place}
mkdir {place}/up {place}/work {place}/root
mount -t overlay overlay -o lowerdir=/,upperdir={place}/up,workdir={place}/work {place}/root
cd {place}/root
mount -t proc proc proc
mount --rbind /dev dev
rm -f usr/bin/bwrap
mkdir -p autograder/source autograder/submission autograder/results
cp {files}/submission.ipynb autograder/submission
echo '{{}}' > autograder/submission_metadata.json
{python} -m zipfile -e {files}/package.zip autograder/source
chroot . setpriv --bounding-set -sys_admin --inh-caps -sys_admin sh -c \
    'cd /autograder && {python} source/run_otter.py > /dev/null 2>&1' || true
cat autograder/results/results.json
"""
LOOK = """
import os
def look(place):
    try:
        return os.listdir(place)
    except OSError as error:
        return type(error).__name__
raise RuntimeError([os.getuid() != 0, look("/autograder"), look("/autograder/source/tests")])
"""


@pytest.mark.skipif("bits" not in trials.names(), reason="the assignments' sources are not here")
def test_as_root_in_a_container(tmp_path):
    """As on Gradescope: root without the right to make namespaces, a folder /autograder, no bubblewrap."""
    if sys.platform != "linux" or os.getuid():
        pytest.skip("only root on Linux can stand in for a container")
    place, files = tmp_path / "container", tmp_path / "files"
    place.mkdir()
    files.mkdir()
    (files / "package.zip").write_bytes(trials.made("bits").autograder)
    cells = [LOOK, *trials.answers("bits")]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["otter"] = {"assignment_name": "bits"}
    nbformat.write(notebook, files / "submission.ipynb")
    script = CONTAINER.format(place=place, files=files, python=sys.executable)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=300
    )
    if "mount" in done.stderr and not done.stdout:
        pytest.skip(f"this root may not stand in for a container: {done.stderr[-200:]}")
    results = json.loads(done.stdout)
    assert sum(one["score"] for one in results["tests"] if "score" in one) == 10
    assert "[True, 'PermissionError', 'PermissionError']" in results["output"]
