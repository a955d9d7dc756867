"""What the systems checklist says of the audit trail, from the front door."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import replace
from itertools import product
from typing import get_args

import numpy as np
import pytest
from typer.testing import CliRunner

from agentroute import Orchestrator, Registry, Task
from agentroute.choosing.catalog import make_router
from agentroute.choosing.decide import decide
from agentroute.cli.app import app
from agentroute.errors import LedgerError, RunStateError
from agentroute.ledger.chain import TABLES
from agentroute.model.cards import Limits
from agentroute.model.events import Note
from agentroute.model.ids import keyed_rng
from agentroute.model.runs import ENDS, RUN_STEPS, RunState, next_state
from agentroute.routers.pheromone.router import PheromoneRouter
from agentroute.testing import ScriptedChatServer


def registry():
    made = Registry()
    for name in ("billing", "courier"):

        @made.agent(name=name, skills=["s"], description=f"the {name} desk")
        async def work(call):
            return f"by {call.call_id.rsplit(':', 1)[1]}"

    return made


def opened(tmp_path, agents=None, **more):
    return Orchestrator(
        agents or registry(), ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path / "out",
        state=tmp_path / "state", **({"embedder": "hashing"} | more),
    )  # fmt: skip


def task(prompt="refund my order", **more):
    return Task(id="t", prompt=prompt, features={"kind": "code"}, skills=("s",), **more)


def cli(tmp_path, *words):
    return CliRunner().invoke(app, [*words, "--db", f"sqlite:///{tmp_path}/a.db"])


@pytest.mark.checklist("AC6")
async def test_rows_of_a_run_stay_and_a_correction_is_a_row_of_its_own(tmp_path):
    async with opened(tmp_path) as orc:
        run = await orc.run(task())
        wrong = await orc.feedback(run.run_id, score=0.1, source="user")
        right = await orc.feedback(run.run_id, score=0.9, source="user")
        assert [f.score for f in orc.ledger.feedback(run.run_id)] == [0.1, 0.9]
        assert wrong["learned"] and not right["learned"] and right["reason"]
    con = sqlite3.connect(tmp_path / "a.db")
    for table in (*TABLES, "blobs"):
        assert con.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for sql in (f"UPDATE {table} SET body = NULL", f"DELETE FROM {table}"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                con.execute(sql)
    con.close()
    assert cli(tmp_path, "ledger", "verify").exit_code == 0


LEGAL = {
    ("new", "run.started"): "running",
    ("running", "approval.needed"): "waiting",
    ("running", "approval.answered"): "running",
    ("waiting", "approval.needed"): "waiting",
    ("waiting", "approval.answered"): "running",
}
STATES = get_args(RunState)


@pytest.mark.checklist("AC7")
@pytest.mark.parametrize(("state", "event"), list(product(STATES, RUN_STEPS)))
def test_a_run_goes_forward_only(state, event):
    """Every state with every event: what is not allowed raises; an end is never left."""
    for end in (*STATES, "nonsense"):
        if (state, event) in LEGAL:
            assert next_state(state, event, end) == LEGAL[state, event]
        elif state in ("running", "waiting") and event == "run.finished" and end in ENDS:
            assert next_state(state, event, end) == end
        else:
            with pytest.raises(RunStateError) as e:
                next_state(state, event, end)
            assert e.value.hint
    assert next_state(state, "lease.taken") == state


# The events that bring a run into a state.
WAY = {
    "new": (), "running": ("run.started",), "waiting": ("run.started", "approval.needed"),
    **{end: ("run.started", end) for end in ENDS},
}  # fmt: skip


@pytest.mark.checklist("AC7")
@pytest.mark.parametrize(("before", "after"), list(product(STATES, sorted(ENDS | {"running"}))))
async def test_a_ledger_refuses_a_step_back(tmp_path, before, after):
    async with opened(tmp_path) as orc:
        ledger = orc.ledger

        def note(event, n):
            kind = "run.finished" if event in ENDS else event
            data = {"status": event} if event in ENDS else {}
            return Note(id=f"{event}{n}", run_id="r", type=kind, data=data)

        for n, event in enumerate(WAY[before]):
            await ledger.append(note(event, n))
        step = "run.started" if after == "running" else after
        allowed = before == "new" if after == "running" else before in ("running", "waiting")
        rows = ledger.head()[0]
        if allowed:
            await ledger.append(note(step, 9))
        else:
            with pytest.raises(RunStateError, match=before):
                await ledger.append(note(step, 9))
        assert ledger.head()[0] == rows + allowed
        if WAY[before]:  # the same row again is the row that is there
            again = ledger.append(note(WAY[before][-1], len(WAY[before]) - 1))
            assert await again <= rows and again.duplicate


@pytest.mark.checklist("AC7")
async def test_a_run_that_ended_is_not_ended_again_by_a_resume(tmp_path):
    agents, broken = Registry(), [True]

    @agents.agent(skills=["s"], limits=Limits(max_attempts=1))
    async def moody(call):
        """Fails at first."""
        if broken:
            raise ValueError("not today")
        return "fine"

    async with opened(tmp_path, agents) as orc:
        first = await orc.run(task())
        broken.clear()
        again = await orc.run(None, resume=first.run_id)
        assert (again.status, again.answer) == (first.status, first.answer) and first.status in ENDS
        assert len(orc.ledger.notes(first.run_id, "run.finished")) == 1
        assert orc.ledger.run(first.run_id).status == first.status


@pytest.mark.checklist("AC8")
async def test_a_choice_by_a_model_is_the_same_bytes_from_its_recorded_reply(tmp_path, monkeypatch):
    """No model is asked again: scores, propensities and choice come from the row."""
    reply = {"reason": "Refunds are for billing.", "agents": ["billing"]}
    router = {"name": "reasoning", "model": "scripted"}
    with ScriptedChatServer([reply]) as server, monkeypatch.context() as endpoint:
        for name, value in server.env.items():
            endpoint.setenv(name, value)
        async with opened(tmp_path, router=router) as orc:
            run = await orc.run(task())
            (row,) = [d for d in run.decisions if d.kind == "route"]
            record = orc.ledger.record(row.id)
            assert row.seed is not None and row.policy_version and len(server.requests) == 1
    fresh = make_router(router)  # and no endpoint is configured now
    assert record.request.recorded or record.scores.evidence
    request = record.request
    again = await fresh.score(replace(request, recorded=record.scores.evidence))
    assert again.mean.tobytes() == record.scores.mean.tobytes()
    assert again.bonus.tobytes() == record.scores.bonus.tobytes()
    assert again.evidence == record.scores.evidence and again.reason in row.reason
    rng = keyed_rng(row.seed, row.run_id, row.task_id, row.kind, row.attempt)
    choice = decide(
        again, k=1, rng=rng, explorable=request.candidates.explorable,
        canary=request.candidates.canary, abstain_at=2.0,
    )  # fmt: skip
    assert [str(request.candidates.names[i]) for i in choice.positions] == list(row.chosen)
    assert choice.propensity == row.propensity
    assert choice.propensities.tobytes() == record.propensities.tobytes()


@pytest.mark.checklist("AC9")
def test_one_changed_byte_is_found_and_named(tmp_path):
    async def go():
        async with opened(tmp_path) as orc:
            return await orc.run(task())

    asyncio.run(go())
    assert cli(tmp_path, "ledger", "verify").exit_code == 0
    path = tmp_path / "a.db"
    con = sqlite3.connect(path)
    (seq, body) = con.execute("SELECT seq, body FROM decisions WHERE kind = 'route'").fetchone()
    con.close()
    data = path.read_bytes()
    at = data.index(body) + body.index(b'"policy"') + 11
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    said = cli(tmp_path, "ledger", "verify")
    assert said.exit_code == 4 and f"row {seq}:" in said.output
    found = json.loads(cli(tmp_path, "ledger", "verify", "--json").stdout)
    assert found["bad_seq"] == seq and not found["ok"]


@pytest.mark.checklist("AC12")
def test_past_cases_below_the_threshold_are_left_out_and_counted(tmp_path):
    async def go():
        async with opened(tmp_path) as orc:
            for prompt in ("refund my order", "paint the fence green", "why is the sky dark"):
                run = await orc.run(task(prompt))
                await orc.feedback(run.run_id, score=0.7)
            return await orc.run(task("refund my order please"))

    last = asyncio.run(go())
    (row,) = [d for d in last.decisions if d.kind == "route"]
    said = json.loads(cli(tmp_path, "explain", row.id, "--json").stdout)
    assert [c["prompt"] for c in said["cases"]] == ["refund my order"]
    assert said["cases_below"] == 2
    assert all(c["similarity"] >= said["cases_at_least"] for c in said["cases"])
    words = cli(tmp_path, "explain", row.id).output
    assert "2 judged tasks of before are less alike than 0.60: left out" in " ".join(words.split())


@pytest.mark.checklist("AM11")
def test_trails_can_be_read_from_the_command_line_and_from_the_row(tmp_path):
    async def go():
        async with opened(tmp_path, router="pheromone") as orc:
            # Pinned, so that both have a trail whatever exploration would have drawn.
            for i, name in enumerate(("billing", "courier") * 3):
                run = await orc.run(task(f"order {i}", agent=name))
                await orc.feedback(run.run_id, score=0.9)
            last = await orc.run(task("one more"))
            (row,) = [d for d in last.decisions if d.kind == "route"]
            return row, orc.ledger.record(row.id)

    row, record = asyncio.run(go())
    names = record.request.candidates.names.tolist()
    said = cli(tmp_path, "pheromone", "show", "--task", "code")
    assert said.exit_code == 0 and "kind=code" in said.output
    assert all(name in said.output for name in names)
    shown = json.loads(cli(tmp_path, "pheromone", "show", "--task", "code", "--json").stdout)
    kind = shown["kinds"]["kind=code"]
    assert kind["top"] and kind["paths"]
    assert np.shape(kind["p"]) == np.shape(kind["tau"]) == (len(kind["sources"]), 2)
    trace = PheromoneRouter().trace(record.scores.evidence)
    assert len(trace.tau) == len(trace.eta) == len(trace.p) == len(names) == 2
    assert trace.p.sum() == pytest.approx(1.0) and row.chosen


@pytest.mark.checklist("TC11")
@pytest.mark.parametrize(
    ("reason", "flagged"),
    [
        ("Refunds are for billing.", ""),
        ("Refunds are for BILLING, not courier_two.", ""),
        ("It is about money.", "; not in the reason: billing"),
        ("The billings are late.", "; not in the reason: billing"),
    ],
)
async def test_an_id_that_the_reason_does_not_mention_is_flagged(
    tmp_path, monkeypatch, reason, flagged
):
    reply = {"reason": reason, "agents": ["billing"]}
    with ScriptedChatServer([reply]) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        async with opened(tmp_path, router={"name": "reasoning", "model": "scripted"}) as orc:
            run = await orc.run(task())
            (row,) = [d for d in run.decisions if d.kind == "route"]
            kept = orc.ledger.decision(row.id)
    assert kept.reason.endswith(f"-> billing{flagged}")


async def test_a_row_that_no_ledger_can_store_does_not_stop_a_run_that_follows(tmp_path):
    """The writer of a session survives a bad row, and says what was wrong with it."""
    from agentroute.model.outcomes import Outcome

    async with opened(tmp_path) as orc:
        first = await orc.run(task())
        (row,) = [d for d in first.decisions if d.kind == "route"]
        with pytest.raises(LedgerError, match="cannot be recorded"):
            await orc.ledger.append(Outcome(decision_id=row.id, agent="x", tokens=2**63))
        assert (await orc.run(task())).status == "completed"
        assert orc.ledger.verify().ok
