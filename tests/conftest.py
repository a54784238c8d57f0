"""What the tests of the built site share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def missing(what: str, reason: str) -> None:
    """Skip with a reason; fail where AETUTOR_REQUIRE, as in CI, names what is missing."""
    if what in os.environ.get("AETUTOR_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built site."""
    folder = ROOT / "_build" / "html"
    if not (folder / "book" / "index.html").exists():
        missing("site", "the site is not built: make book")
    return folder
