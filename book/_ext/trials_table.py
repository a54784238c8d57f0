"""What grading was tried on, as a table: in the page on grading, and as a command for the log of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORD = Path(__file__).resolve().parents[2] / "_build" / "trials.json"


def lines() -> list[str]:
    """Markdown of two tables from the record of the last complete run of tests/assignments."""
    trials: list[dict[str, Any]] = json.loads(RECORD.read_text(encoding="utf-8"))
    names = list(dict.fromkeys(one["assignment"] for one in trials))
    given = {(one["submission"], one["assignment"]): one for one in trials}
    wrong = [one for one in trials if one["submission"].startswith("wrong: ")]
    common = dict.fromkeys(one["submission"] for one in trials if one not in wrong)
    table = [
        "Points given; where others were expected, those stand in brackets.",
        "",
        f"| Submission | {' | '.join(names)} |",
        f"| :-- |{' --: |' * len(names)}",
    ]
    for submission in common:
        cells = [_points(given[submission, name]) for name in names]
        table.append(f"| {submission} | {' | '.join(cells)} |")
    table += ["", "Typical mistakes, each made in an otherwise right submission:", ""]
    table += ["| Assignment | Mistake | Points | Of |", "| :-- | :-- | --: | --: |"]
    for one in wrong:
        most = given["reference", one["assignment"]]["expected"]
        mistake = one["submission"].removeprefix("wrong: ")
        table.append(f"| {one['assignment']} | {mistake} | {_points(one)} | {most:g} |")
    return table


def _points(one: dict[str, Any]) -> str:
    return f"{one['given']:g}" + ("" if one["given"] == one["expected"] else f" ({one['expected']:g})")


if __name__ == "__main__":
    print("\n".join(lines()))
