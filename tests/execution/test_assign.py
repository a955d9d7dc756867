"""Items of a ``foreach`` that are given to agents together: capacity, order, rows, resume."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from agentroute import Orchestrator, Registry
from agentroute.choosing.state import StateDict
from agentroute.cli.app import app
from agentroute.errors import ConfigError, GraphError
from agentroute.model.scores import Scores, Taxonomy
from agentroute.planning.graphfile import make_plan, parse_graph

TEXT = """
name: batch
inputs: {xs: {type: yaml-list}}
tasks:
  - {id: ask, prompt: "do ${item}", skills: [s], foreach: "${inputs.xs}", assign: true}
"""


class Table:
    """Scores by task id and agent, as a table that hypothesis draws says."""

    name = "table"
    taxonomy = Taxonomy("before", ("task",), "rules")
    learns = False

    def __init__(self, table):
        self.table, self.batches = table, []

    def _one(self, request):
        row = self.table[request.task.params["index"] % len(self.table)]
        mean = np.array([row[str(a)] for a in request.candidates.names])
        return Scores(mean, np.zeros(len(mean)), {"table": mean})

    async def score(self, request):
        return self._one(request)

    async def score_many(self, requests):
        self.batches.append(len(requests))
        return [self._one(r) for r in requests]

    def update(self, observation):
        """Learns nothing."""

    def state_dict(self):
        return StateDict(kind="table", version=1, arrays={}, meta={})

    def load_state_dict(self, state):
        """Nothing to load."""


class Shop:
    """Agents with limits, who count how many of their calls go on at a time."""

    def __init__(self, limits, *, broken=()):
        self.registry, self.most = Registry(), Counter()
        self.now, self.calls = Counter(), []
        for name, limit in limits.items():
            self._add(name, limit, name in broken)

    def _add(self, name, limit, broken):
        async def work(call):
            self.now[name] += 1
            self.calls.append((name, call.task.id))
            self.most[name] = max(self.most[name], self.now[name])
            await asyncio.sleep(0.001)
            self.now[name] -= 1
            if broken:
                raise ValueError("is broken")
            return f"{name} did {call.task.id}"

        card = {"limits": {"max_concurrency": limit, "max_attempts": 1}}
        self.registry.agent(name=name, description=name, skills=["s"], **card)(work)


def opened(shop, router, folder, **more):
    return Orchestrator(
        shop.registry, router=router, ledger=f"sqlite:///{folder}/l.db", out=folder / "out",
        state=folder / "state", embedder="hashing", max_concurrency=100, **more,
    )  # fmt: skip


def plan(n, text=TEXT):
    return make_plan(parse_graph(text), {"xs": list(range(n))})


def routes(run):
    return [d for d in run.decisions if d.kind == "route"]


agents = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 3), min_size=1)


@settings(max_examples=20, deadline=None)
@given(limits=agents, n=st.integers(1, 12), seed=st.integers(0, 999), eps=st.sampled_from([0, 0.5]))
def test_each_item_once_in_order_and_never_above_a_limit(
    tmp_path_factory, limits, n, seed, eps
):  # fmt: skip
    rng = np.random.default_rng(seed)
    table = [{a: float(rng.random()) for a in "abcd"} for _ in range(n)]
    shop, router = Shop(limits), Table(table)

    async def go():
        folder = tmp_path_factory.mktemp("assign")
        async with opened(shop, router, folder, exploration=eps, seed=seed) as orc:
            run = await orc.run(plan(n))
            rows = orc.ledger.query("SELECT min(seq) FROM outcomes")
            records = [orc.ledger.record(d.id) for d in routes(run)]
            return run, records, next(iter(rows))[0]

    run, records, called = asyncio.run(go())
    assert run.status == "completed"
    assert Counter(v for _, v in shop.calls) == Counter(f"ask[{i}]" for i in range(n))
    assert all(shop.most[a] <= limit for a, limit in limits.items())
    assert router.batches == ([n] if n > 1 else [])
    assert [d.seq < called for d in routes(run)] == [True] * n  # all rows before any call
    said = [r["text"] if isinstance(r, dict) else r.text for r in run.results.values()]
    assert [s.rpartition(" ")[2] for s in said] == [f"ask[{i}]" for i in range(n)]
    for wave in range(n):
        inside = [r.decision.chosen[0] for r in records if r.context["assign"]["wave"] == wave]
        assert all(inside.count(a) <= limit for a, limit in limits.items())
    for r in records:
        assert r.propensities.sum() == pytest.approx(1.0)
        assert r.scores is not None and 0.0 < r.decision.propensity <= 1.0
        if eps == 0:
            assert r.decision.propensity == 1.0


async def test_an_agent_takes_the_items_on_which_its_advantage_is_largest(tmp_path):
    table = [{"a": 0.9, "b": 0.85}, {"a": 0.8, "b": 0.2}]  # both prefer a; the second needs it
    shop = Shop({"a": 1, "b": 1})
    async with opened(shop, Table(table), tmp_path, exploration=0.0) as orc:
        text = TEXT.replace("assign: true", "assign: {by: expert, wait: 0.3}")
        run = await orc.run(plan(2, text))
        first, second = routes(run)
        said = orc.ledger.explain(first.id).headline
    assert (first.chosen, second.chosen) == (("b",), ("a",))
    assert "alone it would have gone to a" in first.reason
    assert "assigned together" in said


async def test_an_item_waits_where_the_next_best_is_worse_than_waiting(tmp_path):
    table = [{"a": 0.9, "b": 0.1}, {"a": 0.9, "b": 0.1}]
    shop = Shop({"a": 1, "b": 1})
    async with opened(shop, Table(table), tmp_path, exploration=0.0) as orc:
        run = await orc.run(plan(2))
        waves = [orc.ledger.record(d.id).context["assign"]["wave"] for d in routes(run)]
    assert [d.chosen for d in routes(run)] == [("a",), ("a",)]
    assert waves == [0, 1]
    assert shop.most["a"] == 1


async def test_an_agent_that_fails_is_left_to_the_retry_loop(tmp_path):
    table = [{"a": 0.9, "b": 0.5}]
    shop = Shop({"a": 2, "b": 2}, broken={"a"})
    async with opened(shop, Table(table), tmp_path, exploration=0.0) as orc:
        run = await orc.run(plan(2))
    assert [(d.task_id, d.attempt, d.chosen) for d in sorted(routes(run), key=lambda d: (
        d.attempt, d.task_id))] == [
        ("ask[0]", 1, ("a",)), ("ask[1]", 1, ("a",)),
        ("ask[0]", 2, ("b",)), ("ask[1]", 2, ("b",)),
    ]  # fmt: skip
    assert [r.agent for r in run.results.values()] == ["b", "b"]


@pytest.mark.parametrize("kept", [0, 2, 5])
async def test_a_resume_decides_nothing_twice(tmp_path, kept):
    class Stop(BaseException):
        """The end of the process: no handler of the product may catch it."""

    table = [{"a": 0.9 - 0.1 * i, "b": 0.5} for i in range(5)]
    shop = Shop({"a": 1, "b": 1})
    async with opened(shop, Table(table), tmp_path) as orc:
        real, n = orc.ledger.append, Counter()

        def append(row, **more):
            if getattr(getattr(row, "decision", None), "kind", "") == "route":
                n["routes"] += 1
                if n["routes"] > kept:
                    raise Stop
            elif n["routes"] and type(row).__name__ == "Outcome":
                raise Stop
            return real(row, **more)

        orc.ledger.append = append
        with pytest.raises(BaseException):  # noqa: B017
            await orc.run(plan(5), run_id="r1")
        before = {d.task_id: d for d in orc.ledger.decisions("r1") if d.kind == "route"}
    assert len(before) <= kept
    async with opened(shop, Table(table), tmp_path) as orc:
        run = await orc.run(None, resume="r1")
    now = routes(run)
    assert Counter(d.task_id for d in now) == Counter(f"ask[{i}]" for i in range(5))
    assert {v: d.id for v, d in before.items()} == {
        d.task_id: d.id for d in now if d.task_id in before
    }
    assert run.status == "completed"


async def test_propensities_are_what_the_draws_say(tmp_path):
    """Over many seeds the share in which an item goes to an agent is its mean propensity."""
    table = [{"a": 0.9, "b": 0.85, "c": 0.1}, {"a": 0.8, "b": 0.2, "c": 0.1}, {"a": 0.7, "b": 0.6,
             "c": 0.5}]  # fmt: skip
    shop, got, said = Shop({"a": 1, "b": 1, "c": 1}), Counter(), Counter()
    text = TEXT.replace("assign: true", "assign: {wait: 0.2}")
    weighed = []
    async with opened(shop, Table(table), tmp_path, exploration=0.4) as orc:
        for seed in range(150):
            run = await orc.run(plan(3, text), run_id=f"r{seed}", seed=seed)
            for d in routes(run):
                record = orc.ledger.record(d.id)
                names = [str(a) for a in record.request.candidates.names]
                assert record.propensities[names.index(d.chosen[0])] == pytest.approx(d.propensity)
                got[d.task_id, d.chosen[0]] += 1
                for a, p in zip(names, record.propensities, strict=True):
                    said[d.task_id, a] += p
                weighed.append((d.chosen[0] == "c") / d.propensity)
    for key, expected in said.items():
        assert abs(got[key] - expected) < 4.5 * np.sqrt(expected * (1 - expected / 150) + 1)
    assert np.mean(weighed) == pytest.approx(1.0, abs=0.35)  # an estimate by weights: all ask c


AROUND = """
name: around
topology: {topology}
inputs: {{xs: {{type: yaml-list}}}}
tasks:
  - {{id: first, prompt: prepare, skills: [s]}}
  - {{id: ask, prompt: "do ${{item}}", skills: [s], depends_on: {{first: 0.9}},
      foreach: "${{inputs.xs}}", assign: true}}
  - {{id: last, prompt: join, skills: [s], depends_on: {{ask: 0.9}}}}
