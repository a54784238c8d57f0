"""What the tests of the built site share."""

from pathlib import Path

import pytest
from optional import missing

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built site."""
    folder = ROOT / "_build" / "html"
    if not (folder / "book" / "index.html").exists():
        missing("site", "the site is not built: make book")
    return folder
