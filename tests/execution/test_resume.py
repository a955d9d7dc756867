"""A run that dies goes on where it was: nothing is decided or finished twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from agentroute.errors import LedgerBusyError
from agentroute.ledger import Ledger
from agentroute.model.decisions import DecisionRecord
from agentroute.model.outcomes import Outcome

TEXT = """
topology: {topology}
tasks:
  - {{id: a, prompt: first, skills: [s]}}
  - {{id: b, prompt: left, skills: [s], depends_on: [a]}}
  - {{id: c, prompt: right, skills: [s], depends_on: [a]}}
verifier: check
"""


class Crash(Exception):
    """Stands for the end of the process: nothing after it happens."""


class Brittle:
    """A ledger that ends the process before or after its k-th row of a run."""

    def __init__(self, ledger, k, when):
        self._ledger, self._k, self._when, self._n = ledger, k, when, 0

    def __getattr__(self, name):
        return getattr(self._ledger, name)

    def append(self, row, **more):
        self._n += 1
        if self._n == self._k and self._when == "before":
            raise Crash
        ticket = self._ledger.append(row, **more)
        if self._n == self._k:
            ticket.wait()
            raise Crash
        return ticket


def keys(ledger, run_id):
    return Counter((d.task_id, d.kind, d.attempt) for d in ledger.decisions(run_id))


def people(world):
    world.agent("a_flaky")
    world.agent("b_other")
    world.agent("refiner", skills=("refine",), reply=lambda c: "|".join(sorted(c.inputs)))
    row = {"task_id": "b", "score": 0.5}
    world.agent("check", skills=("verify",), reply=lambda c: {"data": {"scores": [row]}})


@pytest.mark.parametrize(
    ("topology", "every"),
    [
        ("hybrid", False),
        pytest.param("hybrid", True, marks=pytest.mark.slow),
        pytest.param("sequential", True, marks=pytest.mark.slow),
        pytest.param("hierarchical", True, marks=pytest.mark.slow),
    ],
)
async def test_a_crash_at_every_row_before_and_after(world, plan_of, topology, every):
    people(world)
    plan = plan_of(TEXT.format(topology=topology))
    whole = await world.executor().run(plan, run_id="whole")
    calls_of_whole = Counter(c.call_id.split(":", 1)[1] for c in world.calls)
    real, k, crashed = world.ledger, 0, True
    while crashed:
        k += 1
        for when in ("before", "after") if every else (("before", "after")[k % 2],):
            world.calls.clear()
            run_id = f"{when}-{k}"
            world.ledger = Brittle(real, k, when)
            try:
                await world.executor().run(plan, run_id=run_id)
                crashed = False
            except Crash:
                pass  # the crash is the point: what follows looks at what it left behind
            finished = {
                (d.task_id, d.kind, o.agent)
                for d in real.decisions(run_id)
                for o in real.outcomes(decision_id=d.id)
            }
            before = len(world.calls)
            world.ledger = real
            result = await world.executor().run(plan, run_id=run_id)
            assert (result.answer, result.status) == (whole.answer, whole.status)
            assert set(keys(real, run_id).values()) == {1}
            assert keys(real, run_id) == keys(real, "whole")
            again = {(c.task.id if c.task.id in "abc" else "", c.call_id.split(":")[1])
                     for c in world.calls[before:]}  # fmt: skip
            assert not {(t, t or k) for t, k, _ in finished} & again
            repeated = sum(
                (Counter(c.call_id.split(":", 1)[1] for c in world.calls) - calls_of_whole).values()
            )
            assert repeated <= 2  # b and c run at once: both may be in flight
            assert len(real.feedback(run_id)) == 1
    assert k > 12


async def test_a_second_live_resume_is_refused(world, plan_of):
    people(world)
    with world.ledger.take_lease("mine"), pytest.raises(LedgerBusyError):
        await world.run(plan_of(TEXT.format(topology="hybrid")), run_id="mine")


async def test_a_failed_commit_calls_nobody(world, plan_of, monkeypatch):
    from agentroute.errors import LedgerError

    people(world)
    real = world.ledger.append

    class Refused:
        def __await__(self):
            raise LedgerError("disk full")
            yield

    def append(row, **more):
        if isinstance(row, DecisionRecord) and row.decision.kind == "route":
            return Refused()
        return real(row, **more)

    monkeypatch.setattr(world.ledger, "append", append)
    with pytest.raises(LedgerError, match="disk full"):
        await world.run(plan_of(TEXT.format(topology="hybrid")))
    assert world.calls == []


SCRIPT = """
import asyncio, sys
from pathlib import Path
from tests.execution.conftest import World
from agentroute.planning.graphfile import make_plan, parse_graph

async def main(folder):
    world = World(folder)
    async def agent(call):
        with open(folder / "calls", "a") as f:
            f.write(f"begin {call.task.id}\\n")
        await asyncio.sleep(0.05)
        return f"{call.task.id}({','.join(r.text for r in call.inputs.values())})"
    for name in ("one", "two", "three"):
        world.registry.agent(name=name, description=name, skills=["s"])(agent)
    tasks = "".join(
        f"  - {{id: t{i}, prompt: p{i}, skills: [s], depends_on: [{', '.join(f't{j}' for j in (i // 2, i - 3) if 0 <= j < i)}]}}\\n"
        for i in range(10)
    )
    plan = make_plan(parse_graph("topology: hybrid\\ntasks:\\n" + tasks))
    result = await world.executor().run(plan, run_id="r")
    (folder / "answer").write_text(result.answer)
    world.ledger.close()

asyncio.run(main(Path(sys.argv[1])))
"""  # noqa: E501


def life(folder, kill_at=None):
    """Run the script; kill -9 once so many calls have begun. The exit code."""
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    p = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], env=env)
    while kill_at is not None and p.poll() is None:
        time.sleep(0.01)
        if len(begun(folder)) >= kill_at:
            p.send_signal(signal.SIGKILL)
    return p.wait()


def begun(folder):
    file = folder / "calls"
    return file.read_text().split()[1::2] if file.exists() else []


def rows(folder):
    """Tasks that have an outcome, and who was chosen for what."""
    with Ledger.open(f"sqlite:///{folder / 'ledger.db'}") as ledger:
        made = ledger.decisions("r")
        assert set(keys(ledger, "r").values()) == {1}
        assert ledger.verify().ok
        done = {d.task_id for d in made if ledger.outcomes(decision_id=d.id)}
        return done, {d.task_id: d.chosen for d in made if d.kind == "route"}


@pytest.mark.parametrize("kills", [(5,), pytest.param((3, 7), marks=pytest.mark.slow)])
def test_kill_9_repeats_no_finished_call_and_changes_no_agent(tmp_path, kills):
    seen = []
    for at in kills:
        assert life(tmp_path, kill_at=at) == -signal.SIGKILL
        seen.append((len(begun(tmp_path)), *rows(tmp_path)))
    assert life(tmp_path) == 0
    _, now = rows(tmp_path)
    for n, done, chosen in seen:
        assert done
        assert not set(begun(tmp_path)[n:]) & done
        assert chosen.items() <= now.items()
    assert "t9(" in (tmp_path / "answer").read_text()
    assert len(now) == 10


def test_an_outcome_names_its_reply():
    assert Outcome(decision_id="d", agent="a").reply is None
