"""The book's claims: where they stand in the text, and what the tests recorded of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "_build" / "claims.json"
KINDS = ("theorem", "proposition", "lemma", "corollary")

_OPENING = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{prf:(?P<kind>" + "|".join(KINDS) + r")\}[ \t]*(?P<title>.*)\n"
    r"(?P<options>(?::\w+:.*\n)*)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Claim:
    """A theorem, proposition, lemma or corollary of the book."""

    label: str | None
    kind: str
    title: str
    page: Path


def claims(book: Path = ROOT / "book") -> list[Claim]:
    """Every claim in the book's pages, in the order of the table of contents."""
    contents = (book.parent / "_toc.yml").read_text(encoding="utf-8")
    pages = [book.parent / f"{name}.md" for name in re.findall(r"(?:file|root): (\S+)", contents)]
    pages = [page for page in pages if page.exists()]  # assignments are notebooks, and claim nothing
    found = []
    for page in pages:
        for opening in _OPENING.finditer(page.read_text(encoding="utf-8")):
            label = re.search(r":label: *(\S+)", opening["options"])
            found.append(Claim(label and label[1], opening["kind"], opening["title"].strip(), page))
    return found


def record() -> dict[str, list[dict[str, Any]]]:
    """What the last complete run of tests/claims wrote: label → its checks."""
    return json.loads(RECORD.read_text(encoding="utf-8"))


def summary(checks: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What was checked, and how near the nearest of its cases came to failing.

    A check's text is "case: what"; cases of the same kind are told in one line.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for check in checks:
        what = check["check"].rpartition(": ")[2]
        groups.setdefault((what, check["kind"]), []).append(check)
    rows = []
    for (what, kind), cases in groups.items():
        count = f" ({len(cases)} cases)" if len(cases) > 1 else ""
        rows.append((what + count, _equality(cases) if kind == "equality" else _inequality(cases)))
    return rows


def _equality(cases: list[dict[str, Any]]) -> str:
    worst = max(cases, key=lambda c: c["deviation"] / c["tolerance"])
    return f"{_number(worst['deviation'])} (allowed {_number(worst['tolerance'])})"


def _inequality(cases: list[dict[str, Any]]) -> str:
    worst = max(cases, key=lambda c: c["deviation"])
    if worst["deviation"] == 0:
        return "none; attained"
    if worst["deviation"] < 0:
        return f"none; nearest {_number(-worst['deviation'])}"
    return f"{_number(worst['deviation'])} (allowed {_number(worst['tolerance'])}, for rounding)"


def _number(value: float) -> str:
    if value == 0 or value >= 0.001:
        return f"{value:.2g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa} · 10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
