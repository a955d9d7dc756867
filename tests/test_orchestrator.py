"""The front door, used as an app would use it."""

import asyncio
import json
import threading
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel

from agentroute import AgentReply, Orchestrator, Registry, Task
from agentroute.adapters.structured import Answer
from agentroute.choosing.catalog import make_router
from agentroute.errors import (
    AgentFailedError,
    ConfigError,
    CycleError,
    ExecutionError,
    GraphError,
    NestedLoopError,
    NoCandidateError,
    UnknownDecisionError,
    UsageError,
)
from agentroute.learning.fold import Learner, observations
from agentroute.ledger import Ledger
from agentroute.model.calls import Usage
from agentroute.model.cards import CapabilityCard, Skill
from agentroute.routers.reasoning.prompt import ModelChoice
from agentroute.routers.reasoning.router import ReasoningRouter
from agentroute.testing import ScriptedChatServer


@pytest.fixture
def calls():
    return []


@pytest.fixture
def registry(calls):
    registry = Registry()

    @registry.agent(skills=["refunds"], cost_usd=0.002)
    async def billing(call):
        """Refunds orders and explains invoices."""
        calls.append("billing")
        return AgentReply(text="refunded", data={"order": 7}, confidence=0.9)

    @registry.agent(skills=["refunds"], cost_usd=0.001)
    def helpdesk(call):
        """Answers any question."""
        calls.append("helpdesk")
        return {"order": 0}

    @registry.agent(skills=["mail"])
    async def writer(call):
        """Writes a mail about what was done."""
        calls.append("writer")
        yield "Dear "
        yield "customer"
        yield AgentReply(text="Dear customer, " + call.inputs["refund"].text)

    return registry


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/a.db"


TASKS = [
    Task(id="refund", prompt="Refund order 7", skills=("refunds",)),
    Task(id="mail", prompt="Tell the customer", skills=("mail",), depends_on={"refund": 0.7}),
]


@pytest.mark.checklist("AO12")
async def test_a_single_task_is_one_call_and_no_synthesis(registry, calls, url, tmp_path):
    async with Orchestrator(registry, ledger=url, out=tmp_path) as orc:
        run = await orc.run(Task(prompt="Refund order 7", skills=("refunds",)))
        kinds = [d.kind for d in orc.ledger.decisions(run.run_id)]
    assert run.topology == "single"
    assert len(calls) == 1
    assert run.usage.calls == 1
    assert kinds == ["plan", "topology", "route"]


async def test_run_records_before_acting_and_learns(registry, calls, url, tmp_path):
    async with Orchestrator(registry, ledger=url, out=tmp_path, router="linucb") as orc:
        run = await orc.run(TASKS, seed=3)
        assert (run.status, run.topology) == ("completed", "sequential")
        assert run.answer.startswith("Dear customer")
        assert [d.task_id for d in run.decisions if d.kind == "route"] == ["refund", "mail"]
        assert all(d.seq > 0 for d in run.decisions)
        routed = next(d for d in run.decisions if d.task_id == "refund")
        done = await orc.feedback(routed.id, score=0.9, source="user")
        again = await orc.feedback(routed.id, score=0.9, source="user", idempotency_key="k")
        same = await orc.feedback(routed.id, score=0.1, source="user", idempotency_key="k")
        assert (done["duplicate"], again["duplicate"], same["duplicate"]) == (False, False, True)
        assert same["seq"] == again["seq"]
        found = await orc.route("Refund order 8", skills=["refunds"])
        assert found.policy_version.endswith(f"@{orc.ledger.head()[0]}")
        assert orc.ledger.verify().ok


