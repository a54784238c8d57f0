"""Grades submissions: one, or a folder of them in parallel, resumably.

Otter's tests and points, our sandbox: a submission runs apart (:mod:`.sandbox`), the tests run here. Each
result is a file of its own, written whole, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import hashlib
import io
import json
import multiprocessing
import os
import re
import secrets
import signal
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aetutor import _checks, _files, _progress
from aetutor.assignments import _worker, checks, feedback, plugin, sandbox
from aetutor.assignments.sandbox import ISOLATION, Limits, Sandbox, SandboxError

LARGEST = 32 * 2**20
"""Bytes of the largest notebook that is read."""


class SubmissionFileError(ValueError):
    """A file that is not a submission of this assignment."""


@dataclass(frozen=True)
class Test:
    """One test of a question and how it ended."""

    hidden: bool
    points: float
    passed: bool
    advice: str
    """What a student is told where it failed."""
    message: str
    """What it said itself; of a hidden test for the instructor only."""


@dataclass(frozen=True)
class Result:
    """What grading one submission gave."""

    questions: dict[str, list[Test]]
    errors: list[str] = field(default_factory=list)
    """Cells that failed when the notebook was run."""
    failure: str = ""
    """Why the submission could not be graded to the end; empty if it was."""

    def points(self, question: str) -> float:
        """Points of a question."""
        return sum(test.points for test in self.questions[question] if test.passed)

    @property
    def total(self) -> float:
        """Points of all questions that are graded by tests."""
        return sum(map(self.points, self.questions))


@dataclass(frozen=True)
class Autograder:
    """The package that ``make assignments`` makes: tests, public and hidden, and settings.

    Parameters
    ----------
    name
        The assignment's name.
    tests
        Source of the tests of each question.
    limits
        Most that a submission may use.
    written
        Points of each question that a person grades.
    digest
        SHA-256 of the tests and settings.
    """

    name: str
    tests: dict[str, str]
    limits: Limits
    written: dict[str, float]
    digest: str

    @classmethod
    def read(cls, path: str | os.PathLike[str] | io.BytesIO) -> Autograder:
        """Read a package.

        Raises
        ------
        ValueError
            If the file is not a package of an assignment of this book.
        """
        try:
            with zipfile.ZipFile(path) as package:
                config = json.loads(package.read("otter_config.json"))
                names = sorted(n for n in package.namelist() if re.fullmatch(r"tests/q\d+\.py", n))
                tests = {Path(name).stem: package.read(name).decode() for name in names}
            (settings,) = [
                p[key] for p in config["plugins"] for key in p if key == "aetutor.assignments.plugin.Isolated"
            ]
        except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"autograder must be a package that `make assignments` made: {error}") from None
        ordered = dict(sorted(tests.items(), key=lambda item: (len(item[0]), item[0])))
        state = json.dumps([config, ordered], sort_keys=True).encode()
        return cls(
            config["assignment_name"],
            ordered,
            Limits(**settings["limits"]),
            settings["written"],
            hashlib.sha256(state).hexdigest(),
        )

    @property
    def possible(self) -> dict[str, float]:
        """Most points of each question that is graded by tests."""
        return {
            question: sum(case.points for case in self._file(question).test_cases) for question in self.tests
        }

    def grade(self, cells: list[str], limits: Limits | None = None, isolation: str | None = None) -> Result:
        """Grade a submission.

        Parameters
        ----------
        cells
            Sources of its code cells.
        limits
            Most that it may use; the assignment's own if none are given.
        isolation
            A key of :data:`~aetutor.assignments.sandbox.ISOLATION`; the best that there is if none is given.
        """
        box = None
        errors: list[str] = []
        names: dict[str, Any] = {}
        failure = ""
        wanted = set().union(*(plugin.wanted(source) for source in self.tests.values()))
        try:
            box = Sandbox(cells, limits or self.limits, isolation)
            errors = box.errors
            names = box.environment(sorted(wanted))
        except SandboxError as error:
            failure = str(error)
        try:
            questions = {question: self._run(question, names, failure) for question in self.tests}
        finally:
            if box is not None:
                failure = failure or box.failure
                box.close()
        return Result(questions, errors, failure)

    def _file(self, question: str) -> Any:
        from otter.test_files import ExceptionTestFile

        return ExceptionTestFile.from_string(self.tests[question], f"{question}.py")

    def _run(self, question: str, names: dict[str, Any], failure: str) -> list[Test]:
        file = self._file(question)
        if not failure:
            file.run(names)
            outcomes = [(case.passed, case.message) for case in file.test_case_results]
        else:
            outcomes = [(False, failure)] * len(file.test_cases)
        return [
            Test(
                hidden=case.hidden,
                points=case.points,
                passed=passed,
                advice=case.failure_message or "",
                message="" if passed else _said(message),
            )
            for case, (passed, message) in zip(file.test_cases, outcomes, strict=True)
        ]


def _said(message: str) -> str:
    """What an error said, less the line of the test that raised it."""
    return re.sub(
        r"^❌ Test case failed\nError at line .*?\n.*?\n(?:AssertionError: )?", "", message, flags=re.S
    )


def cells_of(data: bytes, name: str) -> list[str]:
    """Give the code of a submitted notebook, or of the one notebook in a zip file.

    Parameters
    ----------
    data
        The file's bytes.
    name
        The assignment that it must be of.

    Raises
    ------
    SubmissionFileError
        If it is not one.
    """
    if data[:2] == b"PK":
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as package:
                found = [i for i in package.infolist() if i.filename.endswith(".ipynb")]
                found = [i for i in found if "__MACOSX" not in i.filename and ".ipynb_ch" not in i.filename]
                if len(found) != 1:
                    raise SubmissionFileError(f"the zip file holds {len(found)} notebooks, not one")
                with package.open(found[0]) as file:
                    data = file.read(LARGEST + 1)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError) as error:
            raise SubmissionFileError(f"not a zip file that can be read: {error}") from None
    if len(data) > LARGEST:
        raise SubmissionFileError(f"the notebook has more than {LARGEST // 2**20} MiB")
    try:
        notebook = json.loads(data)
        named = notebook["metadata"].get("otter", {}).get("assignment_name")
        cells = plugin.code(notebook)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise SubmissionFileError("not a notebook that can be read") from None
    if named != name:
        raise SubmissionFileError(f"a notebook of the assignment {named!r}, not {name!r}")
    return cells


@dataclass(frozen=True)
class Submission:
    """What one student handed in."""

    student: str
    path: Path | None
    problem: str = ""

    def data(self) -> bytes:
        """The file's bytes; none if there is no file, or more than one."""
        if self.path is None:
            return b""
        with self.path.open("rb") as file:
            return file.read(2 * LARGEST)


