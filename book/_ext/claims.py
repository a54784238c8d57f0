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
    found = []
    for page in pages:
        for opening in _OPENING.finditer(page.read_text(encoding="utf-8")):
            label = re.search(r":label: *(\S+)", opening["options"])
            found.append(Claim(label and label[1], opening["kind"], opening["title"].strip(), page))
    return found


def record() -> dict[str, list[dict[str, Any]]]:
    """What the last complete run of tests/claims wrote: label → its checks."""
    return json.loads(RECORD.read_text(encoding="utf-8"))


def outcome(check: dict[str, Any]) -> str:
    """One phrase for how far a check was from failing."""
    deviation, tolerance = check["deviation"], check["tolerance"]
    if check["kind"] == "equality":
        return f"{deviation:.1e} (allowed {tolerance:.1e})"
    if deviation > 0:
        return f"violated by {deviation:.1e} (allowed {tolerance:.1e})"
    return f"holds, with {-deviation:.1e} to spare at the closest"
