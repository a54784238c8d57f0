"""Labels in the book and marks on the tests match both ways."""

import re
from pathlib import Path

import claims

MARKED = {
    label
    for path in Path(__file__).parent.glob("test_*.py")
    for label in re.findall(r'@pytest\.mark\.claim\("([^"]+)"\)', path.read_text(encoding="utf-8"))
}


def test_every_claim_has_a_label():
    nameless = [(c.page.name, c.title) for c in claims.claims() if not c.label]
    assert not nameless


def test_labels_are_unique():
    labels = [c.label for c in claims.claims()]
    assert len(labels) == len(set(labels)) > 0


def test_every_claim_has_a_test():
    assert {c.label for c in claims.claims()} - MARKED == set()


def test_every_test_has_a_claim():
    assert MARKED - {c.label for c in claims.claims()} == set()


def test_the_scan_sees_what_sphinx_sees(tmp_path):
    page = tmp_path / "book" / "one.md"
    page.parent.mkdir()
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/one\n", encoding="utf-8")
    page.write_text(
        "````{prf:theorem} Named (twice)\n:label: thm-a\n:nonumber:\n\nText.\n````\n\n"
        ":::{prf:lemma}\nNo label.\n:::\n",
        encoding="utf-8",
    )
    found = [(c.kind, c.label, c.title) for c in claims.claims(page.parent)]
    assert found == [("theorem", "thm-a", "Named (twice)"), ("lemma", None, "")]
