"""A router that calls a model: bounded by the run's time and money, booked, never the run's end."""

import asyncio
import json
import time

import pytest

from agentroute import AgentReply, Orchestrator, Registry, Task
from agentroute.ledger import Ledger
from agentroute.model.scores import Scores
from agentroute.testing import ScriptedChatServer
from agentroute.testing.chat import Say

PRICES = {"input_mtok_usd": 1000.0, "output_mtok_usd": 1000.0}
ROUTER = {"name": "reasoning", "pricing": PRICES}


@pytest.fixture
def registry():
    made = Registry()

    @made.agent(skills=["s"], cost_usd=0)
    async def alpha(call):
        return AgentReply(text="from alpha")

    @made.agent(skills=["s"], cost_usd=0)
    async def beta(call):
        return AgentReply(text="from beta")

    return made


async def run(monkeypatch, tmp_path, registry, script, *, router=ROUTER, **options):
    with ScriptedChatServer(script) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        url = f"sqlite:///{tmp_path / 'l.db'}"
        async with Orchestrator(registry, router=router, ledger=url, out=tmp_path, **options) as o:
            result = await o.run(Task(prompt="do it", skills=("s",)))
        with Ledger.open(url, read_only=True) as ledger:
            rows = [r.value for r in ledger.rows(0, None, tables=("outcomes",))]
    return result, rows, server


async def test_a_hanging_model_leaves_the_agents_half_of_the_time(monkeypatch, tmp_path, registry):
    result, _, _ = await run(monkeypatch, tmp_path, registry, [Say(hang=True)], deadline_s=4.0)
    assert result.status == "completed"
    assert "did not answer within" in result.decisions[-1].reason


async def test_what_the_model_used_is_an_outcome_of_its_decision(monkeypatch, tmp_path, registry):
    choice = {"reason": "because", "agents": ["beta"]}
    result, rows, server = await run(monkeypatch, tmp_path, registry, [choice])
    assert result.answer == "from beta"
    route = next(d for d in result.decisions if d.kind == "route")
    (own,) = [o for o in rows if o.agent == "router:reasoning"]
    sent = sum(len(m["content"]) for m in server.requests[0]["messages"]) // 4
    assert (own.decision_id, own.tokens > sent - 5) == (route.id, True)
    assert own.cost_usd == pytest.approx(own.tokens / 1000)
    assert result.usage.cost_usd == pytest.approx(own.cost_usd)


async def test_a_model_that_never_helps_is_booked_too(monkeypatch, tmp_path, registry):
    result, rows, server = await run(monkeypatch, tmp_path, registry, ["none", "none either"])
    assert len(server.requests) == 2
    assert (result.status, "did not help" in result.decisions[-1].reason) == ("completed", True)
    assert next(o for o in rows if o.agent == "router:reasoning").cost_usd > 0


async def test_with_no_budget_no_model_is_asked(monkeypatch, tmp_path, registry):
    result, _, server = await run(monkeypatch, tmp_path, registry, ["x"], budget_usd=0.0)
    assert (server.requests, result.status) == ([], "completed")


async def test_the_model_s_cost_leaves_less_for_the_agents(monkeypatch, tmp_path):
    registry = Registry()

    @registry.agent(skills=["s"], cost_usd=0.5)
    async def dear(call):
        return "done"

    choice = {"reason": "because", "agents": ["dear"]}
    result, _, _ = await run(monkeypatch, tmp_path, registry, [choice], budget_usd=0.51)
    assert result.status == "failed"
    assert "0.5, $" in result.degraded[0] or "budget" in result.degraded[0]


async def test_an_ensemble_books_what_its_members_used(monkeypatch, tmp_path, registry):
    router = {"name": "ensemble", "members": ["linucb", ROUTER]}
    choice = {"reason": "because", "agents": ["beta"]}
    _, rows, _ = await run(monkeypatch, tmp_path, registry, [choice], router=router)
    assert next(o for o in rows if o.agent == "router:ensemble").cost_usd > 0


def said(content="x", usage=None):
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m",
            "choices": [choice], "usage": usage}  # fmt: skip
    return Say(raw=json.dumps(body).encode())


PICK = '{"reason": "r\\ud800", "agents": ["beta"]}'
ODD = {
    "list": [said([{"type": "text", "text": "no"}])] * 2,
    "int": [said(7)],
    "usage as text": [said(PICK, "many")],
    "tokens as text": [said(PICK, {"prompt_tokens": "7", "completion_tokens": "8"})],
    "negative": [said(PICK, {"prompt_tokens": -7, "completion_tokens": -8})],
    "infinite": [said(PICK, {"prompt_tokens": float("inf"), "completion_tokens": 1})],
    "surrogate": [said("\ud800")] * 2,
    "deep": [said("[" * 900 + "]" * 900)] * 2,
    "deeper": [said("[" * 50_000 + "]" * 50_000)] * 2,
    "deep body": [Say(raw=b"[" * 50_000 + b"]" * 50_000)],
    "not JSON": [Say(raw=b"<html>")],
    "big number": [said('{"reason": ' + "9" * 5_000 + "}")] * 2,
}


@pytest.mark.parametrize("name", ODD)
async def test_odd_values_from_the_model_end_no_run(monkeypatch, tmp_path, registry, name):
    result, _, _ = await run(monkeypatch, tmp_path, registry, ODD[name])
    assert result.status == "completed"
    assert result.answer in ("from alpha", "from beta")


class Own:
    name = "own"
    taxonomy = None

    def __init__(self, score):
        self.score = score


async def test_a_router_that_raises_fails_its_task_typed(world, plan_of):
    async def score(request):
        raise RuntimeError("my own")

    world.router = Own(score)
    world.agent("a")
    result = await world.run(plan_of("tasks: [{id: x, prompt: p, skills: [s]}]"))
    assert result.status == "failed"
    assert "router 'own' failed: RuntimeError: my own" in result.degraded[0]


async def test_a_router_that_hangs_is_ended_by_the_run_s_deadline(world, plan_of):
    from agentroute.execution.progress import RunLimits

    async def score(request):
        await asyncio.sleep(60)
        return Scores(request.candidates.prior, request.candidates.prior)

    world.router = Own(score)
    world.agent("a")
    began = time.monotonic()
    plan = plan_of("tasks: [{id: x, prompt: p, skills: [s]}]")
    result = await world.run(plan, bounds=RunLimits(seconds=0.5))
    assert time.monotonic() - began < 5
    assert "was not done by the run's deadline" in result.degraded[0]