def submissions(folder: Path, name: str) -> list[Submission]:
    """Find what was handed in.

    A file, notebook or zip, is one student's and named after the student; so is a folder with one such file.
    """
    found: dict[str, Submission] = {}
    for place in sorted(folder.iterdir()):
        if place.name.startswith("."):
            continue
        if place.is_dir():
            files = [p for p in sorted(place.rglob("*")) if p.suffix in (".ipynb", ".zip") and p.is_file()]
            files = [p for p in files if not any(part.startswith(".") for part in p.relative_to(place).parts)]
            one = files[0] if len(files) == 1 else None
            new = Submission(place.name, one, "" if one else f"{len(files)} notebooks in the folder, not one")
        elif place.suffix in (".ipynb", ".zip"):
            # What learning platforms and browsers add to the name.
            student = re.sub(rf"[_-]?hand-in-{name}(?:-\d+| \(\d+\))?$", "", place.stem)
            new = Submission(student or place.stem, place)
        else:
            continue
        if new.student in found:
            new = Submission(new.student, None, "more than one file or folder of this name")
        found[new.student] = new
    return [*found.values()]


def grade_class(
    autograder: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    jobs: int | None = None,
    isolation: str | None = None,
    seed: int | None = None,
    again: tuple[str, ...] = (),
) -> list[dict[str, Any]]:
    """Grade all submissions of a folder that have not been graded yet.

    Parameters
    ----------
    autograder
        The package that ``make assignments`` made.
    folder
        What was handed in, see :func:`submissions`.
    out
        Where to put ``results/``, a file a student, ``feedback/``, a page a student, and ``grades.csv``.
        What is there already is kept and not graded again, unless the submission has changed.
    jobs
        Submissions graded at a time; one a core if not given.
    isolation
        A key of :data:`~aetutor.assignments.sandbox.ISOLATION`; the best that there is if none is given.
    seed
        Seed of the hidden instances, the same for all students; drawn when the folder ``out`` is begun, and
        kept there, if none is given.
    again
        Students to grade again all the same.

    Returns
    -------
    list of dict
        The records of all students, as in ``results/``.

    Raises
    ------
    ValueError
        If an argument is not what it should be, or ``out`` was begun with another autograder or seed.
    RuntimeError
        If another run is writing to ``out``, or the machine cannot isolate submissions.
    """
    package = Autograder.read(autograder)
    jobs = _checks.count(jobs or os.cpu_count() or 1, "jobs")
    if isolation is not None:
        _checks.choice(isolation, "isolation", list(ISOLATION))
    isolation = isolation or sandbox.best()
    place, target = Path(folder), Path(out)
    if not place.is_dir():
        raise ValueError(f"folder must be a folder of submissions; got {str(place)!r}")
    handed_in = submissions(place, package.name)
    unknown = sorted(set(again) - {one.student for one in handed_in})
    if unknown:
        raise ValueError(f"again must name students; there is no submission of {', '.join(unknown)}")
    (target / "results").mkdir(parents=True, exist_ok=True)
    open_to_all = sandbox.readable([Path(autograder), place, target / "results"], isolation)
    if open_to_all:
        raise ValueError(
            f"submissions that run as another user could read {', '.join(map(str, open_to_all))}: "
            "close these to other users first (chmod go= …)"
        )
    with _alone(target):
        run = _begin(target, package, seed)
        files = _file_names([one.student for one in handed_in])
        todo = []
        for one in handed_in:
            old = _old(target / "results" / f"{files[one.student]}.json")
            if one.student in again or not old or old["sha256"] != hashlib.sha256(one.data()).hexdigest():
                todo.append((one, target / "results" / f"{files[one.student]}.json"))
        try:
            _grade_all(todo, Path(autograder), isolation, run["seed"], jobs)
        finally:
            records = _collect(target, handed_in, files, package)
    return records


