"""The page that a student gets back."""

from __future__ import annotations

import html
from typing import Any

from aetutor.assignments import linked

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }}
h2 {{ font-size: 1.15rem; margin: 2rem 0 0.5rem; }}
ul {{ list-style: none; padding: 0; }}
li {{ padding: 0.5rem 0 0.5rem 1rem; border-left: 4px solid; margin: 0.5rem 0; overflow-wrap: anywhere; }}
.yes {{ border-color: #2a7d4f; }}
.no {{ border-color: #b3452c; }}
pre {{ white-space: pre-wrap; margin: 0.25rem 0 0; }}
</style>
<h1>{title}</h1>
<p>{lead}</p>
{body}
</html>
"""


def page(record: dict[str, Any], name: str, possible: dict[str, float], written: dict[str, float]) -> str:
    """Give the page for one student, with nothing in it that tells a hidden instance.

    Parameters
    ----------
    record
        What grading wrote for the student.
    name
        The assignment's name.
    possible
        Most points of each question that is graded by tests.
    written
        Most points of each question that a person grades.

    Returns
    -------
    str
        HTML that needs no other file.
    """
    total, most = sum(record["points"].values()), sum(possible.values())
    lead = f"{_text(record['student'])}: {total:g} of {most:g} points from tests."
    if written:
        lead += f" {', '.join(written)}: {sum(written.values()):g} points more, which a person gives."
    parts = []
    if record["problem"]:
        parts.append(f"<p><strong>Could not be graded to the end:</strong> {_text(record['problem'])}.</p>")
    if record["errors"]:
        items = "".join(f'<li class="no"><pre>{_text(error)}</pre></li>' for error in record["errors"])
        parts.append(f"<h2>Cells that failed when your notebook was run</h2>\n<ul>{items}</ul>")
    for question, tests in record["questions"].items():
        got = record["points"][question]
        parts.append(f"<h2>{question}: {got:g} of {possible[question]:g}</h2>\n<ul>")
        parts += map(_item, tests)
        parts.append("</ul>")
    return _PAGE.format(title=f"Assignment: {_text(name)}", lead=lead, body="\n".join(parts))


def _item(test: dict[str, Any]) -> str:
    kind = "Hidden test" if test["hidden"] else "Test"
    worth = f"{test['points']:g} point{'' if test['points'] == 1 else 's'}"
    if test["passed"]:
        return f'<li class="yes">{kind} passed, {worth}.</li>'
    said = "" if test["hidden"] else f"<pre>{_text(test['message'])}</pre>"
    return f'<li class="no">{kind} failed, {worth}. {linked(test["advice"])}{said}</li>'


def _text(text: str) -> str:
    return html.escape(text)
