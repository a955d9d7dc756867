"""A shape that is learned: Algorithm 1 until something is known, then what runs taught."""

from __future__ import annotations

import pytest

from agentroute import AgentReply, Orchestrator, Registry, Task
from agentroute.errors import ConfigError
from agentroute.model.ids import keyed_rng
from agentroute.model.objective import Objective
from agentroute.model.plans import Topology
from agentroute.model.tasks import TaskGraph
from agentroute.planning.selecting import make_selector
from agentroute.planning.selecting.selector import redraw
from agentroute.planning.topology import choose_topology

# PARALLEL by A4: four tasks, r 0.75, gamma 0.3.
FAN = [
    Task(id="read", prompt="read the log", skills=("s",)),
    *(
        Task(id=v, prompt=f"what broke, {v}", skills=("s",), depends_on=["read"])
        for v in ("a", "b", "c")
    ),
]
LEARNED = {"name": "learned", "exploration": 0.5}


@pytest.fixture
def opened(tmp_path):
    def make(**options):
        registry = Registry()

        @registry.agent(name="worker", skills=["s"])
        def worker(call):
            return AgentReply(text=call.task.id)

        made = {"ledger": f"sqlite:///{tmp_path}/a.db", "out": tmp_path, "topology": "learned"}
        return Orchestrator(registry, **(made | options))

    return make


def first(run):
    return next(d for d in run.decisions if d.kind == "topology")


async def test_before_anything_is_known_it_is_algorithm_1(opened):
    async with opened() as orc:
        run = await orc.run(FAN, seed=1)
        row = first(run)
        context = orc.ledger.record(row.id).context
    assert (row.policy, row.chosen, run.topology) == ("learned", ("parallel",), "parallel")
    assert row.propensity == pytest.approx(1 - 0.05 + 0.05 / 5)
    assert "Algorithm 1's parallel 0.550 (A4" in row.reason
    assert sum(context["propensities"]) == pytest.approx(1.0)
    assert set(context["shapes"]) == {t.value for t in Topology}
    for i, mean in enumerate(context["mean"]):
        assert sum(t[i] for t in context["terms"].values()) == pytest.approx(mean)
    assert context["stats"]["omega"] == 3


async def test_without_the_setting_the_rule_decides_for_certain(opened):
    async with opened(topology="auto") as orc:
        row = first(await orc.run(FAN))
    assert (row.policy, row.propensity) == ("adaptorch", 1.0)


async def test_a_shape_in_the_settings_is_obeyed_and_a_graph_stands_over_it(opened):
    async with opened(topology="sequential") as orc:
        assert (await orc.run(FAN)).topology == "sequential"
        plan = orc.plan(FAN)
    assert plan.choice.branch == "override"


async def test_it_learns_the_shape_that_users_score_higher(opened):
    def worth(shape):
        return {"hybrid": 0.9, "parallel": 0.3}.get(shape, 0.4)

    async with opened(topology=LEARNED) as orc:
        seen = []
        for i in range(90):
            run = await orc.run(FAN, run_id=f"run-{i}")
            seen.append(run.topology)
            await orc.feedback(run.run_id, score=worth(run.topology))
        context = orc.ledger.record(first(run).id).context
    assert seen[:20].count("parallel") >= 8
    assert seen[-30:].count("hybrid") >= 14
    expected = dict(zip(context["shapes"], context["mean"], strict=True))
    assert max(expected, key=expected.get) == "hybrid"
    assert context["judged"] == 89


async def test_a_failed_run_counts_zero_without_a_word(tmp_path):
    registry = Registry()

    @registry.agent(name="worker", skills=["s"])
    def worker(call):
        raise RuntimeError("no")

    async with Orchestrator(
        registry, ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path, topology="learned"
    ) as orc:
        await orc.run(FAN)
        await orc.run(FAN)
        row = orc.ledger.decisions(orc.ledger.runs(1)[0].run_id)
        context = orc.ledger.record(next(d for d in row if d.kind == "topology").id).context
    assert context["judged"] == 1
    expected = dict(zip(context["shapes"], context["mean"], strict=True))
    assert expected["parallel"] < expected["hybrid"] < 0.5