"""


@pytest.mark.parametrize("topology", ["hybrid", "parallel", "sequential", "hierarchical", "single"])
async def test_in_every_shape_after_what_the_items_wait_for(tmp_path, topology):
    shop = Shop({"a": 1, "b": 2})
    async with opened(shop, "linucb", tmp_path) as orc:
        run = await orc.run(plan(5, AROUND.format(topology=topology)))
        got = {d.task_id: orc.ledger.record(d.id) for d in routes(run)}
    assert run.status == "completed"
    if topology == "single":  # one task in one prompt: there is nothing to deal
        assert list(got) == ["all"]
        return
    items = [r for v, r in got.items() if v.startswith("ask[")]
    assert {r.context["assign"]["of"] for r in items} == {5}
    assert got["first"].decision.seq < min(r.decision.seq for r in items)
    assert "assign" not in got["last"].context
    assert all(r.request.upstream == got["first"].decision.chosen for r in items)


async def test_pinned_items_take_their_places_first(tmp_path):
    text = TEXT.replace("skills: [s]", 'skills: [s], agent: "${item}"')
    shop = Shop({"a": 1, "b": 1})
    table = [{"a": 0.9, "b": 0.88}]
    async with opened(shop, Table(table), tmp_path, exploration=0.0) as orc:
        run = await orc.run(make_plan(parse_graph(text), {"xs": ["a", ""]}))
    assert [(d.task_id, d.chosen, d.policy) for d in sorted(routes(run), key=lambda d: d.task_id)
            ] == [("ask[0]", ("a",), "pinned"), ("ask[1]", ("b",), "table")]  # fmt: skip


async def test_a_batch_that_cannot_be_scored_is_decided_alone_and_says_so(tmp_path):
    class Single(Table):
        async def score_many(self, requests):
            raise ValueError("not so many")

    shop = Shop({"a": 1, "b": 1})
    async with opened(shop, Single([{"a": 0.9, "b": 0.1}]), tmp_path) as orc:
        run = await orc.run(plan(2))
    assert run.status == "completed"
    assert all("decided alone: its batch could not be scored" in d.reason for d in routes(run))


async def test_an_agent_on_trial_gets_one_item(tmp_path):
    shop = Shop({"a": 3, "b": 3})
    async with opened(shop, Table([{"a": 0.9, "b": 0.1}]), tmp_path, exploration=0.0) as orc:
        for _ in range(3):
            shop.registry.live.observe(
                "a", cost_usd=0.0, latency_s=0.1, error=True, at_s=0.0, cooldown_s=1.0
            )
        run = await orc.run(plan(4))
        other = next(d for d in routes(run) if d.chosen == ("b",))
        why = orc.ledger.explain(other.id, why_not="a").why_not
    assert Counter(d.chosen for d in routes(run)) == {("a",): 1, ("b",): 3}
    assert "items that gain more by it" in why.sentence


@pytest.mark.parametrize("eps", [0.0, 0.2])
async def test_canaries_get_a_tenth_and_their_own_chance_is_said(tmp_path, eps):
    shop, n = Shop({"a": 2, "b": 2}), 40
    shop.registry.agent(
        name="c", description="c", skills=["s"], status="canary", limits={"max_concurrency": 2}
    )(lambda call: "c")
    table = Table([{"a": 0.5, "b": 0.4, "c": 0.9}])
    async with opened(shop, table, tmp_path, exploration=eps, seed=3) as orc:
        run = await orc.run(plan(n), run_id="r")
        records = [orc.ledger.record(d.id) for d in routes(run)]
    for r in records:
        at = list(map(str, r.request.candidates.names)).index("c")
        assert r.propensities[at] == pytest.approx(0.1 * (1 - eps + eps / 3))
        assert r.propensities.sum() == pytest.approx(1.0)
    assert 0 < sum(d.chosen == ("c",) for d in routes(run)) < n / 3


def test_inside_a_langgraph_app(tmp_path):
    shop = Shop({"a": 1, "b": 2})

    async def go():
        async with opened(shop, "linucb", tmp_path) as orc:
            graph = orc.as_graph(plan(5))
            out = await graph.ainvoke({"task": "all of them"})
            return [orc.ledger.record(d.id) for d in orc.ledger.decisions(out["run_id"])
                    if d.kind == "route"]  # fmt: skip

    records = asyncio.run(go())
    assert [r.context["assign"]["of"] for r in records] == [5] * 5
    assert all(shop.most[a] <= limit for a, limit in {"a": 1, "b": 2}.items())


def test_a_plan_whose_batches_do_not_fit_is_refused():
    made = plan(2)
    data = made.model_dump(mode="json")
    assert type(made).model_validate(data) == made
    data["batches"][0]["items"].append("nobody")
    with pytest.raises(ValueError, match="batches must name tasks"):
        type(made).model_validate(data)


def test_replay_deals_the_batch_again(tmp_path):
    shop = Shop({"a": 1, "b": 2, "c": 1})

    async def go():
        async with opened(shop, "linucb", tmp_path, exploration=0.3) as orc:
            for _ in range(3):
                run = await orc.run(plan(7))
                await orc.feedback(run.run_id, score=0.7)

    asyncio.run(go())
    config = tmp_path / "agentroute.yaml"
    config.write_text("embedder: hashing\nexploration: 0.3\nrouter: linucb\n")
    command = ["replay", "--db", f"sqlite:///{tmp_path}/l.db", "--config", str(config), "--json"]
    done = CliRunner().invoke(app, command)
    found = json.loads(done.stdout)
    assert (done.exit_code, found["decisions"], found["agreed"]) == (0, 21, 21)
    other = tmp_path / "other.yaml"
    other.write_text("name: uniform\n")
    done = CliRunner().invoke(app, [*command, "--policy", str(other)])
    assert (done.exit_code, json.loads(done.stdout)["decisions"]) == (0, 21)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"foreach": None}, "needs foreach"),
        ({"depth": "overlap"}, "one agent"),
        ({"assign": {"by": "luck"}}, "expert"),
        ({"assign": {"wait": 2}}, "less than or equal to 1"),
    ],
)
def test_graphs_check_refuses(tmp_path, change, said):
    graph = yaml.safe_load(TEXT)
    task = graph["tasks"][0] | change
    if task["foreach"] is None:
        task = {k: v for k, v in task.items() if k != "foreach"} | {"prompt": "do it"}
    path = tmp_path / "g.yaml"
    path.write_text(yaml.safe_dump(graph | {"tasks": [task]}))
    done = CliRunner().invoke(app, ["graphs", "check", str(path)])
    assert isinstance(done.exception, GraphError)
    assert done.exception.exit_code == 3
    assert said in str(done.exception)
    with pytest.raises(GraphError):
        parse_graph(path.read_text())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"depth": {"name": "fixed", "k": 2}}, "one agent"),
        ({"router": {"name": "linucb", "exploration": "proportional"}}, "epsilon"),
    ],
)
async def test_settings_that_cannot_deal_are_refused_before_any_call(tmp_path, more, said):
    shop = Shop({"a": 1})
    async with opened(shop, more.pop("router", "uniform"), tmp_path, **more) as orc:
        with pytest.raises(ConfigError, match=said):
            await orc.run(plan(2))
    assert not shop.calls