async def test_cards_are_embedded_once_and_never_on_the_loop(
    registry, url, tmp_path, embedder, monkeypatch
):
    own, loop, where = embedder.encode, threading.get_ident(), []

    def encode(texts):
        where.extend((t, threading.get_ident() == loop) for t in texts)
        return own(texts)

    monkeypatch.setattr(embedder, "encode", encode)
    async with Orchestrator(registry, ledger=url, out=tmp_path, embedder=embedder) as orc:
        await orc.run("Refund order 7")
        await orc.run("Refund order 8")
        cards = [e.card.text() for e in registry.entries.values()]
        assert [where.count((t, False)) for t in cards] == [1] * len(cards)
        assert not any((t, True) in where for t in cards)

        @registry.agent(skills=["mail"])
        async def poet(call):
            """Writes a poem about what was done."""
            return "roses"

        await orc.run("Refund order 9")
        assert (registry.card("poet").text(), False) in where


async def test_the_choice_moves_to_what_users_like(registry, url, tmp_path):
    async with Orchestrator(
        registry, ledger=url, out=tmp_path, router="linucb", exploration=0.1
    ) as orc:
        picks = []
        for seed in range(30):
            run = await orc.run(TASKS[0], seed=seed, run_id=f"r{seed}")
            picks.append(run.decisions[-1].chosen[0])
            await orc.feedback(run.run_id, score=0.9 if picks[-1] == "billing" else 0.2)
    assert picks[20:].count("billing") >= 8, picks


async def test_rebuilding_a_router_from_the_ledger_is_bit_equal(registry, url, tmp_path, embedder):
    live = make_router("linucb", embedder=embedder)
    async with Orchestrator(registry, ledger=url, out=tmp_path, router="linucb") as orc:
        learner = Learner(live, orc.ledger)
        for seed in range(6):
            run = await orc.run(TASKS, seed=seed)
            await orc.feedback(run.run_id, score=seed / 6)
            learner.fold()
    with Ledger.open(url, read_only=True) as ledger:
        rebuilt = make_router("linucb", embedder=embedder)
        n = 0
        for o in observations(ledger, 0, None):
            rebuilt.update(o)
            n += 1
    a, b = live.state_dict(), rebuilt.state_dict()
    assert n == 24
    assert a.meta == b.meta
    assert a.arrays.keys() == b.arrays.keys()
    assert all(a.arrays[k].tobytes() == b.arrays[k].tobytes() for k in a.arrays)


async def test_stream_tells_everything_and_ends_with_the_result(registry, url, tmp_path):
    async with Orchestrator(registry, ledger=url, out=tmp_path) as orc:
        events = [e async for e in orc.stream(TASKS)]
    types = [e.type for e in events]
    assert types[0] == "run.started"
    assert types[-1] == "run.finished"
    assert "".join(e.data["text"] for e in events if e.type == "agent.delta") == "Dear customer"
    assert events[-1].data["result"]["status"] == "completed"
    started = types.index("agent.started")
    assert types.index("decision.made") < started


async def test_a_chat_agent_is_heard_word_by_word(url, tmp_path, monkeypatch):
    registry = Registry()
    registry.add(
        CapabilityCard(
            name="poet", description="writes", skills=[Skill(id="verse")], entrypoint="chat",
            prompt="You write verse.",
        )
    )  # fmt: skip
    task = Task(id="t", prompt="a line, please", skills=("verse",))
    line = "Roses are red, violets are blue"
    with ScriptedChatServer([line, line]) as server:
        for key, value in server.env.items():
            monkeypatch.setenv(key, value)
        async with Orchestrator(registry, ledger=url, out=tmp_path) as orc:
            events = [e async for e in orc.stream([task])]
            quiet = await orc.run([task])
        streamed = [bool(body.get("stream")) for body in server.requests]
    heard = [e.data["text"] for e in events if e.type == "agent.delta"]
    assert len(heard) > 1 and "".join(heard) == line
    assert events[-1].data["result"]["answer"] == quiet.answer == line
    assert streamed == [True, False]


