"""An assignment from start to hand-in, as a student does it: on Colab and at home, in an empty folder."""

import json
import os
import subprocess
import sys
import types

import nbformat
import notebooks
import pytest
import trials

from aetutor import assignments
from aetutor.assignments.grading import cells_of

TESTS = [f"tests/assignments/test_{what}.py" for what in ("trials", "making", "class", "otter")]
NAMES = [page.rpartition("/")[2] for page in notebooks.assignments()]


def committed(name):
    return nbformat.read(notebooks.FOLDER / "assignments" / f"{name}.ipynb", 4)


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_is_one(name):
    notebook = committed(name)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    owner, repository, branch = notebooks.repository()
    assert f"git+https://github.com/{owner}/{repository}@{branch}" in code[0].source
    assert "otter" not in "\n".join(cell.source for cell in code), "Otter would replace packages of Colab's"
    assert max(len(line) for cell in code for line in cell.source.splitlines()) <= 84 or code[0]
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for trace in (r"{{", "}}`", "```{", ":::", "<!--"):
        assert trace not in text


@pytest.mark.parametrize("name", NAMES)
def test_untouched_runs_from_top_to_bottom_and_hands_in(execute, tmp_path, name):
    folder = tmp_path / "empty"
    folder.mkdir()
    path = folder / f"{name}.ipynb"
    nbformat.write(committed(name), path)
    execute(path, folder)
    handed_in = folder / f"hand-in-{name}.ipynb"
    assert cells_of(handed_in.read_bytes(), name) == [
        cell.source for cell in committed(name).cells if cell.cell_type == "code"
    ]


@pytest.mark.skipif("bits" not in trials.names(), reason="the assignments' sources are not here")
def test_from_start_to_hand_in(execute, tmp_path):
    """Wrong, told so, put right, handed in, graded."""
    answers = {}
    for cell in nbformat.reads(trials.made("bits").solution, 4).cells:
        for tag in set(cell.metadata.get("tags", [])) & {"q1", "q2", "q3", "q4", "q5", "q6"}:
            answers[tag] = cell.source
    notebook = committed("bits")
    for cell in notebook.cells:
        for tag in set(cell.metadata.get("tags", [])) & {*answers}:
            cell.source = answers[tag]
    (first,) = [c for c in notebook.cells if "q1" in c.metadata.get("tags", [])]
    right, first.source = first.source, first.source.replace("return", "return 1.5 *")
    folder = tmp_path / "empty"
    folder.mkdir()
    path = folder / "my copy.ipynb"
    nbformat.write(notebook, path)
    told = shown(execute(path, folder), "q1")
    assert "1 of 1" not in told
    assert "expected" in told
    assert f"{notebooks.site()}/book/model/" in told
    first.source = right
    nbformat.write(notebook, path)
    done = execute(path, folder)
    for question in trials.autograder("bits").tests:
        assert "passed. Hidden tests" in shown(done, question)
    handed_in = folder / "hand-in-bits.ipynb"
    result = trials.autograder("bits").grade(cells_of(handed_in.read_bytes(), "bits"))
    assert result.total == sum(trials.autograder("bits").possible.values())


def shown(notebook, question):
    (cell,) = [c for c in notebook.cells if c.source == f'grader.check("{question}")']
    (output,) = cell.outputs
    return output["data"]["text/html"]


# The rest of what a notebook calls, without a notebook.


@pytest.fixture
def shell(monkeypatch):
    """The variables of a notebook."""
    names = {"In": [""]}
    monkeypatch.setattr(assignments, "_notebook_globals", lambda: names)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return names


@pytest.fixture
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_checks_say_what_is_missing(shell):
    grader = assignments.start("bits")
    question = grader._questions()[0]
    assert "run the cell that defines it" in repr(grader.check(question))
    assert "<a href=" in grader.check(question)._repr_html_()
    with pytest.raises(ValueError, match="question must be one of q1"):
        grader.check("q99")
    with pytest.raises(ValueError, match="name must be one of"):
        assignments.start("essays")


