"""Promises that a user would miss, each kept through an open orchestrator."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from agentroute import AgentReply, Orchestrator, Registry, Task
from agentroute.config.settings import BudgetSettings, Settings
from agentroute.model.calls import Artifact, Usage
from agentroute.model.cards import CapabilityCard, Limits, Pricing, Skill


class World:
    """A registry whose agents note when they were called."""

    def __init__(self, tmp_path) -> None:
        self.registry, self.path = Registry(), tmp_path
        self.calls: list[tuple[str, float]] = []
        self.at_once = self.most = 0

    def agent(self, name, *, skill="s", fails=0, sleep=0.0, reply=None, usd=0.0, **card):
        left = [fails]
        card.setdefault("limits", Limits(max_attempts=1))

        async def act(call):
            self.calls.append((name, time.monotonic()))
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            try:
                await asyncio.sleep(sleep)
            finally:
                self.at_once -= 1
            if left[0]:
                left[0] -= 1
                raise ValueError(f"{name} is broken")
            if callable(reply):
                return reply(call)
            return reply or AgentReply(text=f"by {name}", usage=Usage(cost_usd=usd))

        made = CapabilityCard(
            name=name, description=f"does {skill}", skills=(Skill(id=skill),), **card
        )
        self.registry.add(made, act)

    def open(self, **more):
        options = {"ledger": f"sqlite:///{self.path}/a.db", "out": self.path, "exploration": 0.0}
        return Orchestrator(self.registry, embedder="hashing", **(options | more))

    def settings(self, **more):
        db = f"sqlite:///{self.path}/a.db"
        s = Settings(db=db, out=str(self.path), embedder="hashing", **more)
        return Orchestrator.from_settings(s, registry=self.registry)

    @property
    def called(self):
        return [name for name, _ in self.calls]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def tasks(n, skill="s", **more):
    return [Task(id=f"t{i}", prompt="x", skills=(skill,), **more) for i in range(n)]


PAID = Pricing(expected_usd=0.04)


async def test_the_budget_of_one_run_is_its_own(world):
    world.agent("paid", usd=0.04, pricing=PAID)
    async with world.open(budget_usd=10.0) as orc:
        short = await orc.run(tasks(4), budget_usd=0.10)
        assert short.usage.calls == 2 and short.usage.cost_usd == pytest.approx(0.08)
        assert (await orc.run(tasks(4))).usage.calls == 4


async def test_a_budget_of_the_settings_bounds_each_run(world):
    world.agent("paid", usd=0.04, pricing=PAID)
    async with world.settings(budget=BudgetSettings(usd=0.10)) as orc:
        for _ in range(2):
            assert (await orc.run(tasks(4))).usage.calls == 2


async def test_the_deadline_of_a_run_bounds_a_call_that_has_more_time(world):
    world.agent("slow", sleep=30, limits=Limits(timeout_s=20, max_attempts=1))
    world.agent("asked", skill="told", reply=lambda call: AgentReply(text=f"{call.deadline_s}"))
    began = time.monotonic()
    async with world.settings(budget=BudgetSettings(seconds=0.5)) as orc:
        result = await orc.run(Task(prompt="x", skills=("s",)))
        told = await orc.run(Task(prompt="x", skills=("told",)))
    assert 0 < float(told.answer) <= 0.5
    assert result.status == "failed" and time.monotonic() - began < 8
    assert "no answer within" in " ".join(result.degraded)


@pytest.mark.parametrize("most", [1, 3])
async def test_so_many_calls_run_at_once_as_the_settings_say(world, most):
    world.agent("one", sleep=0.2, limits=Limits(max_concurrency=50))
    async with world.settings(budget=BudgetSettings(max_concurrency=most)) as orc:
        await orc.run(tasks(6))
    assert world.most == most


async def test_a_resume_remembers_what_was_spent_before(world):
    """Two calls were paid for, the third asks a human; what is left does not pay for it."""
    world.agent("paid", usd=0.04, pricing=PAID)
    world.agent("asks", skill="ask", usd=0.04, pricing=PAID, requires_approval=True)
    work = [*tasks(2), Task(id="last", prompt="x", skills=("ask",), depends_on=("t0", "t1"))]
    async with world.open() as orc:
        first = await orc.run(work, budget_usd=1.0)
        assert first.status == "waiting"
        answers = {"last": True}
        last = await orc.run(None, resume=first.run_id, answers=answers, budget_usd=0.10)
    assert world.called.count("asks") == 0
    assert last.usage.cost_usd == pytest.approx(0.08)


async def test_a_tasks_own_budget_leaves_out_who_is_dearer(world):
    world.agent("dear", usd=0.5, pricing=Pricing(expected_usd=0.5), prior_quality=0.9)
    world.agent("cheap", usd=0.01, pricing=Pricing(expected_usd=0.01), prior_quality=0.1)
    async with world.open() as orc:
        assert (await orc.run(Task(prompt="x", skills=("s",)))).answer == "by dear"
        bound = await orc.run(Task(prompt="x", skills=("s",), budget_usd=0.05))
        work = Task(prompt="x", skills=("s",), budget_usd=0.05)  # no run, and so no purse
        dry, own = await orc.route(work), await orc.decide(work)
    assert bound.answer == "by cheap"
    assert ([r.agent for r in dry.ranked], own.chosen) == (["cheap"], ("cheap",))


async def test_failures_open_a_breaker_only_where_they_follow_each_other(world):
    turn = iter([ValueError, None] * 6)

    def sometimes(call):
        if (error := next(turn)) is not None:
            raise error("odd")
        return AgentReply(text="even")

    world.agent("odd", reply=sometimes, limits=Limits(max_attempts=1, cooldown_failures=3))
    async with world.open() as orc:
        ended = [(await orc.run(Task(prompt="x", skills=("s",)))).status for _ in range(12)]
    assert ended == ["failed", "completed"] * 6


async def test_the_state_of_agents_outlives_a_process(world, tmp_path):
    world.agent("down", fails=99, limits=Limits(max_attempts=1, cooldown_failures=2))
    async with world.open() as orc:
        for _ in range(2):
            await orc.run(Task(prompt="x", skills=("s",)))
    again = World(tmp_path)
    again.agent("down", limits=Limits(max_attempts=1, cooldown_failures=2))
    async with again.open() as orc:
        result = await orc.run(Task(prompt="x", skills=("s",)))
    assert again.called == [] and "circuit breaker is open" in " ".join(result.degraded)


async def test_fallbacks_are_asked_in_the_order_of_the_card(world):
    world.agent("main", fails=9, fallbacks=("b", "a", "c"))
    for name in "abc":
        world.agent(name, skill="s", fails=9 if name == "b" else 0)
    async with world.open() as orc:
        result = await orc.run(Task(prompt="x", skills=("s",), agent="main"))
    assert world.called == ["main", "b", "a"] and result.answer == "by a"


async def test_a_retry_waits_longer_each_time(world):
    world.agent("flaky", fails=3, limits=Limits(max_attempts=4, cooldown_failures=9))
    async with world.open() as orc:
        assert (await orc.run(Task(prompt="x", skills=("s",)))).answer == "by flaky"
    at = [t for _, t in world.calls]
    gaps = [b - a for a, b in pairwise(at)]
    assert all(g >= 0.05 * 2**i for i, g in enumerate(gaps)) and len(gaps) == 3


async def test_what_is_not_settled_counts_as_in_flight(world):
    """It is in the row of a decision that is taken meanwhile: widths shrink by it."""
    world.agent("slow", skill="w", sleep=0.5)
    world.agent("quick")
    work = [
        Task(id="long", prompt="x", skills=("w",)),
        Task(id="short", prompt="x", skills=("s",)),
        Task(id="then", prompt="x", skills=("w",), depends_on=("short",)),
    ]
    async with world.open() as orc:
        result = await orc.run(work)
        rows = {d.task_id: orc.ledger.record(d.id) for d in result.decisions if d.kind == "route"}
    assert rows["long"].request.candidates.inflight.tolist() == [0.0]
    assert rows["then"].request.candidates.inflight.tolist() == [1.0]
    assert world.registry.live.inflight.sum() == 0


async def test_a_shadow_costs_the_run_nothing_and_is_not_its_answer(world):
    world.agent("main", usd=0.01)
    world.agent("shade", usd=0.5, status="shadow")
    async with world.open(budget_usd=1.0) as orc:
        first = await orc.run(Task(prompt="x", skills=("s",)))
        await orc.settle()
        again = await orc.run(None, resume=first.run_id)
    assert "shade" in world.called and again.answer == "by main"
    assert (again.usage.calls, again.usage.cost_usd) == (1, pytest.approx(0.01))


async def test_members_that_abstain_are_not_shown_in_a_team(world):
    world.agent("knows")
    world.agent("shy", reply=AgentReply(text="I do not know", abstained=True))
    async with world.open(depth={"name": "fixed", "k": 2}) as orc:
        result = await orc.run(Task(prompt="x", skills=("s",)))
    assert sorted(world.called) == ["knows", "shy"]
    assert "by knows" in result.answer and "do not know" not in result.answer
    (reply,) = result.replies.values()
    assert list(reply.data["team"]) == ["knows"]  # what each of those who answered said


async def test_only_the_answers_files_are_kept(world, tmp_path):
    def writes(call):
        name = f"{call.task.id}.txt"
        (call.workdir / name).write_text("x")
        return AgentReply(text="done", artifacts=(Artifact(name=name, path=name),))

    world.agent("writer", reply=writes)
    work = [
        Task(id="inner", prompt="x", skills=("s",)),
        Task(id="outer", prompt="x", skills=("s",), depends_on=("inner",)),
    ]
    async with world.open(out=tmp_path / "kept") as orc:
        result = await orc.run(work)
    kept = [p.name for p in (tmp_path / "kept").rglob("*.txt") if "work" not in p.parts]
    assert set(kept) == {"outer.txt"}
    assert {a.name for a in result.artifacts} == {"inner.txt", "outer.txt"}


async def test_a_run_is_learned_from_at_its_end(world):
    """A failure moves the version that the next choice is made with, without a call of settle."""
    world.agent("bad", fails=9)
    async with world.open() as orc:
        before = (await orc.route("x", skills=["s"])).policy_version
        await orc.run(Task(prompt="x", skills=("s",)))
        (known,) = orc.learned()
        assert known.version == f"@{orc.ledger.head()[0]}" and known.counts["folded"] == 1
        after = (await orc.route("x", skills=["s"])).policy_version
    assert before.endswith("@0") and not after.endswith("@0")


async def test_a_graphs_own_router_stands_over_the_settings(world, tmp_path):
    world.agent("a")
    graph = tmp_path / "g.yaml"
    graph.write_text("name: g\nrouter: knn\ntasks: [{id: t, prompt: x, skills: [s]}]\n")
    async with world.open(router="linucb") as orc:
        own = await orc.run(str(graph))
        asked = await orc.run(str(graph), router="skill_match")
        plain = await orc.run(Task(prompt="x", skills=("s",)))
    routes = [[d for d in r.decisions if d.kind == "route"] for r in (own, asked, plain)]
    assert [r[0].policy for r in routes] == ["knn", "skill_match", "linucb"]


@pytest.mark.parametrize("shape", ["parallel", "sequential", "hierarchical", "hybrid"])
async def test_a_topology_in_a_graph_file_is_obeyed(world, tmp_path, shape):
    world.agent("a")
    graph = tmp_path / "g.yaml"
    graph.write_text(
        f"name: g\ntopology: {shape}\ntasks:\n  - {{id: t, prompt: x, skills: [s]}}\n"
        "  - {id: u, prompt: x, skills: [s], depends_on: [t]}\n"
    )
    async with world.open() as orc:
        assert (await orc.run(str(graph))).topology == shape


async def test_an_agent_in_code_stands_over_a_card_of_its_name(tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "twin.yaml").write_text(
        "name: twin\ndescription: the file's\nskills: [s]\nentrypoint: twin.py:agent\n"
    )
    (tmp_path / "agents" / "twin.py").write_text("def agent(call):\n    return 'from the file'\n")
    world = World(tmp_path)
    world.registry = Registry.from_folder(tmp_path / "agents")
    world.agent("twin")
    assert [e.origin for e in world.registry.entries.values()] == ["code"]
    async with world.open() as orc:
        assert (await orc.run(Task(prompt="x", skills=("s",)))).answer == "by twin"
