"""Notebooks run where a notebook service would run them: in an environment on top of Colab's."""

import json
import os
import subprocess
import venv
from pathlib import Path

import nbformat
import notebooks
import pytest
from optional import missing

ROOT = notebooks.ROOT
COLAB = ROOT / "_build" / "colab" / "bin" / "python"
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=170, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


@pytest.fixture(scope="session")
def copy():
    """Copy all files of the working tree that git does not ignore, but those below a folder."""

    def copied(tree, without="/"):
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        for file in subprocess.check_output(command, cwd=ROOT, text=True).splitlines():
            if (ROOT / file).exists() and not file.startswith(without):
                (tree / file).parent.mkdir(parents=True, exist_ok=True)
                (tree / file).write_bytes((ROOT / file).read_bytes())

    return copied


@pytest.fixture(scope="session")
def published(copy, tmp_path_factory):
    """Settings under which git finds this tree at the address where the notebooks install from."""
    owner, name, branch = notebooks.repository()
    tree = tmp_path_factory.mktemp("published")
    copy(tree)
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q", "-b", branch], ["add", "-A"], [*who, "commit", "-qm", "tree"]):
        subprocess.run(["git", *command], cwd=tree, check=True)
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{tree.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": f"https://github.com/{owner}/{name}",
    }


@pytest.fixture(scope="session")
def colab(published, tmp_path_factory):
    """An environment on top of Colab's, which stays as it is; and what Colab's holds."""
    if not COLAB.exists():
        missing("colab", "there is no environment like Colab's: make _build/colab/ready")
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    below, above = (subprocess.check_output([p, "-c", where], text=True).strip() for p in (COLAB, python))
    Path(above, "colab.pth").write_text(below + "\n")
    subprocess.run([python, "-m", "pip", "uninstall", "-qy", "setuptools"], check=True)  # Colab's is there
    before = _versions(python)
    assert "aetutor" not in before
    assert before["torch"]
    # One thread each: two notebooks run at a time.
    return python, before, os.environ | published | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def versions():
    """What an environment has installed, by its Python."""
    return _versions


def _versions(python):
    listed = subprocess.check_output(
        [python, "-m", "pip", "list", "--format=json"], stderr=subprocess.DEVNULL
    )
    return {package["name"].lower(): package["version"] for package in json.loads(listed)}


@pytest.fixture
def execute(colab, tmp_path_factory):
    """Run a notebook from top to bottom in a folder; give it with its outputs."""
    python, _, environment = colab
    out = tmp_path_factory.mktemp("executed") / "notebook.ipynb"

    def run(path, folder):
        assert {*folder.iterdir()} <= {path, *folder.glob("hand-in-*.ipynb")}
        command = [python, "-c", RUN, path, out]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return nbformat.read(out, 4)

    return run