def test_handing_in_finds_the_notebook(shell, here, monkeypatch, capsys):
    grader = assignments.start("bits")
    with pytest.raises(FileNotFoundError, match="found 0 notebooks"):
        grader.hand_in()
    nbformat.write(committed("bits"), "mine.ipynb")
    nbformat.write(committed("kernels"), "other.ipynb")
    grader.hand_in()
    assert "hand-in-bits.ipynb" in capsys.readouterr().out
    assert (
        json.loads((here / "hand-in-bits.ipynb").read_text())["metadata"]["otter"]["assignment_name"]
        == "bits"
    )
    grader.hand_in()  # its own file is no candidate
    nbformat.write(committed("bits"), "mine (1).ipynb")
    with pytest.raises(FileNotFoundError, match="found 2 notebooks"):
        grader.hand_in()
    grader.hand_in("mine (1).ipynb")
    monkeypatch.setenv("JPY_SESSION_NAME", str(here / "mine.ipynb"))
    grader.hand_in()
    with pytest.raises(ValueError, match="'kernels'"):
        grader.hand_in("other.ipynb")
    with pytest.raises(FileNotFoundError, match=r"none at nowhere\.ipynb"):
        grader.hand_in("nowhere.ipynb")
    (here / "broken.ipynb").write_text("{")
    with pytest.raises(ValueError, match="is not a notebook"):
        grader.hand_in("broken.ipynb")


def test_handing_in_notices_what_is_not_saved(shell, here, capsys):
    nbformat.write(committed("bits"), "mine.ipynb")
    saved = [cell.source for cell in committed("bits").cells if cell.cell_type == "code"]
    shell["In"] = ["", *saved]
    grader = assignments.start("bits")
    grader.hand_in()
    assert "lacks" not in capsys.readouterr().out
    shell["In"] += ["def quantise(x, points):\n    return points[0]", saved[-1]]
    grader.hand_in()
    said = capsys.readouterr().out
    assert "lacks a cell" in said
    assert "def quantise" in said
    shell["In"] += [f"look_{number} = 1" for number in range(20)]  # and however long ago it ran
    shell["In"] += saved[-1:] * 12
    grader.hand_in()
    assert "lacks a cell" in capsys.readouterr().out
    shell["In"] = ["", "scratch = 1", *saved, *saved]
    grader.hand_in()
    assert "lacks" not in capsys.readouterr().out


def test_handing_in_on_colab(shell, here, monkeypatch, capsys):
    """With a stand-in for what Colab offers: the notebook is in no file, and is downloaded."""
    downloaded = []
    answer = {"ipynb": json.loads(nbformat.writes(committed("bits")))}
    colab = types.ModuleType("google.colab")
    colab._message = types.SimpleNamespace(blocking_request=lambda *_, **__: answer)
    colab.files = types.SimpleNamespace(download=downloaded.append)
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setattr(assignments, "_on_colab", lambda: True)
    assignments.start("bits").hand_in()
    assert downloaded == ["hand-in-bits.ipynb"]
    assert cells_of((here / "hand-in-bits.ipynb").read_bytes(), "bits")
    answer.clear()
    with pytest.raises(FileNotFoundError, match="File, Download"):
        assignments.start("bits").hand_in()


def test_while_grading_nothing_is_checked_or_handed_in(monkeypatch, here):
    monkeypatch.setenv(assignments.GRADING, "1")
    grader = assignments.start("bits")
    assert grader.check("q1") is None
    grader.hand_in()
    assert not any(here.iterdir())


def test_a_fork_without_sources_still_works(copy, tmp_path):
    """The setting names a folder that is not there: nothing is made, and nothing fails."""
    tree = tmp_path / "fork"
    copy(tree, without="book/assignments/sources/")
    settings = tree / "book" / "assignments" / "course.yml"
    settings.write_text(
        settings.read_text().replace("sources: book/assignments/sources", "sources: ../private")
    )
    environment = {name: value for name, value in os.environ.items() if name != "AETUTOR_REQUIRE"}
    for command in (
        ["book/_ext/assignments.py"],
        ["book/_ext/assignments.py", "--check"],
        ["-m", "pytest", "-q", *TESTS, "-p", "no:cacheprovider"],
    ):
        done = subprocess.run(
            [sys.executable, *command], cwd=tree, env=environment, capture_output=True, text=True, timeout=200
        )
        assert done.returncode in (0, 5), done.stdout[-2000:] + done.stderr[-2000:]
        assert "failed" not in done.stdout
        assert "error" not in done.stdout