async def test_as_graph_inside_a_host(registry, url, tmp_path):
    async with Orchestrator(registry, ledger=url, out=tmp_path) as orc:
        out = await orc.as_graph(TASKS).ainvoke({"task": "x"})
        assert out["output"].startswith("Dear customer")
        assert len(orc.ledger.runs()) == 1


def test_run_sync_and_its_limits(registry, url, tmp_path):
    orc = Orchestrator(registry, ledger=url, out=tmp_path)
    assert orc.run_sync(TASKS).status == "completed"

    async def inside():
        with pytest.raises(NestedLoopError, match="running event loop"):
            orc.run_sync(TASKS)

    asyncio.run(inside())


class Order(BaseModel):
    order: int


async def test_typed_output(registry, url, tmp_path):
    async with Orchestrator(registry, ledger=url, out=tmp_path) as orc:
        task = Task(prompt="Refund", skills=("refunds",), agent="billing")
        run = await orc.run(task, output_type=Order)
        assert run.output == Order(order=7)
        with pytest.raises(AgentFailedError, match="not a Order"):
            await orc.run(TASKS, output_type=Order)


async def test_route_is_dry(registry, calls, url, tmp_path):
    orc = Orchestrator(registry, ledger=url, out=tmp_path)
    async with orc.reading():
        found = await orc.route("Refund order 7", skills=["refunds"])
    assert not calls
    assert not (tmp_path / "a.db").exists()
    assert sum(r.propensity for r in found.ranked) == pytest.approx(1)
    assert found.why_not("writer").startswith("writer was not a candidate: lacks")
    loser = next(r.agent for r in found.ranked if r.agent not in found.chosen)
    assert loser in found.why_not(loser)
    with pytest.raises(NoCandidateError, match="lacks a required skill"):
        await orc.route("x", skills=["flying"])


async def test_callers_mistakes_are_raised_while_building(registry, url, tmp_path):
    orc = Orchestrator(registry, ledger=url, out=tmp_path)
    with pytest.raises(ExecutionError, match="not open"):
        await orc.run(TASKS)
    async with orc:
        with pytest.raises(CycleError, match="cycle"):
            await orc.run(
                [
                    Task(id="a", prompt="x", depends_on=["b"]),
                    Task(id="b", prompt="x", depends_on=["a"]),
                ]
            )
        with pytest.raises(UsageError, match="between 0 and 1"):
            await orc.feedback("x", score=2)
        with pytest.raises(UnknownDecisionError):
            await orc.feedback("nothing", score=1)
        with pytest.raises(UsageError, match="empty"):
            await orc.run("   ")
        with pytest.raises(UsageError, match="inputs belong"):
            await orc.run(TASKS, inputs={"a": 1})
        with pytest.raises(GraphError, match="report_tabel") as e:
            await orc.run("report_tabel")
        assert "report_table" in e.value.hint
        assert orc.ledger.head()[0] == 0


async def test_a_failing_agent_is_an_outcome_and_the_run_says_so(registry, url, tmp_path):
    @registry.agent(skills=["fails"])
    def breaker(call):
        """Always fails."""
        raise RuntimeError("no")

    async with Orchestrator(registry, ledger=url, out=tmp_path) as orc:
        run = await orc.run(Task(id="t", prompt="x", skills=("fails",)))
        outcomes = orc.ledger.outcomes(run.run_id)
    assert run.status == "failed"
    assert any("breaker failed" in words for words in run.degraded)
    assert {(o.agent, o.quality) for o in outcomes} == {("breaker", 0.0)}