def _grade_all(
    todo: list[tuple[Submission, Path]], autograder: Path, isolation: str, seed: int, jobs: int
) -> None:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(max(1, min(jobs, len(todo))), context, _prepare, (autograder, isolation, seed))
    waiting = [pool.submit(_grade_one, one, file) for one, file in todo]
    try:
        with _progress.bar(len(todo), " submissions", show=True) as bar:
            for done in as_completed(waiting):
                done.result()
                bar.update()
    except BaseException:
        processes = [*pool._processes.values()]
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()  # its sandbox ends with it
            process.join()
        raise
    pool.shutdown()


def _prepare(autograder: Path, isolation: str, seed: int) -> None:
    """In each process of the pool, once."""
    global _package, _isolation
    _worker.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that was interrupted ends this one
    os.environ[checks.SEED] = str(seed)
    _package, _isolation = Autograder.read(autograder), isolation


_package: Autograder
_isolation: str


def _grade_one(one: Submission, file: Path) -> None:
    began = datetime.datetime.now(datetime.timezone.utc)
    data = one.data()
    problem, result = one.problem, None
    if not problem:
        try:
            cells = cells_of(data, _package.name)
        except SubmissionFileError as error:
            problem = str(error)
        else:
            result = _package.grade(cells, isolation=_isolation)
            problem = result.failure
    old = _old(file)
    record = {
        "student": one.student,
        "file": str(one.path.name) if one.path else "",
        "sha256": hashlib.sha256(data).hexdigest(),
        "problem": problem,
        "points": {q: result.points(q) if result else 0 for q in _package.tests},
        "questions": {q: [asdict(test) for test in tests] for q, tests in result.questions.items()}
        if result
        else {},
        "errors": result.errors if result else [],
        "graded": began.isoformat(timespec="seconds"),
        "seconds": round((datetime.datetime.now(datetime.timezone.utc) - began).total_seconds(), 1),
        "before": [*old["before"], {k: old[k] for k in ("graded", "points", "sha256")}] if old else [],
    }
    _files.replace(file, json.dumps(record, indent=1, ensure_ascii=False))


