"""Shared by all tests: the checklist marks, one embedder, a clean environment."""

from __future__ import annotations

import json
import os
import random
import shutil
from functools import cache
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer.testing
from hypothesis import settings

from agentroute.model import ids
from tests.proofs.tally import Tally

# Words to the tests, under a name that the product does not take for a setting of its own; the
# processes that share the tests out see it too.
if "AGENTROUTE_BROWSER" in os.environ:
    os.environ["TESTS_BROWSER"] = os.environ.pop("AGENTROUTE_BROWSER")

# Most of the waiting of these tests is for a disk to say that a commit is safe; in memory it is at
# once, and what a killed process leaves behind is the same. Where there is room, that is.
MEMORY, ROOM = Path("/dev/shm"), 4 << 30
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# Typer's runner builds all commands anew for each line, which takes longer than most lines do.
typer.testing._get_command = cache(typer.testing._get_command)

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("ci")


def pytest_addoption(parser):
    parser.addoption(
        "--checklist-json", default="", help="write id -> test -> outcome to this file"
    )


def pytest_collection_modifyitems(config, items):
    if config.getoption("--checklist-json"):
        keep = [i for i in items if i.get_closest_marker("checklist")]
        config.hook.pytest_deselected(items=[i for i in items if i not in set(keep)])
        items[:] = keep


def pytest_configure(config):
    config.stash[RESULTS] = Checklist()
    config.pluginmanager.register(config.stash[RESULTS])
    config.pluginmanager.register(FaultCount())


RESULTS = pytest.StashKey["Checklist"]()
CHECKLIST = "checklist lines"
FAULTS = "injected faults"
NO_CHROMIUM = "no Chromium is installed"
FIRST_ID_NS = 1_767_225_600_000_000_000  # 2026-01-01: before every id that a child process makes


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """The ids travel with the report, so that they arrive from other processes too."""
    report = (yield).get_result()
    marks = [
        (name, bool(mark.kwargs.get("simulated", False)))
        for mark in item.iter_markers("checklist")
        for name in mark.args
    ]
    if call.when == "call" or report.outcome != "passed":
        report.user_properties = [*report.user_properties, (CHECKLIST, marks)]


class Checklist:
    """Id to test to what came of it."""

    def __init__(self):
        self.results = {}

    def pytest_runtest_logreport(self, report):
        for name, marks in report.user_properties:
            for line, simulated in marks if name == CHECKLIST else ():
                rows = self.results.setdefault(line, {})
                rows[report.nodeid] = {"outcome": report.outcome, "simulated": simulated}


def pytest_sessionfinish(session):
    target = session.config.getoption("--checklist-json")
    if target and not hasattr(session.config, "workerinput"):
        found = session.config.stash[RESULTS].results
        Path(target).write_text(json.dumps(found), encoding="utf-8")


class FaultCount:
    """Sums up the tallies of the proofs, those of other processes too, and prints them."""

    def __init__(self):
        self.sum, self.tests = Tally(), 0

    def pytest_runtest_logreport(self, report):
        for name, counts in report.user_properties if report.when == "teardown" else ():
            if name == FAULTS:
                self.sum.add(counts)
                self.tests += 1

    def pytest_terminal_summary(self, terminalreporter, config):
        if self.tests and not hasattr(config, "workerinput"):
            s = self.sum
            terminalreporter.write_line(
                f"{s.injected:,} faults injected by {self.tests} tests: "
                f"lost {s.lost}, corrupt {s.corrupt}, undetected {s.undetected}"
            )
        skipped = terminalreporter.stats.get("skipped", [])
        if browser := [r for r in skipped if NO_CHROMIUM in str(r.longrepr)]:
            terminalreporter.write_line(
                f"{len(browser)} browser tests were left out: {NO_CHROMIUM}"
            )


@pytest.fixture
def faults(request):
    """Counts the faults that a test injects and what came of them: all 0, or the test fails."""
    tally = Tally()
    yield tally
    request.node.user_properties.append((FAULTS, tally.counts()))
    assert tally.clean(), tally


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch, tmp_path):
    """No key, no endpoint, no settings of the person who runs the tests."""
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "AGENTROUTE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(autouse=True)
def _ids_of_this_test(monkeypatch, request):
    """A run's id keys its draws: a test that counts draws must meet the same ids every time."""
    rng, here, ns = random.Random(request.node.nodeid), os.getpid(), count(FIRST_ID_NS, 1_000_000)

    def urandom(n):  # a fork's ids are its own
        return rng.randbytes(n) if os.getpid() == here else os.urandom(n)

    monkeypatch.setattr(ids, "time", SimpleNamespace(time_ns=lambda: next(ns)))
    monkeypatch.setattr(ids, "os", SimpleNamespace(urandom=urandom))
    monkeypatch.setattr(ids, "_last_ms", 0)
    monkeypatch.setattr(ids, "_counter", 0)


@pytest.fixture(scope="session")
def embedder():
    from agentroute.features.text import make_embedder

    return make_embedder("wordllama")


@pytest.fixture
def ledger(tmp_path):
    """A ledger of its own for each test."""
    from agentroute.ledger import Ledger

    with Ledger.open(f"sqlite:///{tmp_path}/a.db") as led:
        yield led
