"""Many runs, many broken agents: every run ends, in words, in time, and nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from agentroute.config.paths import Place
from agentroute.execution.progress import RunLimits
from agentroute.planning.graphfile import plan_of_text
from agentroute.registry.registry import Registry

CODE = """
import os, signal, time, random
def fine(call):
    return "fine"
def broken(call):
    raise RuntimeError("broken")
def hanging(call):
    while True:
        time.sleep(1)
def garbage(call):
    return 7
def oversize(call):
    return "x" * 20_000_000
def dying(call):
    os.kill(os.getpid(), signal.SIGKILL)
"""
MIX = ["broken"] * 6 + ["hanging"] * 2 + ["garbage", "oversize"] + ["dying"] + ["fine"] * 9


def staff(world, folder, mix):
    """One card file an agent: entry points in real worker processes."""
    (folder / "mix.py").write_text(CODE)
    for i, kind in enumerate(mix):
        file = folder / f"a{i:02d}_{kind}.yaml"
        file.write_text(
            f"name: a{i:02d}_{kind}\ndescription: {kind}\nskills: [{{id: s}}]\n"
            f"entrypoint: mix.py:{kind}\nlimits: {{timeout_s: 0.4, max_attempts: 1}}\n"
        )
    world.registry = Registry([Place(folder, "test")])


def children():
    me = str(os.getpid())
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if fields[1] == me and fields[0] != "Z":
            found.append(stat.parent.name)
    return set(found)


async def storm(world, n, mix, seed):
    rng = random.Random(seed)
    names = [f"a{i:02d}_{kind}" for i, kind in enumerate(mix)]
    executor = world.executor()
    results = []

    async def one(i):
        world.router.script[f"task{i}"] = rng.choice(names)
        began = time.perf_counter()
        plan = plan_of_text("do it", id=f"task{i}", skills=("s",))
        results.append(
            (await executor.run(plan, bounds=RunLimits(seconds=20)), time.perf_counter() - began)
        )

    for start in range(0, n, 4):
        await asyncio.gather(*(one(i) for i in range(start, min(start + 4, n))))
    return results


@pytest.mark.parametrize(("n", "seed"), [(8, 1), pytest.param(500, 2, marks=pytest.mark.slow)])
async def test_a_mix_of_faults_ends_every_run(world, tmp_path, n, seed):
    folder = tmp_path / "agents"
    folder.mkdir()
    before = children()
    mix = random.Random(seed).sample(MIX, len(MIX))
    staff(world, folder, mix)
    results = await storm(world, n, mix, seed)
    assert len(results) == n
    for result, took in results:
        assert took < 21
        assert result.status in ("completed", "degraded", "failed")
        assert result.status == "completed" or result.degraded
    done = sum(r.status in ("completed", "degraded") for r, _ in results)
    assert done >= 0.99 * n
    await world.executors[-1].aclose()
    assert children() <= before


async def test_cancelling_at_any_time_leaves_no_process(world, tmp_path):
    folder = tmp_path / "agents"
    folder.mkdir()
    before = children()
    staff(world, folder, ["hanging", "fine"])
    executor = world.executor()
    rng = random.Random(0)
    for i in range(8):
        plan = plan_of_text("do it", id=f"t{i}", skills=("s",))
        task = asyncio.create_task(executor.run(plan, run_id=f"r{i}"))
        await asyncio.sleep(rng.uniform(0, 0.4))
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            continue
    await executor.aclose()
    assert children() <= before
    for i in range(8):
        world.ledger.take_lease(f"r{i}").release()  # every lease was given back
