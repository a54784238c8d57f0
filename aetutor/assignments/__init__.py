"""The course's assignments: what a student's notebook calls, and what grades it.

A notebook begins with :func:`start` and ends with :meth:`Grader.hand_in`. :mod:`~aetutor.assignments.sandbox`
runs what students hand in, apart from the tests; :mod:`~aetutor.assignments.plugin` makes Otter-Grader use
it, on Gradescope and with ``otter run`` and ``otter grade``; :mod:`~aetutor.assignments.grading` grades a
class.
"""

from __future__ import annotations

import html
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aetutor import _files
from aetutor.assignments import checks

GRADING = "AETUTOR_GRADING"
"""Set where a submission is run for grading: checks and handing in are then left to the grader."""

_TESTS = Path(__file__).parent / "tests"


def names() -> list[str]:
    """Names of the assignments, in alphabetical order."""
    return sorted(folder.name for folder in _TESTS.iterdir() if folder.is_dir())


def start(name: str) -> Grader:
    """Begin an assignment in a notebook.

    Parameters
    ----------
    name
        The assignment's name, as in the notebook's first cells.

    Returns
    -------
    Grader
        Checks answers with the public tests, and makes the file to hand in.

    Raises
    ------
    ValueError
        If there is no such assignment.
    """
    if name not in names():
        raise ValueError(f"name must be one of {', '.join(names())}; got {name!r}")
    return Grader(name)


class Grader:
    """Checks the answers of one assignment, and makes the file to hand in."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._quiet = GRADING in os.environ

    def check(self, question: str) -> Checked | None:
        """Run a question's public tests on what the notebook has defined, and show what they say.

        Parameters
        ----------
        question
            The question's name: ``"q1"``.

        Returns
        -------
        Checked
            What the tests said, readable where a notebook shows it.

        Raises
        ------
        ValueError
            If the assignment has no tests for such a question.
        """
        if self._quiet:
            return None
        if question not in self._questions():
            raise ValueError(f"question must be one of {', '.join(self._questions())}; got {question!r}")
        source = (_TESTS / self.name / f"{question}.py").read_text(encoding="utf-8")
        return Checked(question, checks.run(source, _notebook_globals()))

    def hand_in(self, notebook: str | os.PathLike[str] | None = None) -> None:
        """Make the file to hand in: a copy of this notebook as it was last saved.

        It is called ``hand-in-NAME.ipynb``, lies in the working directory, and on Colab is downloaded too.

        Parameters
        ----------
        notebook
            The notebook's file, needed only where it cannot be found.

        Raises
        ------
        FileNotFoundError
            If the notebook's file cannot be found.
        ValueError
            If the file is not a notebook of this assignment.
        """
        if self._quiet:
            return
        on_colab = notebook is None and _on_colab()
        content = _from_colab() if on_colab else _from_file(self._find(notebook))
        found = content.get("metadata", {}).get("otter", {}).get("assignment_name")
        if found != self.name:
            raise ValueError(f"this is not a notebook of the assignment {self.name!r}: it says {found!r}")
        target = Path(f"hand-in-{self.name}.ipynb")
        _files.replace(target, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        lost = _unsaved(content)
        if lost:
            print(
                f"The saved notebook lacks a cell that you ran, which begins with\n    {lost}\n"
                "Unless you have deleted it since, save (Ctrl+S, or Cmd+S) and run this cell again."
            )
        print(f"Hand in the file {target} ({target.stat().st_size / 1024:.0f} KB).")
        if on_colab:
            from google.colab import files

            files.download(str(target))

    def _questions(self) -> list[str]:
        stems = [file.stem for file in (_TESTS / self.name).glob("q*.py")]
        return sorted(stems, key=lambda stem: (len(stem), stem))

    def _find(self, notebook: str | os.PathLike[str] | None) -> Path:
        """The notebook's file: as named, as the server or the editor says, or the only one it can be."""
        if notebook is not None:
            if not Path(notebook).is_file():
                raise FileNotFoundError(f"notebook must be a file; there is none at {Path(notebook)}")
            return Path(notebook)
        said = os.environ.get("JPY_SESSION_NAME") or _notebook_globals().get("__vsc_ipynb_file__")
        if said and Path(said).is_file() and Path(said).suffix == ".ipynb":
            return Path(said)
        here = [p for p in Path().glob("*.ipynb") if not p.name.startswith("hand-in-")]
        mine = [p for p in here if f'"assignment_name": "{self.name}"' in p.read_text(encoding="utf-8")]
        if len(mine) == 1:
            return mine[0]
        raise FileNotFoundError(
            f"found {len(mine)} notebooks of the assignment {self.name!r} in {Path.cwd()}; "
            f'say which one is yours: grader.hand_in("my-notebook.ipynb")'
        )


@dataclass(frozen=True)
class Checked:
    """What the public tests of a question said."""

    question: str
    outcomes: list[checks.Outcome]

    def __repr__(self) -> str:
        lines = [self._summary()]
        for one in self.outcomes:
            if not one.passed:
                lines += [f"  {one.message}", f"  {one.advice}"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [f"<p><strong>{html.escape(self._summary())}</strong></p>"]
        for one in self.outcomes:
            if not one.passed:
                message = html.escape(one.message)
                parts.append(
                    f"<p><code style='white-space: pre-wrap'>{message}</code><br>{linked(one.advice)}</p>"
                )
        return "".join(parts)

    def _summary(self) -> str:
        passed, all_of_them = sum(one.passed for one in self.outcomes), len(self.outcomes)
        if passed == all_of_them:
            tests = "The test" if all_of_them == 1 else f"All {all_of_them} tests"
            return f"{self.question}: {tests} passed. Hidden tests try other cases when you have handed in."
        return f"{self.question}: {passed} of {all_of_them} test{'' if all_of_them == 1 else 's'} passed."


def linked(text: str) -> str:
    """Give text as HTML in which addresses are links."""
    return re.sub(r"(https://[\w./#-]*[\w/#-])", r'<a href="\1">\1</a>', html.escape(text))


def _notebook_globals() -> dict[str, Any]:
    """What the notebook has defined."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        import __main__

        return vars(__main__)
    return shell.user_ns


def _on_colab() -> bool:
    from IPython import get_ipython

    return type(get_ipython()).__module__.startswith("google.colab")


def _from_colab() -> dict[str, Any]:
    """The notebook as Colab has it: it lies in no file."""
    from google.colab import _message

    answer = _message.blocking_request("get_ipynb", request="", timeout_sec=60)
    if not answer or "ipynb" not in answer:
        raise FileNotFoundError(
            "Colab did not give the notebook; use File, Download, Download .ipynb instead and hand that in"
        )
    return answer["ipynb"]


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not a notebook ({error}); save it and run this cell again") from None


def _unsaved(content: dict[str, Any]) -> str:
    """First line of a cell whose last run is not in the saved notebook; empty if there is none."""
    saved = {"".join(cell["source"]).strip() for cell in content["cells"]}
    begins = {source.partition("\n")[0] for source in saved}
    later = set()
    run = [source.strip() for source in _notebook_globals().get("In", [])]
    for age, source in enumerate(reversed(run)):
        first = source.partition("\n")[0]
        # One that ran long ago counts if the notebook has another version of it, and not if it was deleted.
        if first and first not in later and source not in saved and (age < 10 or first in begins):
            return first
        later.add(first)  # a cell that was changed and run again
    return ""
