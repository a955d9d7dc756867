"""A chat model as a judge: blind to names, in a drawn order, through the front door."""

from __future__ import annotations

import json
import re

import pytest

from agentroute import Orchestrator, Registry
from agentroute.config.paths import bundled
from agentroute.testing import ScriptedChatServer

GRAPH = """
name: opinions
tasks:
  - {id: first, prompt: Which river is the longest?, skills: [say]}
  - {id: last, prompt: Name the longest river., skills: [say], depends_on: [first]}
verifier: %s
depth: {name: fixed, k: 2}
"""


def inputs_of(body):
    text = body["messages"][-1]["content"]
    return re.findall(r"<input_(\d+)[^>]*>\n?(.*?)</input_\1", text, re.DOTALL)


def judged(body):
    """Marks by what an answer says: the Nile is right."""
    return {"scores": [
        {"input": int(n), "reason": "looked up", "score": 1.0 if "Nile" in text else 0.25}
        for n, text in inputs_of(body)
    ]}  # fmt: skip


async def run(tmp_path, server, monkeypatch, verifier="judge_chat", seed=0, **options):
    registry = Registry.from_folder(bundled("agents"))
    for name, river in (("anna", "The Nile."), ("bert", "The Rhine.")):
        registry.agent(name=name, description="Names rivers", skills=["say"])(
            lambda call, river=river: river
        )
    graph = tmp_path / "opinions.yaml"
    graph.write_text(GRAPH % verifier)
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_MODEL", "judge")
    url = f"sqlite:///{tmp_path}/a.db"
    async with Orchestrator(registry, ledger=url, out=tmp_path, seed=seed) as orc:
        result = await orc.run(str(graph), **options)
        return result, orc.ledger.feedback(result.run_id)


@pytest.fixture
def server():
    with ScriptedChatServer(judged) as server:
        yield server


async def test_each_member_is_marked_by_what_it_said_and_nobody_is_named(
    tmp_path, server, monkeypatch
):
    result, rows = await run(tmp_path, server, monkeypatch)
    marks = {(r["task_id"], r["agent"]): r["score"] for r in result.scores}
    assert marks == {("last", "anna"): 1.0, ("last", "bert"): 0.25}
    assert {(f.agent, f.score, f.source) for f in rows} == {
        ("anna", 1.0, "verifier:judge_chat"), ("bert", 0.25, "verifier:judge_chat")
    }  # fmt: skip
    assert result.verdict.accepted
    (body,) = server.requests
    sent = json.dumps(body)
    assert "anna" not in sent
    assert "bert" not in sent
    assert "0.75: right" in body["messages"][0]["content"]
    assert body["response_format"]["type"] == "json_schema"
    assert "Name the longest river." in inputs_of(body)[0][1]


async def test_the_order_is_drawn_from_the_seed(tmp_path, server, monkeypatch):
    async def order(seed, life):
        folder = tmp_path / f"{seed}{life}"
        folder.mkdir()
        await run(folder, server, monkeypatch, seed=seed, run_id="r")
        return tuple("Nile" in text for _, text in inputs_of(server.requests[-1]))

    seen = [await order(seed, "a") for seed in range(6)]
    assert set(seen) == {(True, False), (False, True)}
    assert await order(0, "b") == seen[0]


async def test_the_graph_says_which_tasks_are_judged(tmp_path, server, monkeypatch):
    which = "{name: judge_chat, tasks: [first, last]}"
    result, _ = await run(tmp_path, server, monkeypatch, which)
    assert {r["task_id"] for r in result.scores} == {"first", "last"}


async def test_marks_of_nothing_are_said(tmp_path, monkeypatch):
    said = {"scores": [{"input": 9, "reason": "", "score": 1}]}
    with ScriptedChatServer([said]) as server:
        result, rows = await run(tmp_path, server, monkeypatch)
    assert any("no decision for task 'input 9'" in line for line in result.degraded)
    assert rows == []


async def test_below_the_limit_by_a_judge_is_not_accepted(tmp_path, monkeypatch):
    def strict(body):
        marks = [{"input": int(n), "reason": "no", "score": 0.25} for n, _ in inputs_of(body)]
        return {"scores": marks}

    with ScriptedChatServer(strict) as server:
        result, _ = await run(tmp_path, server, monkeypatch)
    assert result.status == "degraded"
    assert result.answer.startswith("NOT ACCEPTED: the answer is below 0.50: 'last' 0.25 by judge")