async def test_a_dropped_card_is_a_candidate_in_the_next_route(tmp_path, url):
    folder = tmp_path / "agents"
    folder.mkdir()
    card = "description: echoes {0}\nskills: [echo]\nentrypoint: {0}.py:agent\n"
    code = "def agent(call):\n    return call.task.prompt\n"
    (folder / "one.yaml").write_text(card.format("one"))
    (folder / "one.py").write_text(code)
    async with Orchestrator(Registry.from_folder(folder), ledger=url, out=tmp_path) as orc:
        run = await orc.run(Task(prompt="hello", skills=("echo",)))
        assert (run.answer, run.decisions[-1].chosen) == ("hello", ("one",))
        (folder / "two.yaml").write_text(card.format("two"))
        (folder / "two.py").write_text(code)
        found = await orc.route("hello", skills=["echo"])
        assert {r.agent for r in found.ranked} == {"one", "two"}
        (folder / "one.yaml").unlink()
        found = await orc.route("hello", skills=["echo"])
        assert [r.agent for r in found.ranked] == ["two"]


async def test_from_config(tmp_path, monkeypatch):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agentroute.yaml").write_text(
        "agents: [agents]\nrouter: {name: linucb, alpha: 0.3}\nexploration: 0.2\n"
    )
    monkeypatch.chdir(tmp_path)
    orc = Orchestrator.from_config()
    assert orc.settings.exploration == 0.2
    async with orc:
        assert (tmp_path / "agentroute.db").exists()
    json.dumps(orc.settings.model_dump(mode="json"))


@pytest.mark.checklist("TC5")
async def test_a_team_runs_side_by_side_and_one_hanging_member_does_not_fail_it(url, tmp_path):
    registry = Registry()
    started = []

    def member(name, seconds, timeout):
        @registry.agent(name=name, skills=["s"], limits={"timeout_s": timeout, "max_attempts": 1})
        async def agent(call):
            """Answers after a while."""
            started.append(name)
            await asyncio.sleep(seconds)
            return name

    member("quick", 0.3, 5.0)
    member("steady", 0.3, 5.0)
    member("hanging", 60.0, 0.3)
    depth = {"name": "fixed", "k": 3}
    async with Orchestrator(registry, ledger=url, out=tmp_path, depth=depth) as orc:
        began = asyncio.get_running_loop().time()
        run = await orc.run(Task(id="t", prompt="x", skills=("s",)))
        took = asyncio.get_running_loop().time() - began
        outcomes = {o.agent: o.error for o in orc.ledger.outcomes(run.run_id)}
    assert sorted(started) == ["hanging", "quick", "steady"]
    assert took < 0.3 + 0.3 + 2.0
    assert run.status in ("completed", "degraded")
    assert "quick" in run.answer
    assert "steady" in run.answer
    assert outcomes["quick"] is None
    assert "no answer within" in outcomes["hanging"]
    assert any("hanging failed" in words for words in run.degraded)
    assert len(run.decisions[-1].chosen) == 3


@pytest.mark.parametrize(
    "reply",
    [
        lambda: AgentReply(text="x", usage={"input_tokens": 2**63}),
        lambda: AgentReply(text="x", usage={"cost_usd": 1e308}),
        lambda: {"text": "x", "usage": {"output_tokens": 2**63}},
        lambda: {"text": "x", "usage": {"output_tokens": 10**12 + 1}},
        lambda: {"text": "x", "usage": {"input_tokens": 2**70}},
        lambda: {"text": "x", "usage": {"cpu_s": 1e300}},
    ],
)
async def test_an_absurd_usage_is_the_agents_own_failure(url, tmp_path, reply):
    registry = Registry()

    @registry.agent(skills=["count"], isolation="inline")
    def counter(call):
        """Counts what it used, badly."""
        return reply()

    task = Task(prompt="Count", skills=("count",))
    async with asyncio.timeout(20):
        async with Orchestrator(registry, ledger=url, out=tmp_path) as orc:
            for _ in range(2):
                run = await orc.run(task)
                assert run.status == "failed"
                assert any("counter failed" in words and "usage" in words for words in run.degraded)
                assert {o.tokens for o in orc.ledger.outcomes(run.run_id)} == {0}
            assert orc.ledger.verify().ok


