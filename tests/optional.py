"""Parts of the tests that need more than Python: a built site, a browser, an environment like Colab's."""

import os

import pytest


def missing(what: str, reason: str) -> None:
    """Skip with a reason; fail where AETUTOR_REQUIRE, as in CI, names what is missing."""
    if what in os.environ.get("AETUTOR_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)