async def test_each_draw_can_be_taken_again_bit_equal(opened):
    from agentroute.learning.shaping import ShapeLearner

    async with opened(topology=LEARNED) as orc:
        for i in range(25):
            run = await orc.run(FAN, run_id=f"run-{i}")
            await orc.feedback(run.run_id, score=0.2 + 0.6 * (run.topology == "single"))
    async with opened(topology=LEARNED) as orc:
        learner = ShapeLearner(orc.ledger, make_selector(LEARNED))
        rows = orc.ledger.query("SELECT id FROM decisions WHERE kind = 'topology' ORDER BY seq")
        for (decision_id,) in rows:
            record = orc.ledger.record(decision_id)
            d = record.decision
            learner.fold(int(d.policy_version.partition("@")[2]))
            rng = keyed_rng(d.seed, d.run_id, "", "topology", 1)
            shape, choice, scores = redraw(record.context, learner.model, rng)
            assert (shape.value, choice.propensity) == (d.chosen[0], d.propensity)
            assert scores.mean.tolist() == record.context["mean"]
        assert len(rows) == 25


async def test_a_resumed_run_keeps_the_shape_it_drew(opened):
    async with opened(topology={"name": "learned", "exploration": 1.0}) as orc:
        run = await orc.run(FAN, seed=3)
        again = await orc.run(None, resume=run.run_id)
        assert first(again).id == first(run).id
        assert again.topology == run.topology


async def test_a_task_that_names_an_agent_of_its_own_is_not_run_as_one(opened):
    pinned = [*FAN[:-1], FAN[-1].model_copy(update={"agent": "worker"})]
    async with opened() as orc:
        context = orc.ledger.record(first(await orc.run(pinned)).id).context
    assert "single" not in context["shapes"]


async def test_a_graph_of_a_host_draws_its_shape_too(opened):
    anything = {"name": "learned", "exploration": 1.0}
    async with opened(topology=anything, planner=lambda text: FAN) as orc:
        seen = set()
        for i in range(8):
            out = await orc.as_graph().ainvoke({"task": "find out", "run_id": f"run-{i}"})
            rows = orc.ledger.decisions(out["run_id"])
            row = next(d for d in rows if d.kind == "topology")
            assert row.chosen == (out["result"]["topology"],)
            seen.add((row.policy, row.chosen))
        assert len(seen) > 1
        assert {policy for policy, _ in seen} == {"learned"}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("hybird", "unknown topology 'hybird'"),
        ({"name": "learned", "alfa": 1}, "has no 'alfa'"),
        ({"name": "learned", "lift": 2}, "from 0 to 1"),
        ({"name": "hybrid", "lift": 0.1}, "has no 'lift'"),
    ],
)
def test_a_bad_spec_is_said_while_building(opened, spec, said):
    with pytest.raises(ConfigError, match=said):
        opened(topology=spec)


def test_time_counts_where_the_objective_weighs_it():
    model, stats = make_selector("learned").model(), choose_topology(TaskGraph(FAN)).stats
    for i in range(60):
        shape = list(Topology)[i % 5]
        took = 2.0 if shape is Topology.PARALLEL else 9.0
        model.update(stats, shape, Topology.PARALLEL, quality=0.7, usage=(0.0, took + i % 3))
    shapes = tuple(Topology)
    best = {}
    for weights in ((1.0, 0.0, 0.0), (1.0, 0.0, 1.0)):
        scores = model.scores(stats, shapes, Topology.HYBRID, Objective(*weights))
        best[weights] = shapes[int((scores.mean + scores.bonus).argmax())]
        assert sum(scores.terms.values()) == pytest.approx(scores.mean)
    assert best[1.0, 0.0, 1.0] is Topology.PARALLEL
    assert best[1.0, 0.0, 0.0] is not Topology.PARALLEL
