"""What students hand in, rightly, wrongly and with ill will, gets the points that it should."""

from pathlib import Path

import hostile
import pytest
import trials

HONEST = [(name, what) for name in trials.names() for what in trials.submissions(name)]
ATTACKS = [(name, what) for name in trials.names() for what in hostile.ATTACKS]


@pytest.mark.parametrize(("name", "what"), HONEST)
def test_honest_submissions(outcomes, name, what):
    expected, result = outcomes(name, what)
    lost = [test.message for tests in result.questions.values() for test in tests if not test.passed]
    assert {question: result.points(question) for question in expected} == expected, (lost, result.errors)
    assert not result.failure
    if what == "reference":
        assert not result.errors
    if what == "untouched":
        assert not result.errors, "a notebook without answers must run from top to bottom"


@pytest.mark.parametrize(("name", "what"), ATTACKS)
def test_hostile_submissions(confined, outcomes, canary, listener, name, what):
    expected, result = outcomes(name, what)
    assert {question: result.points(question) for question in expected} == expected, result
    assert bool(result.failure) == (hostile.ATTACKS[what][0] == hostile.FAILS), result.failure
    assert canary.read_text() == "alive"
    with pytest.raises(TimeoutError):
        listener.accept()


@pytest.mark.parametrize("name", trials.names())
def test_assignments_are_of_the_size_promised(name):
    package = trials.autograder(name)
    assert 8 <= sum(package.possible.values()) + sum(package.written.values()) <= 15
    assert len(trials.variants(name).WRONG) >= 5
    touched = set().union(*(left for _, left in trials.variants(name).WRONG.values()))
    assert touched == set(package.possible), "a typical mistake for each question"


@pytest.mark.parametrize("name", trials.names())
def test_hard_coded_public_answers_keep_public_points_only(outcomes, name):
    (what,) = [what for what in trials.variants(name).WRONG if "hard-coded" in what]
    _, result = outcomes(name, f"wrong: {what}")
    changed = trials.variants(name).WRONG[what][0]
    assert set(changed) == set(result.questions)
    for tests in result.questions.values():
        for test in tests:
            assert test.passed != test.hidden, test


def test_nothing_runs_on(confined, outcomes):
    """No process of a submission outlives its grading."""
    for name, what in ATTACKS:
        outcomes(name, what)
    commands = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            commands.append(((folder / "cmdline").read_bytes(), folder.stat().st_uid))
        except OSError:
            continue
    assert not [c for c, user in commands if b"aetutor.assignments._worker" in c or 61184 <= user < 65184]