def _collect(
    target: Path, handed_in: list[Submission], files: dict[str, str], package: Autograder
) -> list[dict[str, Any]]:
    """Write the table and the pages from the results that there are."""
    records = [_old(target / "results" / f"{files[one.student]}.json") for one in handed_in]
    done = [record for record in records if record]
    (target / "feedback").mkdir(exist_ok=True)
    for record in done:
        page = feedback.page(record, package.name, package.possible, package.written)
        _files.replace(target / "feedback" / f"{files[record['student']]}.html", page)
    table = io.StringIO()
    write = csv.writer(table, lineterminator="\n")
    by_hand = [f"{question} (by hand, of {points:g})" for question, points in package.written.items()]
    write.writerow(
        [
            "student",
            "points",
            "out of",
            *package.tests,
            *by_hand,
            "problem",
            "file",
            "sha256",
            "graded",
            "seconds",
        ]
    )
    for record in done:
        write.writerow(
            [
                _plain(record["student"]),
                f"{sum(record['points'].values()):g}",
                f"{sum(package.possible.values()):g}",
                *(f"{points:g}" for points in record["points"].values()),
                *("" for _ in by_hand),
                _plain(record["problem"]),
                _plain(record["file"]),
                record["sha256"][:12],
                record["graded"],
                record["seconds"],
            ]
        )
    _files.replace(target / "grades.csv", table.getvalue())
    return done


def _plain(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _file_names(students: list[str]) -> dict[str, str]:
    """A file name for each student, safe on any system and different from all others."""
    names: dict[str, str] = {}
    for student in students:
        name = re.sub(r"[^\w.@ -]", "_", student).strip(" .")[:80] or "_"
        if name != student or name.lower() in {other.lower() for other in names.values()}:
            name += "-" + hashlib.sha256(student.encode()).hexdigest()[:8]
        names[student] = name
    return names


def _old(file: Path) -> dict[str, Any] | None:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def _begin(target: Path, package: Autograder, seed: int | None) -> dict[str, Any]:
    """What this folder was begun with: its seed and autograder, which must stay the same."""
    file = target / "run.json"
    old = _old(file)
    if old is None:
        old = {
            "assignment": package.name,
            "autograder": package.digest,
            "seed": secrets.randbits(63) if seed is None else _checks.count(seed, "seed", 0),
        }
        _files.replace(file, json.dumps(old, indent=1))
    if old["autograder"] != package.digest:
        raise ValueError(
            f"{target} was begun with another autograder; grades would not be comparable: "
            "name another folder, and grade all there"
        )
    if seed is not None and seed != old["seed"]:
        raise ValueError(f"{target} was begun with the seed {old['seed']}, not {seed}")
    return old


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Only one run at a time writes to a folder."""
    import fcntl

    with (target / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RuntimeError(f"another run is grading into {target}") from None
        yield
