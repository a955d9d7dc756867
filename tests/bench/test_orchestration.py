import asyncio
import time

import pytest

from agentroute.bench.loops import longest_block_s
from agentroute.bench.orchestration import (
    bench_orchestration,
    critical_path_s,
    seeded_dag,
    shapes,
)
from agentroute.bench.peers import bare_graph


def test_the_bench_tells_of_each_shape_and_kind():
    rows = bench_orchestration(nodes=4, blocks=1, dags=1)
    names = [g.name for g in rows]
    for shape in ("fan", "chain", "diamond"):
        for kind in ("bare LangGraph", "pinned", "among 10", "among 100"):
            assert f"{shape} of 4, {kind}: CPU a node" in names
    makespan = next(g for g in rows if g.name.startswith("hybrid makespan"))
    assert 1.0 <= makespan.value < 3.0
    assert all(g.value > 0 for g in rows if g.unit == "ms")


def test_the_shapes_have_their_edges():
    found = shapes(5)
    assert [len(p) for p in found["fan"].values()] == [0, 0, 0, 0, 0]
    assert [list(p) for p in found["chain"].values()] == [[], ["t0"], ["t1"], ["t2"], ["t3"]]
    assert list(found["diamond"]["t4"]) == ["t1", "t2", "t3"]


def test_the_critical_path_is_the_longest():
    parents = {"a": (), "b": ("a",), "c": (), "d": ("b", "c")}
    assert critical_path_s(parents, {"a": 1.0, "b": 2.0, "c": 9.0, "d": 0.5}) == 9.5
    parents, seconds = seeded_dag(3)
    assert seeded_dag(3)[1] == seconds
    assert max(seconds.values()) < critical_path_s(parents, seconds) < sum(seconds.values())


def test_a_bare_graph_runs_every_task_after_its_inputs():
    parents, seen = dict(seeded_dag(1)[0]), []

    async def work(task):
        assert set(parents[task]) <= set(seen)
        seen.append(task)

    asyncio.run(bare_graph(parents, work).ainvoke({"n": 0}, {"recursion_limit": 200}))
    assert sorted(seen) == sorted(parents)


def test_the_longest_block_is_cpu_of_one_callback():
    def spin(seconds):
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass  # burns CPU, which is what is measured

    async def work():
        spin(0.03)
        await asyncio.sleep(0.1)  # waits, and blocks nobody
        spin(0.01)

    assert longest_block_s(work()) == pytest.approx(0.03, abs=0.01)
