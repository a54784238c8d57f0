"""The `claim` fixture: a check that asserts, and is remembered for the book's page of claims."""

import json

import claims
import numpy as np
import pytest

from aetutor import _files

_RECORD = pytest.StashKey()


class Check:
    """`check` says what was compared, as "case: what" where one test looks at several cases."""

    def __init__(self, label, checks):
        self.label = label
        self._checks = checks

    def equal(self, check, value, reference, tolerance):
        """|value − reference| ≤ tolerance, everywhere."""
        value, reference, tolerance = np.broadcast_arrays(_array(value), _array(reference), _array(tolerance))
        distance = np.abs(value - reference)
        worst = np.argmax(distance / tolerance)  # NaN counts as the largest
        deviation, allowed = float(distance.flat[worst]), float(tolerance.flat[worst])
        assert deviation <= allowed, f"{check}: off by {deviation}, allowed {allowed}"
        self._remember("equality", check, deviation, allowed)

    def at_least(self, check, value, bound, tolerance=0.0):
        """Value ≥ bound − tolerance, everywhere."""
        excess = float(np.max(_array(bound) - _array(value)))
        assert excess <= tolerance, f"{check}: violated by {excess}, allowed {tolerance}"
        self._remember("inequality", check, excess, tolerance)

    def _remember(self, kind, check, deviation, tolerance):
        self._checks.append({"kind": kind, "check": check, "deviation": deviation, "tolerance": tolerance})


def _array(value):
    return np.asarray(value.detach() if hasattr(value, "detach") else value, dtype=float)


@pytest.fixture
def claim(request):
    marks = [mark.args[0] for mark in request.node.iter_markers("claim")]
    assert len(marks) == 1, "a claims test carries exactly one @pytest.mark.claim(label)"
    checks = request.config.stash.setdefault(_RECORD, {}).setdefault(marks[0], [])
    checks_before, failed_before = len(checks), request.session.testsfailed
    yield Check(marks[0], checks)
    passed = request.session.testsfailed == failed_before
    assert not passed or len(checks) > checks_before, "the test ended without a single check"


def pytest_sessionfinish(session, exitstatus):
    """Write the record if every claim of the book was checked in this session, and held."""
    record = session.config.stash.get(_RECORD, {})
    labels = {c.label for c in claims.claims()}
    if exitstatus == 0 and labels and labels <= set(record):
        claims.RECORD.parent.mkdir(exist_ok=True)
        _files.replace(claims.RECORD, json.dumps(record, indent=1, ensure_ascii=False))
