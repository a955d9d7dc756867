"""Decide here, call with a client of one's own, report: recorded and learned from like a run."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from agentroute import Orchestrator, Registry, Task
from agentroute.choosing.state import StateDict
from agentroute.cli.app import run as cli
from agentroute.errors import NestedLoopError, NoCandidateError, UnknownDecisionError, UsageError
from agentroute.learning.fold import observations
from agentroute.model.scores import Scores, Taxonomy


@pytest.fixture
def registry():
    made = Registry()
    for name in ("left", "right"):
        made.agent(name=name, skills=["s"], cost_usd=0.25, limits={"cooldown_failures": 2})(
            lambda call: pytest.fail("nobody is called here")
        )
    return made


@pytest.fixture
def opened(tmp_path, registry):
    def make(**options):
        options = {"embedder": "hashing", "ledger": f"sqlite:///{tmp_path}/a.db", **options}
        return Orchestrator(registry, out=tmp_path / "out", **options)

    return make


async def test_a_decision_is_committed_before_it_is_handed_over(opened, registry):
    async with opened() as orc:
        made = await orc.decide("do it", skills=["s"])
        assert made.seq > 0 and made.chosen[0] in ("left", "right")
        assert 0 < made.propensity <= 1 and made.status in ("selected", "ambiguous")
        record = orc.ledger.record(made.id)
        assert record.request.task.prompt == "do it"
        assert record.propensities.sum() == pytest.approx(1.0)
        assert orc.ledger.outcomes(decision_id=made.id) == []
        assert registry.live.inflight[registry.live.slot(made.chosen[0])] == 1
        assert orc.ledger.run(made.run_id).status == "unfinished"
        assert orc.ledger.verify().ok


async def test_a_report_closes_it_with_an_outcome_and_feedback(opened, registry):
    async with opened() as orc:
        made = await orc.decide(Task(prompt="do it", skills=("s",)))
        said = await orc.report(made.id, quality=0.75, cost_usd=0.5, latency_s=2.0, tokens=7)
        assert (said.agent, said.quality, said.learned, said.duplicate) == (
            made.chosen[0], 0.75, True, False,
        )  # fmt: skip
        (o,) = orc.ledger.outcomes(decision_id=made.id)
        assert (o.cost_usd, o.latency_s, o.tokens, o.error, o.quality) == (0.5, 2.0, 7, None, None)
        (f,) = orc.ledger.feedback(made.id)
        assert (f.score, f.source, f.agent) == (0.75, "user", made.chosen[0])
        cost, quality = observations(orc.ledger)
        assert (cost.cost_usd, cost.latency_s, cost.quality) == (0.5, 2.0, None)
        assert (quality.quality, quality.propensity) == (0.75, made.propensity)
        assert registry.live.inflight[registry.live.slot(o.agent)] == 0
        summary = orc.ledger.run(made.run_id)
        assert (summary.status, summary.cost_usd) == ("completed", 0.5)
        assert orc.ledger.verify().ok


async def test_reports_teach_as_runs_do(opened):
    async with opened(exploration=0.0) as orc:
        for _ in range(30):
            made = await orc.decide("sort the letters", skills=["s"])
            await orc.report(made.id, quality=1.0 if made.chosen == ("right",) else 0.0)
        found = await orc.route("sort the letters", skills=["s"])
        assert found.chosen == ("right",)
        version = found.policy_version
    async with opened(exploration=0.0) as orc:  # folded from the ledger as any run's rows
        again = await orc.route("sort the letters", skills=["s"])
        assert (again.chosen, again.policy_version) == (found.chosen, version)
        assert [r.mean for r in again.ranked] == [r.mean for r in found.ranked]


async def test_the_same_report_again_changes_nothing_and_another_is_refused(opened):
    async with opened() as orc:
        made = await orc.decide("x", skills=["s"])
        words = {"quality": 0.5, "cost_usd": 0.1, "latency_s": 1.0}
        await orc.report(made.id, **words)
        head = orc.ledger.head()
        again = await orc.report(made.id, **words)
        assert again.duplicate and orc.ledger.head() == head
        assert (await orc.report(made.id)).duplicate
        for name, other in (("quality", 0.6), ("cost_usd", 0.2), ("latency_s", 3.0),
                            ("error", "no"), ("tokens", 4)):  # fmt: skip
            with pytest.raises(UsageError, match=f"was reported with {name}"):
                await orc.report(made.id, **{name: other})
        assert orc.ledger.head() == head


async def test_reports_at_once_are_one_row(opened):
    async with opened() as orc:
        made = await orc.decide("x", skills=["s"])
        said = await asyncio.gather(
            *(orc.report(made.id, cost_usd=0.1, quality=0.5) for _ in range(8))
        )
        assert len(orc.ledger.outcomes(decision_id=made.id)) == 1
        assert len(orc.ledger.feedback(made.id)) == 1
        assert sum(not s.duplicate for s in said) >= 1


async def test_quality_may_come_later_and_what_failed_has_none(opened):
    async with opened() as orc:
        made = await orc.decide("x", skills=["s"])
        assert not (await orc.report(made.id, cost_usd=0.1)).learned
        assert (await orc.report(made.id, quality=0.9, source="test")).learned
        failed = await orc.decide("x", skills=["s"])
        said = await orc.report(failed.id, error="it was refused", latency_s=0.2)
        assert said.error == "it was refused"
        with pytest.raises(UsageError, match="was reported as failed"):
            await orc.report(failed.id, quality=1.0)
        observed = [o for o in observations(orc.ledger) if o.decision_id == failed.id]
        assert [o.quality for o in observed] == [0.0]
        assert orc.ledger.run(failed.run_id).status == "failed"


async def test_failures_open_the_breaker_as_in_a_run(opened, registry):
    async with opened() as orc:
        for _ in range(2):
            made = await orc.decide(Task(prompt="x", agent="left"))
            assert (made.chosen, made.propensity) == (("left",), 1.0)
            await orc.report(made.id, error="down")
        assert (await orc.decide("x", skills=["s"])).chosen == ("right",)
        with pytest.raises(NoCandidateError, match="breaker"):
            await orc.decide(Task(prompt="x", agent="left"))


async def test_what_is_not_said_is_the_cards_cost_and_the_time_since(opened):
    async with opened() as orc:
        made = await orc.decide("x", skills=["s"])
        await asyncio.sleep(0.05)
        said = await orc.report(made.id)
    assert said.cost_usd == 0.25 and 0.05 <= said.latency_s < 5


async def test_a_report_of_another_process(opened):
    async with opened() as orc:
        made = await orc.decide("x", skills=["s"])
    async with opened() as orc:
        assert (await orc.report(made.id, quality=1.0)).learned


async def test_each_of_a_team_reports(opened):
    async with opened(depth={"name": "fixed", "k": 2}) as orc:
        made = await orc.decide("x", skills=["s"])
        assert sorted(made.chosen) == ["left", "right"]
        with pytest.raises(UsageError, match="say which agent"):
            await orc.report(made.id, quality=1.0)
        await orc.report(made.id, agent="left", quality=1.0)
        assert orc.ledger.run(made.run_id).status == "unfinished"
        await orc.report(made.id, agent="right", error="no")
        assert orc.ledger.run(made.run_id).status == "degraded"


class Nobody:
    name, taxonomy = "nobody", Taxonomy("before", ("task",), "rules")

    async def score(self, request):
        zeros = np.zeros(len(request.candidates))
        return Scores(zeros, zeros, {"none": zeros}, out_of_scope=1.0)

    def update(self, observation): ...

    def state_dict(self):
        return StateDict(self.name, 1)

    def load_state_dict(self, state): ...


async def test_an_abstention_is_recorded_and_closed(opened):
    async with opened() as orc:
        made = await orc.decide("x", router=Nobody())
        assert (made.status, made.chosen) == ("abstained", ())
        assert orc.ledger.run(made.run_id).status == "abstained"
        with pytest.raises(UsageError, match="nobody was called"):
            await orc.report(made.id, quality=0.0)


@pytest.mark.parametrize(
    "words",
    [{"quality": 1.5}, {"quality": float("nan")}, {"quality": True}, {"cost_usd": -1.0},
     {"cost_usd": float("inf")}, {"latency_s": float("nan")}, {"tokens": -1}, {"tokens": 2**63},
     {"error": " "}, {"quality": 1.0, "error": "x"}, {"source": "verifier"},
     {"agent": "middle"}],
)  # fmt: skip
async def test_what_cannot_be_reported_is_refused_and_leaves_it_open(opened, words):
    async with opened() as orc:
        made = await orc.decide("x", skills=["s"])
        head = orc.ledger.head()
        with pytest.raises(UsageError):
            await orc.report(made.id, **words)
        assert orc.ledger.head() == head
        assert not (await orc.report(made.id)).duplicate


async def test_what_is_not_open_is_a_typed_error(opened, registry):
    registry.remove("left")
    registry.agent(name="left", skills=["s"])(lambda call: "done")
    async with opened() as orc:
        with pytest.raises(UnknownDecisionError):
            await orc.report("nothing", quality=1.0)
        run = await orc.run(Task(prompt="x", agent="left"))
        for d in run.decisions:
            with pytest.raises(UsageError, match="was taken by a run"):
                await orc.report(d.id, quality=1.0)


def test_sync_twins(opened):
    orc = opened()
    made = orc.decide_sync("x", skills=["s"])
    assert orc.report_sync(made.id, quality=1.0).learned

    async def inside():
        orc.decide_sync("x")

    with pytest.raises(NestedLoopError, match="decide_sync was called inside"):
        asyncio.run(inside())


def test_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def say(*words):
        code = cli(list(words))
        return code, capsys.readouterr().out

    code, out = say("route", "what is 3 + 4?", "--skill", "answer", "--record")
    assert code == 0
    command = out.splitlines()[1].split()
    assert command[:2] == ["agentroute", "outcome"]
    code, out = say("outcome", command[2], "--quality", "0.9", "--cost", "0.01", "--json")
    assert code == 0 and json.loads(out)["learned"] is True
    code, out = say("outcome", command[2][:30], "--quality", "0.9")
    assert code == 0 and "known already" in out
    assert say("outcome", command[2], "--quality", "0.1")[0] == 2
    assert say("outcome", "nothing")[0] == 2
    assert say("route", "x", "--record", "-k", "2")[0] == 2
