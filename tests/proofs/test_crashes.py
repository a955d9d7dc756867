"""A three-step run is killed at every moment of its life, and goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from agentroute.ledger import Ledger

KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """``live(folder, how, k)``: one life; its exit code."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "AGENTROUTE_DB": ""}
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("lives.py")),
         str(tmp_path_factory.mktemp("first"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
    ) as nursery:  # fmt: skip

        def one(folder, how, k=0):
            folder.mkdir(exist_ok=True)
            nursery.stdin.write(json.dumps([str(folder), how, k]) + "\n")
            nursery.stdin.flush()
            code = int(nursery.stdout.readline())
            error = folder / "error"
            assert not error.exists(), error.read_text()
            return code

        yield one
        nursery.stdin.close()


def found(folder):
    """What a life left: the answer, the keys of all decisions, the agents' calls."""
    with Ledger.open(f"sqlite:///{folder}/a.db", read_only=True) as ledger:
        sound = ledger.verify().ok and ledger.query("PRAGMA integrity_check") == [("ok",)]
        made = [d for run in ledger.runs() for d in ledger.decisions(run.run_id)]
        keys = Counter((d.run_id, d.task_id, d.kind, d.attempt) for d in made)
        # A host may begin anew what was killed before its first checkpoint; nobody was called then.
        plain = Counter(k[1:] for k in keys if k[1])
    answer = folder / "answer"
    calls = Counter((folder / "calls").read_text().split())
    return sound, answer.read_text() if answer.exists() else "", keys, plain, calls


@pytest.mark.parametrize(
    ("how", "step"),
    [("alone", 1), ("hosted", 4), pytest.param("hosted", 1, marks=pytest.mark.soak)],
)
def test_a_run_that_is_killed_at_any_moment_goes_on(live, tmp_path, how, step, faults):
    whole = tmp_path / "whole"
    assert live(whole, how) == 0
    _, answer, _, decided, _ = found(whole)
    assert "three(two(one()))" in answer
    for k in count(1, step):
        folder = tmp_path / f"{how}{k}"
        if live(folder, how, k) != KILLED:
            break
        faults.injected += 1
        assert live(folder, how) == 0
        sound, again, keys, plain, calls = found(folder)
        faults.corrupt += not sound
        faults.lost += again != answer or plain != decided
        assert set(keys.values()) == {1}, keys
        assert sum(calls.values()) <= 4, calls  # at most the one that was under way, once more
    kinds = set((folder / "moments").read_text().splitlines())
    assert {"before commit", "after commit", "before call", "after call"} <= kinds
    assert ("before checkpoint" in kinds) == (how == "hosted")
