"""A judge beside the runs: nobody waits, the buffer is bounded, verdicts are rows."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter

import numpy as np
import pytest
from typer.testing import CliRunner

from agentroute import Orchestrator, Registry
from agentroute.cli.app import app
from agentroute.errors import ConfigError, UnknownAgentError
from agentroute.model.tasks import Task
from agentroute.planning.graphfile import make_plan, parse_graph
from agentroute.routers.pheromone.router import PheromoneRouter
from agentroute.testing import ScriptedChatServer

SCORES = {"good": 1.0, "bad": 0.1}


def agents(judge=None):
    """Two agents and a judge who knows who is good; ``judge`` stands in its place."""
    registry = Registry()
    for name in SCORES:
        registry.agent(name=name, description="answers", skills=["say"])(
            lambda call, name=name: f"from {name}"
        )

    def knows(call):
        text = call.inputs["answer"].text
        return {"data": {"scores": [
            {"task_id": v, "score": SCORES[text.split()[-1]], "method": "knows"}
            for v in call.params["agents"]
        ]}}  # fmt: skip

    registry.agent(name="judge", description="judges", skills=["verify"], cost_usd=0.01)(
        judge or knows
    )
    return registry


def opened(folder, registry=None, judge="judge", **more):
    return Orchestrator(
        registry or agents(), ledger=f"sqlite:///{folder}/a.db", out=folder / "out",
        state=folder / "state", embedder="hashing", judge=judge, **more,
    )  # fmt: skip


def say(i=0, **more):
    return Task(id="say", prompt=f"say {i}", skills=("say",), **more)


def came(orc, run_id):
    return [n.data["came"] for n in orc.ledger.notes(run_id, "judge.done")]


def diagnosed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agentroute.yaml").write_text(f"db: sqlite:///{tmp_path}/a.db\n")
    rows = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    return next((r for r in rows if r["what"] == "judge"), None)


async def test_verdicts_are_feedback_rows_that_the_router_learns_from(tmp_path):
    async with opened(tmp_path, router="linucb", exploration=0.5) as orc:
        for i in range(12):
            run = await orc.run(say(i))
            assert not run.scores  # it is served before it is judged
        await orc.settle()
        (route,) = [d for d in run.decisions if d.kind == "route"]
        (row,) = orc.ledger.feedback(route.id)
        verify = [d for d in orc.ledger.decisions(run.run_id) if d.kind == "verify"]
        end = orc.ledger.query("SELECT seq FROM events WHERE run_id = ? AND type = 'run.finished'",
                               (run.run_id,))  # fmt: skip
        spent = orc.ledger.run(run.run_id).cost_usd
        ranked = {r.agent: r.total for r in (await orc.route(say(99))).ranked}
        report = orc.ledger.verify()
    assert (row.source, row.score, row.method) == (
        "verifier:judge", SCORES[route.chosen[0]], "knows"
    )  # fmt: skip
    assert [d.chosen for d in verify] == [("judge",)] and verify[0].seq > end[0][0]
    assert row.derived_from == verify[0].id
    assert spent == pytest.approx(0.01)  # a judge's call is the run's
    assert ranked["good"] > ranked["bad"]
    assert report.ok, report


@pytest.mark.checklist("AM8")
async def test_no_choice_waits_for_a_slow_judge_and_what_overflows_is_counted(
    tmp_path, monkeypatch
):
    waiting = []

    async def slow(call):
        waiting.append(call.call_id)
        await asyncio.sleep(30)

    busy, wall, chosen = [], [], []
    judge, router = {"name": "judge", "capacity": 3, "drain_s": 0.05}, PheromoneRouter()
    async with opened(tmp_path, agents(slow), judge, router=router) as orc:
        runs = []
        for i in range(20):
            began = time.perf_counter()
            runs.append(await orc.run(say(i)))
            wall.append(time.perf_counter() - began)
            began = time.thread_time()
            await orc.route(say(i))
            busy.append(time.thread_time() - began)
        routed = next(d for d in runs[-1].decisions if d.kind == "route")
        request = orc.ledger.record(routed.id).request
        for _ in range(300):
            began = time.thread_time()
            await router.score(request)
            chosen.append(time.thread_time() - began)
        assert len(waiting) == 1  # and it is not done
        dropped = Counter(c for r in runs for c in came(orc, r.run_id))
    assert max(wall) < 10 and np.quantile(busy, 0.9) < 0.05
    assert np.quantile(chosen, 0.99) < 0.005
    assert dropped == {"dropped": 16}  # one is with the judge, three wait
    found = diagnosed(tmp_path, monkeypatch)
    assert found["state"] == "note" and "20 dropped" in found["detail"]


async def test_the_share_is_drawn_by_the_run(tmp_path):
    async def judged(folder, ids):
        folder.mkdir()
        async with opened(folder, judge={"name": "judge", "share": 0.5}) as orc:
            for i in ids:
                await orc.run(say(), run_id=i)
            await orc.settle()
            return {i for i in ids if came(orc, i)}

    ids = [f"r{i}" for i in range(24)]
    one, two = await judged(tmp_path / "1", ids), await judged(tmp_path / "2", ids[::-1])
    assert one == two and 4 < len(one) < 20


VERIFIED = """
name: v
tasks: [{id: say, prompt: say it, skills: [say]}]
verifier: judge
"""


async def test_who_has_a_verifier_or_wants_none_is_left_alone(tmp_path):
    async with opened(tmp_path) as orc:
        has = await orc.run(make_plan(parse_graph(VERIFIED), {}))
        wants = await orc.run(say(), verify=False)
        await orc.settle()
        kinds = Counter(d.kind for d in orc.ledger.decisions(has.run_id))
        assert came(orc, has.run_id) == came(orc, wants.run_id) == []
    assert kinds["verify"] == len(has.scores) >= 1


@pytest.mark.parametrize(
    ("said", "outcome"),
    [("words", "failed"), ({"data": {"scores": []}}, "silent"),
     ({"data": {"scores": [{"task_id": "say", "score": 7}]}}, "failed")],
)  # fmt: skip
async def test_a_judge_that_is_of_no_use_is_said(tmp_path, monkeypatch, said, outcome):
    async with opened(tmp_path, agents(lambda call: said)) as orc:
        run = await orc.run(say())
        await orc.settle()
        assert came(orc, run.run_id) == [outcome]
        assert orc.ledger.run(run.run_id).status == "completed"
    assert f"1 {outcome}" in diagnosed(tmp_path, monkeypatch)["detail"]


async def test_a_judge_has_what_is_left_of_the_runs_budget(tmp_path):
    registry = agents()
    registry.agent(name="dear", description="judges", skills=["verify"], cost_usd=5.0)(
        lambda call: {"data": {"scores": [{"task_id": "say", "score": 1.0}]}}
    )
    async with opened(tmp_path, registry, "dear", budget_usd=1.0) as orc:
        run = await orc.run(say())
        await orc.settle()
        assert came(orc, run.run_id) == ["failed"]
        assert orc.ledger.run(run.run_id).cost_usd < 1.0


async def test_a_resumed_run_is_judged_once(tmp_path):
    calls = []

    def judge(call):
        calls.append(call.call_id)
        return {"data": {"scores": [{"task_id": "say", "score": 0.5}]}}

    for _ in range(2):
        async with opened(tmp_path, agents(judge)) as orc:
            await orc.run(say(), run_id="r") if not calls else await orc.run(None, resume="r")
            await orc.settle()
            assert came(orc, "r") == ["judged"]
    assert len(calls) == 1


async def test_closing_waits_for_it(tmp_path):
    async with opened(tmp_path) as orc:
        run = await orc.run(say())
    async with opened(tmp_path) as orc:
        assert came(orc, run.run_id) == ["judged"]


async def test_nobody_of_that_name_is_said_before_anybody_is_called(tmp_path):
    with pytest.raises(ConfigError, match="share"):
        opened(tmp_path, judge={"name": "judge", "share": 2})
    async with opened(tmp_path, judge="jugde") as orc:
        with pytest.raises(UnknownAgentError):
            await orc.run(say())


def test_judge_chat_by_the_settings_and_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "say.py").write_text("def agent(call):\n    return 'The Nile.'\n")
    (tmp_path / "agents" / "say.yaml").write_text(
        "name: say\ndescription: says\nskills: [{id: say, description: say}]\n"
        "entrypoint: say.py:agent\n"
    )
    (tmp_path / "agentroute.yaml").write_text(
        "agents: [agents]\nembedder: hashing\njudge: judge_chat\n"
    )
    (tmp_path / "g.yaml").write_text(VERIFIED.replace("verifier: judge", "router: uniform"))
    marks = {"scores": [{"input": 1, "reason": "right", "score": 0.75}]}
    with ScriptedChatServer(lambda body: marks) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        monkeypatch.setenv("OPENAI_MODEL", "judge")
        done = CliRunner().invoke(app, ["run", "g.yaml", "--json"])
        assert done.exit_code == 0, done.output
        (body,) = server.requests
    assert "The Nile." in json.dumps(body)
    asked = "SELECT source, score FROM feedback"
    shown = CliRunner().invoke(app, ["ledger", "sql", asked, "--json"])
    assert "verifier:judge_chat" in shown.stdout and "0.75" in shown.stdout