async def test_the_largest_usage_is_recorded_and_summed(url, tmp_path):
    registry = Registry()

    @registry.agent(skills=["count"], isolation="inline")
    def counter(call):
        """Counts what it used."""
        usage = {"input_tokens": 10**12, "output_tokens": 10**12, "cost_usd": 1e9}
        return {"text": "x", "usage": usage}

    async with Orchestrator(registry, ledger=url, out=tmp_path, budget_usd=1e12) as orc:
        run = await orc.run(Task(prompt="Count", skills=("count",)))
    assert run.status == "completed"
    assert (run.usage.tokens, run.usage.cost_usd) == (2 * 10**12, 1e9)


@pytest.mark.parametrize("value", ["cut \ud83d", {"v": np.float32(0.5)}, {"v": np.arange(3)}])
async def test_a_reply_that_could_not_be_stored_ends_no_run(value, tmp_path):
    registry = Registry()

    @registry.agent(skills=["a"])
    def odd(call):
        """Answers oddly."""
        return value

    db = f"sqlite:///{tmp_path}/a.db"
    async with Orchestrator(registry, ledger=db, embedder="hashing") as orc:
        run = await orc.run(Task(id="a", prompt="x", skills=("a",)))
        assert run.status == "completed"
        assert orc.ledger.outcomes(run.run_id)[0].error is None
        assert registry.live.inflight.sum() == 0


async def test_what_a_listener_raises_is_logged_and_the_run_goes_on(tmp_path, caplog):
    registry = Registry()

    @registry.agent(skills=["a"])
    def fine(call):
        """Answers."""
        return "fine"

    def listens_badly(event):
        raise RuntimeError("the listener's own")

    db = f"sqlite:///{tmp_path}/a.db"
    async with Orchestrator(registry, ledger=db, embedder="hashing") as orc:
        run = await orc.run("anything", on_event=listens_badly)
        assert (run.status, run.answer) == ("completed", "fine")
        assert registry.live.inflight.sum() == 0
    assert "the listener's own" in caplog.text


@pytest.mark.parametrize("url", ["sqlite:///x.db", "sqlite:///~/x.db", "sqlite:///my%20data/x.db"])
async def test_a_ledger_is_found_however_its_url_is_written(url, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my data").mkdir()
    registry = Registry()
    registry.agent(name="alpha", description="Does the work", skills=["x"])(lambda call: "ok")
    async with Orchestrator(registry, ledger=url, embedder="hashing") as orc:
        await orc.run("do the work")
        learned = (await orc.route("do the work")).policy_version
    async with Orchestrator(registry, ledger=url, embedder="hashing").reading() as orc:
        assert (await orc.route("do the work")).policy_version == learned != "@0"


def test_options_of_a_ledgers_url_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"timeout=20.*sqlite:///q.db"):
        Orchestrator(Registry(), ledger="sqlite:///q.db?timeout=20")


async def test_a_router_of_ones_own_is_named_by_the_user_and_never_by_a_graph(
    tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "examples"))
    mine = "custom_router:RunningMean"
    graph = f"name: g\nrouter: '{mine}'\ntasks: [{{id: a, prompt: x}}]\n"
    (tmp_path / "g.yaml").write_text(graph)
    registry = Registry()
    registry.agent(name="alpha", description="Does the work", skills=["x"])(lambda call: "ok")
    db = f"sqlite:///{tmp_path}/a.db"
    async with Orchestrator(registry, router=mine, ledger=db, embedder="hashing") as orc:
        run = await orc.run("do the work")
        await orc.feedback(run.run_id, score=0.75)
        route = next(d for d in run.decisions if d.kind == "route")
        assert route.policy == mine
        policy = orc._session.policies.get(mine, trusted=True)
        assert policy.router.state_dict().meta["total"]["alpha"] == [0.75, 1.0]
        with pytest.raises(ConfigError, match="only your own configuration"):
            await orc.run(str(tmp_path / "g.yaml"))
    async with Orchestrator(registry, ledger=db, embedder="hashing") as orc:
        again = await orc.run("do the work", router=mine)
        assert next(d for d in again.decisions if d.kind == "route").policy == mine


