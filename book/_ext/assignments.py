"""The assignments, made from their sources: ``python book/_ext/assignments.py``, or ``make assignments``.

A source is a MyST notebook in the format of Otter Assign, which takes it apart. For students there are the
notebook, committed in ``book/notebooks/assignments``, and the public tests, committed in
``aetutor/assignments/tests``; ``--check`` says whether both are in step with the sources. For the instructor
there are, in ``_build/assignments`` and never committed, the package for the autograder and the solution.
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import notebooks
import yaml

ROOT = notebooks.ROOT
FOLDER = notebooks.FOLDER / "assignments"
TESTS = ROOT / "aetutor" / "assignments" / "tests"
BUILD = ROOT / "_build" / "assignments"
NAMES = ("bits", "kernels", "risk", "minimisers", "descent", "project")
PLUGIN = "aetutor.assignments.plugin.Isolated"

_HEAD = """\
*Assignment {number} of [{book}]({site}/book/index.html).
[How to open, save, check and hand in]({site}/book/assignments/students.html).*{due}"""
_START = """\
from aetutor import assignments

grader = assignments.start("{name}")"""
_END = """\
## Hand in

Save the notebook, run the next cell, and hand in the file that it makes."""


@functools.cache
def course() -> dict[str, Any]:
    """book/assignments/course.yml."""
    return yaml.safe_load((ROOT / "book" / "assignments" / "course.yml").read_text(encoding="utf-8"))


def sources() -> Path:
    """The folder of the sources, which need not exist: a public fork can do without."""
    return ROOT / course()["sources"]


@dataclass(frozen=True)
class Made:
    """What becomes of a source."""

    student: str
    """The student's notebook."""
    public: dict[str, str]
    """Public tests by question."""
    solution: str
    """The notebook with solutions and rubrics."""
    autograder: bytes
    """The package for Gradescope and for Otter: tests, public and hidden, and settings."""


def make(name: str) -> Made:
    """Make an assignment."""
    from otter import logging
    from otter.assign import main as assign

    logging.set_level(logging.WARNING)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        nbformat.write(_master(name), folder / f"{name}.ipynb")
        # PyTorch from conda for the CPU: pip's would bring gigabytes for a GPU.
        (folder / "environment.yml").write_text("dependencies: [pytorch-cpu]\n", encoding="utf-8")
        with contextlib.redirect_stdout(io.StringIO()):
            assign(str(folder / f"{name}.ipynb"), str(folder), no_run_tests=True, no_pdfs=True)
        (package,) = folder.glob("autograder/*.zip")
        public = {
            file.stem: _light(file.read_text(encoding="utf-8"))
            for file in sorted(folder.glob("student/tests/*.py"))
            if "@test_case" in file.read_text(encoding="utf-8")
        }
        return Made(
            student=_settled(folder / "student" / f"{name}.ipynb"),
            public=public,
            solution=_settled(folder / "autograder" / f"{name}.ipynb"),
            autograder=package.read_bytes(),
        )


def _master(name: str) -> nbformat.NotebookNode:
    """The source, with what all assignments share, as Otter Assign reads it."""
    text = (sources() / f"{name}.md").read_text(encoding="utf-8").replace("{{site}}", notebooks.site())
    notebook = jupytext.reads(text, fmt="md:myst")
    owner, repository, branch = notebooks.repository()
    config = {
        "name": name,
        "init_cell": False,
        "export_cell": False,
        "run_tests": False,
        "tests": {"files": True, "ok_format": False},
        "plugins": [{PLUGIN: {"limits": course()["limits"], "written": _written(notebook)}}],
        "python_version": "3.11",
        "environment": "environment.yml",
        "requirements": [
            f"aetutor[{notebooks.EXTRAS},assignments] @ git+https://github.com/{owner}/{repository}@{branch}"
        ],
    }
    due = course().get("due", {}).get(name)
    head = _HEAD.format(
        number=NAMES.index(name) + 1,
        book=notebooks.settings()["title"],
        site=notebooks.site(),
        due=f" **Due: {due}.**" if due else "",
    )
    cell = nbformat.v4
    notebook.cells = [
        cell.new_raw_cell("# ASSIGNMENT CONFIG\n" + yaml.safe_dump(config, width=1000)),
        notebook.cells[0],
        cell.new_markdown_cell(head),
        cell.new_code_cell(notebooks.install(), metadata={"tags": ["remove-cell"]}),  # from the page
        cell.new_code_cell(_START.format(name=name)),
        *notebook.cells[1:],
        cell.new_markdown_cell(_END),
        cell.new_code_cell("grader.hand_in()"),
    ]
    return notebook


def _light(test: str) -> str:
    """A test file that needs no Otter, which would replace packages of Colab's."""
    return test.replace("otter.test_files", "aetutor.assignments.checks").rstrip() + "\n"


def _written(notebook: nbformat.NotebookNode) -> dict[str, float]:
    """Points of each question that a person grades."""
    begins = [yaml.safe_load(c.source) for c in notebook.cells if c.source.startswith("# BEGIN QUESTION")]
    return {one["name"]: one["points"] for one in begins if one.get("manual")}


def _settled(path: Path) -> str:
    """A notebook's text, the same every time."""
    notebook = nbformat.read(path, 4)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"<!-- (BEGIN|END) QUESTION -->\s*", "", cell.source)
    notebook.cells = [cell for cell in notebook.cells if cell.source.strip()]
    return nbformat.writes(notebook) + "\n"


def committed(made: dict[str, Made]) -> dict[Path, str]:
    """The text of each file that is committed, by its place."""
    files = {}
    for name, one in made.items():
        files[FOLDER / f"{name}.ipynb"] = one.student
        files |= {TESTS / name / f"{question}.py": text for question, text in one.public.items()}
    return files


def main() -> None:
    """Write the files; with ``--check``, say which committed ones are not what the sources make."""
    if not sources().exists():
        print(f"The assignments' sources are not here ({course()['sources']}): nothing to make.")
        return
    made = {name: make(name) for name in NAMES if (sources() / f"{name}.md").exists()}
    files = committed(made)
    there = [*FOLDER.glob("*.ipynb"), *TESTS.rglob("*.py")]
    if "--check" in sys.argv:
        wrong = [p for p, text in files.items() if not p.exists() or p.read_text("utf-8") != text]
        wrong += [path for path in there if path not in files]
        for path in sorted(wrong):
            print(f"{path.relative_to(ROOT)} is not in step with its source: make assignments")
        sys.exit(bool(wrong))
    for path in there:
        if path not in files:
            path.unlink()
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    shutil.rmtree(BUILD, ignore_errors=True)
    for name, one in made.items():
        (BUILD / name).mkdir(parents=True)
        (BUILD / name / f"{name}.ipynb").write_text(one.student, encoding="utf-8")
        (BUILD / name / f"{name}-solution.ipynb").write_text(one.solution, encoding="utf-8")
        (BUILD / name / f"{name}-autograder.zip").write_bytes(one.autograder)
    print(f"{len(made)} assignments in {BUILD.relative_to(ROOT)}: notebook, solution and autograder of each")


if __name__ == "__main__":
    main()
