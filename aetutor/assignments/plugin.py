"""Makes Otter-Grader run a submission in a sandbox, and the tests outside of it.

Otter would execute the submission in the kernel that also runs the tests and writes the scores, so that a
submission could change either. With this plugin the kernel executes one cell of ours instead, which gives the
tests the submission's functions as functions that ask the sandbox.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat
from otter.plugins import AbstractOtterPlugin
from otter.run.run_autograder.utils import OtterRuntimeError

from aetutor.assignments.sandbox import Limits, Sandbox, SandboxError, best

_CELL = """\
from aetutor.assignments import plugin
globals().update(plugin.attach({submission!r}, {tests!r}, {limits!r}))"""


class Isolated(AbstractOtterPlugin):
    """The plugin's hooks, as Otter calls them."""

    def before_grading(self, config: Any) -> None:
        """Leave nothing of the submission but its notebook, which no one executes outside the sandbox.

        Otter would unpickle a submission's log, and Python would import its modules.
        """
        self._submission = Path(self.submission_path)
        folder = self._submission.parent
        for path in folder.iterdir():
            if path.name not in (self._submission.name, "tests"):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        if _in_container():
            # Another user must reach Python, wherever it lies, and nothing of the autograder's.
            for parent in Path(sys.executable).resolve().parents:
                parent.chmod(parent.stat().st_mode | 0o011)
            folder.parent.chmod(0o700)
        try:
            best()
        except RuntimeError as error:
            raise OtterRuntimeError(str(error)) from None

    def before_execution(self, submission: nbformat.NotebookNode) -> nbformat.NotebookNode:
        """Give Otter one cell to execute in place of the submission."""
        folder = self._submission.parent
        kept = folder.parent / "submission.json"
        kept.write_text(json.dumps(code(submission)), encoding="utf-8")
        cell = _CELL.format(
            submission=str(kept), tests=str(folder / "tests"), limits=self.plugin_config.get("limits", {})
        )
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        return notebook

    def after_grading(self, results: Any) -> None:
        """Tell the student what went wrong outside of the tests."""
        report = self._submission.parent.parent / "submission-report.json"
        if report.exists():
            errors = json.loads(report.read_text(encoding="utf-8"))
            if errors:
                results.set_output("When your notebook was run:\n" + "\n".join(errors))


def _in_container() -> bool:
    return Path("/autograder").is_dir() and hasattr(os, "geteuid") and os.geteuid() == 0


def code(notebook: Any) -> list[str]:
    """Sources of a notebook's code cells."""
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def wanted(source: str) -> set[str]:
    """Names that a test file asks of a submission: the parameters of its functions."""
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return {argument.arg for function in functions for argument in function.args.args}


def attach(submission: str, tests: str, limits: dict[str, float]) -> dict[str, Any]:
    """Run a submission in a sandbox; give what the tests ask of it. Called in Otter's kernel."""
    place = Path(submission)
    errors: list[str] = []
    names: dict[str, Any] = {}
    try:
        sandbox = Sandbox(json.loads(place.read_text(encoding="utf-8")), Limits(**limits))
    except SandboxError as error:
        errors.append(str(error))
    else:
        errors += sandbox.errors
        sources = [path.read_text(encoding="utf-8") for path in Path(tests).glob("q*.py")]
        names = sandbox.environment(sorted(set().union(*map(wanted, sources))))
    place.with_name("submission-report.json").write_text(json.dumps(errors), encoding="utf-8")
    return names
