"""What weighing cost does to tasks in rounds: quality, cost, calls and reward by ``alpha``.

Simulated agents, but the runs are the product's: an ``Orchestrator`` with the shipped router and a
ledger on the disk, which is told after each task who was right. The first third of the tasks of a
seed is for learning and is not counted.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from agentroute.bench.goals import Goal
from agentroute.choosing.depth.rounds.reward import CostWindow, hierarchical
from agentroute.evaluation.metrics import t_interval
from agentroute.evaluation.worlds.hops import HopWorld
from agentroute.model.arrays import F64
from agentroute.model.runs import RunResult
from agentroute.model.tasks import Task
from agentroute.orchestrator import Orchestrator

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
TASKS, SEEDS = 60, 10
TOLERANCE = 0.05  # of the cost at alpha 0: how much dearer a larger alpha may be


@dataclass(frozen=True, slots=True)
class Tried:
    """One task: whether it was solved, its cost, its calls, its hops and its reward."""

    right: float
    cost_usd: float
    calls: float
    hops: int
    reward: float


@dataclass(frozen=True, slots=True, eq=False)
class AlphaRow:
    """The means of each seed, (seeds,) each, at one ``alpha``; calls of one hop and of several."""

    alpha: float
    right: F64
    cost_usd: F64
    reward: F64
    calls_single: F64
    calls_multi: F64


def sweep(
    alphas: Sequence[float] = ALPHAS, *, seeds: int = SEEDS, tasks: int = TASKS
) -> list[AlphaRow]:
    """One row an ``alpha``; every one meets the same worlds, tasks and answers."""
    return [_row(alpha, [_seed(alpha, s, tasks) for s in range(seeds)]) for alpha in alphas]


def rounds_goals(rows: Sequence[AlphaRow]) -> list[Goal]:
    """Cost does not grow with ``alpha``; more hops take more calls, and solve more by them."""
    base = float(rows[0].cost_usd.mean())
    steps = [float(b.cost_usd.mean() - a.cost_usd.mean()) / base for a, b in pairwise(rows)]
    more = rows[0].calls_multi - rows[0].calls_single
    return [
        Goal("largest growth of cost from one alpha to the next", max(steps), TOLERANCE, "x"),
        Goal("cost at the largest alpha over the least", steps_end(rows), 1.0, "x"),
        Goal("calls of several hops less those of one, lower end", t_interval(more)[1], 0.0, "",
             at_most=False),
    ]  # fmt: skip


def steps_end(rows: Sequence[AlphaRow]) -> float:
    """Cost of the last row over the first's."""
    return float(rows[-1].cost_usd.mean() / rows[0].cost_usd.mean())


def _row(alpha: float, of: Sequence[Sequence[Tried]]) -> AlphaRow:
    def means(what: str, hops: Sequence[int] = (1, 2, 3)) -> F64:
        return np.array([np.mean([getattr(t, what) for t in s if t.hops in hops]) for s in of])

    return AlphaRow(
        alpha, means("right"), means("cost_usd"), means("reward"),
        means("calls", (1,)), means("calls", (2, 3)),
    )  # fmt: skip


def _seed(alpha: float, seed: int, tasks: int) -> list[Tried]:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_learned(alpha, HopWorld(seed), tasks, Path(folder)))


async def _learned(alpha: float, world: HopWorld, tasks: int, folder: Path) -> list[Tried]:
    out, window = [], CostWindow()
    async with Orchestrator(
        world.registry(), ledger=f"sqlite:///{folder}/ledger.db", out=folder, state=folder,
        depth={"name": "rounds", "alpha": alpha}, seed=world.seed,
    ) as orc:  # fmt: skip
        for task in world.tasks(tasks):
            run = await orc.run(task, verify=False)
            out.append(await _told(orc, world, task, run, window, alpha))
    return out[tasks // 3 :]


async def _told(
    orc: Orchestrator, world: HopWorld, task: Task, run: RunResult, window: CostWindow, alpha: float
) -> Tried:
    """Tell the router who was right, and say what the task came to."""
    cost, calls, told = 0.0, 0, []
    for d in (d for d in run.decisions if d.kind == "route" and d.status != "abstained"):
        record = orc.ledger.record(d.id)
        assert record.request is not None
        question, agent = record.request.task.prompt, d.chosen[0]
        told.append((agent, question))
        await orc.feedback(d.id, score=float(world.right.get((agent, question), False)))
    for o in orc.ledger.outcomes(run.run_id):
        cost, calls = cost + o.cost_usd, calls + 1
    window.add(cost)
    right = float(world.solved(task, told))
    reward = hierarchical(0.0, right, window.r_cost(cost), alpha)
    return Tried(right, cost, calls, len(task.params["questions"]), reward)
