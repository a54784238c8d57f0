"""The command ``aetutor``, also ``python -m aetutor``."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, those of the shell if none are given; give the exit code."""
    os.environ.setdefault("MPLBACKEND", "Agg")  # figures go to files
    try:
        arguments = _parser().parse_args(argv)
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print("aetutor: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except (ImportError, OSError, ValueError) as error:
        print(f"aetutor: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:  # points that failed, with what the first one said
        print(f"aetutor: {error}", file=sys.stderr)
        return 1


def _reproduce(arguments: argparse.Namespace) -> int:
    from aetutor import _checks, reproduce

    if arguments.figures == ["list"]:
        for name, figure in reproduce.FIGURES.items():
            print(f"{name:<16} {figure.title}")
        return 0
    names = list(dict.fromkeys(arguments.figures))
    for name in names:
        _checks.choice(name, "FIGURE", [*reproduce.FIGURES, "all"])
    if "all" in names:
        names = list(reproduce.FIGURES)
    scale, out, device = arguments.scale, arguments.out, arguments.device
    _checks.choice(scale, "--scale", reproduce.SCALES)
    if arguments.estimate:
        return _estimate(names, scale, device)
    code = 0
    for name in names:
        print(f"{name}: {reproduce.FIGURES[name].title}", flush=True)
        try:
            found = reproduce.run(name, scale, out, device=device)
        except FileNotFoundError as error:  # images that cannot be had must not stop the other figures
            print(f"aetutor: {error}", file=sys.stderr)
            code = 2
            continue
        for part, distance in found.distance.items():
            print(f"  {part}: at most {100 * distance:.2g} % from the limit")
        print(f"  {found.computed} of {found.points} points computed, {found.seconds:.1f} s; {found.figure}")
    return code


def _estimate(names: Sequence[str], scale: str, device: str) -> int:
    import torch

    from aetutor import reproduce

    total, memory, workers = 0.0, 0, 1
    for name in names:
        try:
            found = reproduce.estimate(name, scale, device=device)
        except FileNotFoundError as error:
            print(f"{name:<16} {error}", flush=True)
            continue
        except (MemoryError, torch.OutOfMemoryError) as error:
            print(f"{name:<16} does not fit: {str(error).splitlines()[0]}", flush=True)
            continue
        print(f"{name:<16} {found.points:>5} points {_time(found.seconds):>12}", flush=True)
        total, memory, workers = total + found.seconds, max(memory, found.memory), found.workers
    where = f"{workers} processes on the CPU" if workers > 1 else "one process"
    print(f"{'together':<16} {'':>12} {_time(total):>12}, in {where}; each took up to {memory / 1e9:.2g} GB")
    return 0


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def _parser() -> argparse.ArgumentParser:
    from aetutor import reproduce

    parser = argparse.ArgumentParser("aetutor", description="Fundamental limits of two-layer autoencoders.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_grade(commands)
    figures = "\n\n".join(
        _wrapped(f"{name}: {figure.title}. {figure.shows} Data: {figure.data}.")
        for name, figure in reproduce.FIGURES.items()
    )
    scales = "\n".join(_wrapped(f"{name}: {cost}") for name, cost in reproduce.SCALES.items())
    command = commands.add_parser(
        "reproduce",
        help="compute, draw and document figures of the paper",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=textwrap.fill(
            "Compute figures of Shevchenko, Kögler, Hassani and Mondelli (ICML 2023). Into FOLDER/FIGURE go "
            "what was measured (points.jsonl and result.nc, in a folder for each grid), figure.png and "
            "record.md. Stopped by whatever, the same command goes on where it was.",
            78,
        ),
        epilog=(
            f"figures\n{figures}\n\nscales\n{scales}\n\n"
            + _wrapped(
                "Images that must be downloaded stay in the folder that AETUTOR_DATA names, the user's cache "
                "if there is none. Dimensions, numbers of seeds and steps are this package's choice where "
                "the paper does not say them; record.md lists them."
            )
        ),
    )
    command.add_argument(
        "figures", nargs="+", metavar="FIGURE", help="one or more of those below, or all, or list"
    )
    command.add_argument("--scale", default="small", help="small, medium or paper (default: small)")
    command.add_argument("--out", default="reproduced", metavar="FOLDER", help="default: reproduced")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, … (default: auto)")
    command.add_argument(
        "--estimate",
        action="store_true",
        help="run the first 20 steps of the largest points, say what all would take, and write nothing",
    )
    command.set_defaults(run=_reproduce)
    return parser


def _add_grade(commands: Any) -> None:
    command = commands.add_parser(
        "grade",
        help="grade a folder of submissions of an assignment",
        description="Grade all submissions in a folder that have not been graded yet: in parallel, each in "
        "a sandbox, with the assignment's limits on time and memory. Stopped by whatever, the same command "
        "goes on where it was. Into the output folder go grades.csv, a page for each student in feedback/, "
        "and all that is known in results/.",
        epilog="A submission is a notebook or zip file named after the student, or a folder with one inside.",
    )
    command.add_argument("autograder", help="the package that make assignments made: NAME-autograder.zip")
    command.add_argument("submissions", help="the folder of submissions")
    command.add_argument("--out", metavar="FOLDER", help="default: grades-NAME beside the submissions")
    command.add_argument("--jobs", type=int, metavar="N", help="submissions at a time (default: one a core)")
    command.add_argument(
        "--isolation", help="docker, bubblewrap, user or none (default: the first that this machine can give)"
    )
    command.add_argument("--seed", type=int, help="seed of the hidden instances (default: drawn, and kept)")
    command.add_argument(
        "--again",
        action="append",
        default=[],
        metavar="STUDENT",
        help="grade this student again all the same",
    )
    command.set_defaults(run=_grade)


def _grade(arguments: argparse.Namespace) -> int:
    if sys.platform == "win32":
        raise OSError("grading needs Linux or macOS; on Windows, run it under WSL")
    try:
        from aetutor.assignments import grading, sandbox
    except ImportError as error:
        raise ImportError(f"{error}; install aetutor[assignments]") from None

    name = grading.Autograder.read(arguments.autograder).name
    out = Path(arguments.out or Path(arguments.submissions).resolve().parent / f"grades-{name}")
    isolation = arguments.isolation or sandbox.best()
    if isolation in sandbox.ISOLATION:
        print(f"isolation: {isolation}, {sandbox.ISOLATION[isolation]}", file=sys.stderr)
    records = grading.grade_class(
        arguments.autograder,
        arguments.submissions,
        out,
        jobs=arguments.jobs,
        isolation=isolation,
        seed=arguments.seed,
        again=tuple(arguments.again),
    )
    problems = [record for record in records if record["problem"]]
    print(f"{len(records)} submissions graded; {out / 'grades.csv'}")
    for record in problems:
        print(f"  {record['student']}: {record['problem']}")
    return 0


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 78, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


if __name__ == "__main__":
    sys.exit(main())