# -- a row names the state that scored it ------------------------------------------------------


async def rebuilt_scores(ledger, embedder, **spec):
    """Of each routed row: what was recorded, and what the state of its version says today."""
    learner = Learner(make_router(spec or "linucb", embedder=embedder), ledger)
    records = [ledger.record(r.id) for r in ledger.rows(tables=("decisions",))]
    routed = [r for r in records if r.scores is not None]
    routed.sort(key=lambda r: int(r.decision.policy_version.removeprefix("@")))
    for rec in routed:
        learner.fold(int(rec.decision.policy_version.removeprefix("@")))
        yield rec, await learner.router.score(replace(rec.request, recorded=rec.scores.evidence))


async def fifty_runs(orc, work):
    """Fifty at once, and feedback on an earlier one all the while."""
    first = await orc.run(work, run_id="first")

    async def one(i):
        run = await orc.run(work, seed=i, run_id=f"r{i}")
        await orc.feedback(run.run_id, score=(i % 10) / 10)

    runs = asyncio.gather(*map(one, range(50)))
    while not runs.done():
        await orc.feedback(first.run_id, score=0.7)
        await asyncio.sleep(0.001)
    await runs


async def test_a_rows_version_reproduces_its_scores(registry, url, tmp_path, embedder):
    async with Orchestrator(
        registry, ledger=url, out=tmp_path, router="linucb", state=tmp_path, max_concurrency=50
    ) as orc:
        await fifty_runs(orc, TASKS)
        n, versions = 0, set()
        async for rec, now in rebuilt_scores(orc.ledger, embedder):
            np.testing.assert_allclose(now.mean, rec.scores.mean, atol=1e-6)
            np.testing.assert_allclose(now.bonus, rec.scores.bonus, atol=1e-6)
            n, versions = n + 1, versions | {rec.decision.policy_version}
    assert n == 102
    assert len(versions) > 2


async def test_a_version_is_of_the_scores_also_where_a_model_is_awaited(
    registry, url, tmp_path, embedder, monkeypatch
):
    """Rows are folded while a model thinks: what is recorded is of one state all the same."""
    asked = count()

    async def thinks(self, request, shown):
        n = next(asked)
        await asyncio.sleep(0.02 * n)
        name = str(request.candidates.names[shown][n % 2])
        choice = ModelChoice("it fits", (name,))
        said = f'{{"reason": "it fits", "agents": ["{name}"]}}'
        return Answer(choice, said, Usage(), "m", "json_object", 1)

    monkeypatch.setattr(ReasoningRouter, "_ask", thinks)
    monkeypatch.setattr(ReasoningRouter, "calls_model", True)
    spec = {"name": "ensemble", "members": ["linucb", "reasoning"]}
    async with Orchestrator(
        registry, ledger=url, out=tmp_path, router=spec, state=tmp_path, max_concurrency=50
    ) as orc:
        await fifty_runs(orc, TASKS[0])
        (learned,) = orc.learned()
        assert learned.counts["skipped"] == 0
        n = 0
        async for rec, now in rebuilt_scores(orc.ledger, embedder, **spec):
            np.testing.assert_allclose(now.mean, rec.scores.mean, atol=1e-6)
            np.testing.assert_allclose(now.bonus, rec.scores.bonus, atol=1e-6)
            n += 1
    assert n == 51


# -- opening ----------------------------------------------------------------------------------


