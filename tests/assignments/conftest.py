"""Grades all that grading is tried on, on all cores, and writes down what came of it."""

import json
import multiprocessing
import os
import socket
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import hostile
import pytest
import trials
from optional import missing

from aetutor.assignments import sandbox
from aetutor.assignments.sandbox import Limits

RECORD = trials.ROOT / "_build" / "trials.json"
LIMITS = Limits(seconds=90, memory=2, cell=30, call=20)
SHORT = {"loops for ever and catches what stops it": {"seconds": 8}, "sleeps for ever": {"cell": 5}}
"""Limits of those that use up all they are given."""


@pytest.fixture(scope="session")
def canary(tmp_path_factory):
    """A file that no submission may change, readable and in reach of those that may reach anything."""
    file = tmp_path_factory.mktemp("canary") / "file"
    file.write_text("alive")
    return file


@pytest.fixture(scope="session")
def listener():
    """A port of this machine to which no submission may connect."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        yield server


@pytest.fixture(scope="session")
def confined():
    """The isolation that this machine gives; tests of strangers' code skip where it gives none."""
    try:
        return sandbox.best()
    except RuntimeError as error:
        return missing("sandbox", str(error))


@pytest.fixture(scope="session")
def outcomes(canary, listener):
    """Give what came of a trial, by assignment and submission: points expected, and the result."""
    jobs = {}
    able = sandbox.available()[0]  # none will do for our own, not for attacks
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context) as pool:
        for name in trials.names():
            package = trials.autograder(name)
            nothing = dict.fromkeys(package.possible, 0)
            for what, cells, expected in trials.honest(name):
                jobs[name, what] = expected, pool.submit(grade, package, cells, LIMITS, able)
            for what, (end, code) in hostile.ATTACKS.items():
                attack = f"CANARY = {str(canary)!r}\nPORT = {listener.getsockname()!r}\n{code}"
                behind = trials.untouched(name) if end == hostile.NONE else trials.answers(name)
                limits = replace(LIMITS, **SHORT.get(what, {}))
                expected = package.possible if end == hostile.FULL else nothing
                if able != "none":
                    job = pool.submit(grade, package, [attack, *behind], limits, able)
                    jobs[name, what] = expected, job
        kept = {}

        def outcome(name, what):
            expected, job = jobs[name, what]
            result, seconds = job.result()
            kept[name, what] = {
                "assignment": name,
                "submission": what,
                "expected": sum(expected.values()),
                "given": result.total,
                "seconds": round(seconds, 1),
                "failure": result.failure,
            }
            return expected, result

        yield outcome
        if kept.keys() == jobs.keys() and able != "none":  # not after a run of some tests only
            RECORD.parent.mkdir(exist_ok=True)
            RECORD.write_text(json.dumps(list(kept.values()), indent=1), encoding="utf-8")
        pool.shutdown(cancel_futures=True)


def grade(package, cells, limits, isolation):
    began = time.perf_counter()
    return package.grade(cells, limits, isolation), time.perf_counter() - began
