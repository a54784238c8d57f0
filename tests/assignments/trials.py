"""What grading is tried on, for each assignment; as a command, tries one: ``trials.py NAME``."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import io
import json
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import assignments  # noqa: E402

from aetutor.assignments import plugin  # noqa: E402
from aetutor.assignments.grading import Autograder  # noqa: E402


def names():
    """The assignments whose sources are here; a public fork may have none."""
    return [name for name in assignments.NAMES if (assignments.sources() / f"{name}.md").exists()]


@functools.cache
def made(name):
    return assignments.make(name)


@functools.cache
def autograder(name):
    return Autograder.read(io.BytesIO(made(name).autograder))


def variants(name):
    """The module of typical submissions."""
    path = assignments.sources() / "variants" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"variants_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def untouched(name):
    return plugin.code(json.loads(made(name).student))


def reference(name, answers=()):
    """Cells of the solution, with these answers in place of its own."""
    notebook = nbformat.reads(made(name).solution, 4)
    answers = dict(answers)
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            (question,) = {tag for tag in cell.metadata.get("tags", []) if tag in answers} or {None}
            cells.append(answers.pop(question).strip() if question else cell.source)
    assert not answers, f"no answer cells are tagged {sorted(answers)}"
    return cells


def answers(name):
    """Imports and answers of the solution, less what there is to look at: quick to grade."""
    notebook = nbformat.reads(made(name).solution, 4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [c.source for c in cells if c.metadata.get("tags") or c.source.startswith(("import ", "from "))]


def submissions(name):
    """What students hand in who try."""
    return ["reference", "untouched", "alternative", *(f"wrong: {what}" for what in variants(name).WRONG)]


def honest(name):
    """Each of these submissions: what, cells, points expected of each question."""
    full = autograder(name).possible
    tried = variants(name)
    assert set(tried.ALTERNATIVE) == set(full), "the alternative must answer every question"
    yield "reference", reference(name), full
    yield "untouched", untouched(name), dict.fromkeys(full, 0)
    yield "alternative", reference(name, tried.ALTERNATIVE), full
    for what, (answers, left) in tried.WRONG.items():
        yield f"wrong: {what}", reference(name, answers), full | left


def shown(result, questions):
    return {question: result.points(question) for question in questions}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=assignments.NAMES)
    parser.add_argument("--draws", type=int, default=0, help="grade reference and alternative so many times")
    parser.add_argument("--only", default="", help="only submissions whose name contains this")
    arguments = parser.parse_args()
    import time

    package = autograder(arguments.name)
    print("out of", package.possible, "written", package.written)
    bad = 0
    for what, cells, expected in honest(arguments.name):
        if arguments.only not in what or (arguments.draws and what not in ("reference", "alternative")):
            continue
        for draw in range(max(1, arguments.draws)):
            began = time.perf_counter()
            result = package.grade(cells)
            got = shown(result, expected)
            right = got == expected
            bad += not right
            if right and arguments.draws:
                continue
            print(
                f"{'ok ' if right else 'BAD'} {what}: {got}" + ("" if right else f", expected {expected}"),
                end="",
            )
            print(f" ({time.perf_counter() - began:.1f} s)", f"draw {draw}" if arguments.draws else "")
            for problem in [result.failure, *result.errors]:
                if problem:
                    print("       ", problem)
            for question, tests in result.questions.items():
                for test in tests:
                    if not test.passed and not right:
                        print(
                            f"        {question}, {'hidden' if test.hidden else 'public'}:",
                            test.message[:300],
                        )
    print(f"{bad} bad")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