async def test_another_embedder_on_an_old_ledger_runs_and_says_so(url, tmp_path, caplog):
    registry = Registry()
    for name in ("alpha", "beta"):
        registry.agent(name=name, description="Does the work", skills=["x"])(lambda call: "ok")
    more = {"ledger": url, "out": tmp_path, "state": tmp_path}
    async with Orchestrator(registry, embedder="hashing", **more) as orc:
        run = await orc.run("x")
        await orc.feedback(run.run_id, score=1.0)
    async with Orchestrator(registry, embedder="wordllama", **more) as orc:
        run = await orc.run("x")
        assert (run.status, run.degraded) == ("completed", ())
        assert (await orc.route("x")).chosen
        assert orc.learned()[0].counts["skipped"] == 0
    said = [r.getMessage() for r in caplog.records if "embedder" in r.getMessage()]
    assert len(said) == 1
    assert "are learned again with" in said[0]


async def test_opening_goes_on_from_what_closing_kept(registry, url, tmp_path, monkeypatch):
    monkeypatch.setattr("agentroute.learning.fold.WORTH_SAVING", 10)
    more = {"ledger": url, "out": tmp_path, "state": tmp_path / "state", "router": "linucb"}
    async with Orchestrator(registry, **more) as orc:
        for seed in range(3):
            await orc.run(TASKS, seed=seed)
        head, found = orc.ledger.head()[0], await orc.route("Refund order 8", skills=["refunds"])
        learned = orc.learned()[0]
    assert learned.counts["folded"] == 6
    folded = []
    monkeypatch.setattr(
        "agentroute.routers.linucb.router.LinUCB.update", lambda self, o: folded.append(o.seq)
    )
    orc = Orchestrator(registry, **more)
    async with orc.reading():
        again = await orc.route("Refund order 8", skills=["refunds"])
        assert orc.learned()[0].counts == learned.counts
    assert folded == []
    assert again.policy_version == found.policy_version == f"@{head}"
    assert again.ranked == found.ranked


async def test_feedback_that_a_router_cannot_learn_from_says_so(registry, url, tmp_path):
    async with Orchestrator(
        registry, ledger=url, out=tmp_path, router="linucb", state=tmp_path
    ) as orc:
        run = await orc.run(TASKS[0])
        router = orc._session.policies.get("linucb").router

        def refuses(observation):
            raise ValueError("not today")

        router.update = refuses
        said = await orc.feedback(run.run_id, score=1.0)
        assert (said["learned"], said["reason"]) == (False, "ValueError: not today")
        del router.update
        assert (await orc.run(TASKS[0])).status == "completed"
        assert (await orc.settle()) == orc.ledger.head()[0]
        (learned,) = orc.learned()
        assert learned.counts["skipped"] == 1
        assert learned.skipped == {said["seq"]: "ValueError: not today"}


async def test_many_tasks_are_routed_as_one_by_one(registry, tmp_path):
    texts = ["refund my order", "explain this invoice", "write a mail", "mail the customer", "hm"]
    url = f"sqlite:///{tmp_path}/a.db"
    async with Orchestrator(registry, ledger=url, out=tmp_path, embedder="hashing") as orc:
        for text in texts:
            run = await orc.run(Task(id="t", prompt=text, skills=("refunds",)))
            await orc.feedback(run.run_id, score=0.8)
        work = [Task(id=f"t{i}", prompt=text) for i, text in enumerate(texts)]
        alone = [await orc.route(t) for t in work]
        many = await orc.route_many(work)
        assert [f.chosen for f in many] == [f.chosen for f in alone]
        assert [[r.agent for r in f.ranked] for f in many] == [
            [r.agent for r in f.ranked] for f in alone
        ]
        (few,) = await orc.route_many(["refund my order"], top=1)
        assert len(few.ranked) <= 2 and few.candidates == 3
        left_out = ({"billing", "helpdesk", "writer"} - {r.agent for r in few.ranked}).pop()
        assert "not among" in few.why_not(left_out)
        with pytest.raises(NoCandidateError):
            await orc.route_many([*work, Task(id="x", prompt="x", skills=("nobody",))])
        assert await orc.route_many([]) == []
