"""The worth of a shape: the simulated worlds mean what they say, and who picks better in them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from agentroute import AgentReply, Orchestrator, Registry
from agentroute.bench.shapes.contest import NAMES, ORACLE, contest
from agentroute.bench.shapes.makespan import makespans
from agentroute.bench.topology import contest_goals
from agentroute.cli.app import app
from agentroute.evaluation.worlds.shapeworld import Instance, World, play, votes
from agentroute.model.plans import Topology
from agentroute.planning.shapes import shape_of

EDGES = [(0, 1), (1, 2), (0, 3), (2, 4), (3, 4)]
KIND = World(
    skill=0.9, miss=0.0, noise=0.0, handover=0.0, inherit=0.0, overload=0.0, catch=0.0, lead_s=0.0
)


def instance(world=KIND, seed=0):
    rng = np.random.default_rng(seed)
    x = Instance.drawn(5, EDGES, world, rng)
    return x, rng.random((4_000, 3, 5)), rng


def qualities(world):
    x, draws, _ = instance(world)
    return {s.value: float(play(x, s, world, draws).quality.mean()) for s in Topology}


def test_where_nothing_is_lost_every_shape_is_as_good_and_time_is_what_differs():
    assert len(set(qualities(KIND).values())) == 1
    x, draws, _ = instance()
    took = {s.value: play(x, s, KIND, draws).seconds for s in Topology}
    assert took["sequential"] == took["single"] == pytest.approx(x.seconds.sum())
    assert took["hybrid"] == took["parallel"] < took["hierarchical"] < took["sequential"]


def test_each_loss_hits_the_shape_that_it_is_about():
    assert (
        qualities(replace(KIND, miss=0.5))["hybrid"]
        > qualities(replace(KIND, miss=0.5))["parallel"]
    )
    noisy = qualities(replace(KIND, noise=0.2))
    assert noisy["single"] > noisy["parallel"] > noisy["sequential"]
    lossy = qualities(replace(KIND, handover=0.3))
    assert lossy["single"] > lossy["hybrid"]
    assert qualities(replace(KIND, overload=0.2))["single"] < qualities(KIND)["single"]
    assert qualities(replace(KIND, catch=0.8))["hierarchical"] > qualities(KIND)["hierarchical"]


def test_a_vote_of_one_is_single_and_more_help_where_most_are_right():
    x, draws, rng = instance()
    alone = play(x, Topology.SINGLE, KIND, draws)
    one, many = (votes(x, KIND, k, tries=4_000, rng=rng) for k in (1, 7))
    assert one.quality.mean() == pytest.approx(alone.quality.mean(), abs=0.02)
    assert many.tokens == 7 * one.tokens
    assert many.quality.mean() >= one.quality.mean()


@pytest.mark.parametrize("shape", ["parallel", "sequential", "hierarchical", "hybrid"])
async def test_what_a_task_sees_in_a_world_is_what_it_is_given_in_a_run(tmp_path, shape):
    x, _, _ = instance()
    given = {}
    registry = Registry()

    @registry.agent(name="worker", skills=["s"])
    def worker(call):
        given[call.task.id] = {*call.inputs, *(v for v, _ in call.transcript)}
        return AgentReply(text=call.task.id)

    work = [t.model_copy(update={"skills": ("s",)}) for t in x.graph]
    async with Orchestrator(
        registry, ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path, topology=shape
    ) as orc:
        run = await orc.run(work)
    assert run.topology == shape
    of = shape_of(Topology(shape))
    for v in x.graph.order:
        assert given[v] == {*of.sees(x.graph, v), *of.heard(x.graph, v)}


@pytest.mark.checklist("AO10", simulated=True)
def test_the_learned_shape_beats_most_fixed_ones_soon():
    """300 graphs in each of ten worlds; the whole claim is the slow test below."""
    balanced, quality = contest(seeds=range(10), runs=300)
    for c, others in (
        (balanced, ("single", "sequential", "hierarchical", "self-consistency")),
        (quality, ("single", "parallel", "sequential", "self-consistency")),
    ):
        for other in others:
            assert c.gap("learned", other)[1] > 0, (c.objective, other)
        for who in NAMES:
            assert c.gap(ORACLE, who)[0] >= 0
    assert 0 < balanced.share(balanced.best, Topology.SINGLE) < 0.5
    assert sum(balanced.picked.values()) == 3_000


@pytest.mark.slow
@pytest.mark.checklist("AO10", simulated=True)
def test_the_learned_shape_beats_every_fixed_one():
    found = contest_goals()
    held = [g for g in found if g.limit is not None]
    assert len(held) == 6
    assert [g.name for g in held if not g.ok] == []


def graphs(folder, *rows):
    file = folder / "g.jsonl"
    file.write_text("\n".join(json.dumps({"task": n, "nodes": v, "edges": e}) for n, v, e in rows))
    return file


UNEVEN = ("u", list("stuvwx"), [["START", 1], [1, 2], [2, 3], [1, 4], [4, 5], [1, 6]])


def test_a_hybrid_run_takes_little_more_than_its_critical_path(tmp_path):
    """On one graph; ``bench topology`` takes the ten real ones that barriers would cost most."""
    for m in makespans(graphs(tmp_path, UNEVEN)):
        assert m.path <= m.hybrid < 1.2 * (m.path + m.tasks * m.node)
        assert m.hybrid < 1.05 * m.layered


def test_the_bench_runs_from_the_command_line_on_graphs_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setattr("agentroute.bench.topology.SIZES", (100, 1_000))
    monkeypatch.setattr("agentroute.bench.shapes.makespan.REPEATS", 1)
    rows = [("a", ["x", "y", "z"], [["START", 1], [1, 2], [1, 3]]), ("b", ["x", "y"], [])]
    file = graphs(tmp_path, *rows)
    words = ["bench", "topology", str(file), "--seeds", "2", "--runs", "6", "--dags", "1", "--json"]
    shown = json.loads(CliRunner().invoke(app, words).stdout)
    names = [r["name"] for r in shown]
    assert "balanced: oracle" in names
    assert any(n.startswith("learned less self-consistency") for n in names)
    assert any(n.startswith("analysis of 1,000 tasks") for n in names)
