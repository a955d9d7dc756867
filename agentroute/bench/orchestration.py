"""What a run costs beside the work itself: 100 tasks that do nothing, and DAGs that wait.

``bench_orchestration()`` runs fans, chains and diamonds by bare LangGraph, with every agent pinned,
and routed among 10 and 100, on a ledger on the disk with default settings. Blocks of the four are
interleaved and figures are medians over them: CPU of the whole process, its writer included, and
wall time. The longest block of the event loop is taken in runs of its own, since a clock around
every callback is not free.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agentroute.bench.goals import Goal
from agentroute.bench.loops import longest_block_s
from agentroute.bench.peers import bare_graph
from agentroute.errors import ExecutionError
from agentroute.evaluation.worlds.wordbank import TOPICS, card, prompt
from agentroute.model.calls import AgentCall
from agentroute.model.tasks import Task
from agentroute.orchestrator import Orchestrator
from agentroute.registry.registry import Registry

Parents = Mapping[str, Sequence[str]]
NODES, AT_ONCE, PROMPT_WORDS = 100, 8, 40
DAG_NODES, DAGS, SHORTEST_S, LONGEST_S = 40, 10, 0.01, 0.1
BLOCK_MS = 20.0
CPU_MS = {("chain", "among 10"): 2.6, ("fan", "among 100"): 2.4}


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds a node: CPU and wall, each the median of the blocks."""

    cpu: float
    wall: float


def bench_orchestration(*, nodes: int = NODES, blocks: int = 5, dags: int = DAGS) -> list[Goal]:
    """Fan, chain and diamond; the longest block of the loop; makespans. About two minutes.

    Args:
        nodes: tasks of each shape, at least 3.
        blocks: runs of each kind; a figure is their median.
        dags: seeded DAGs of 40 tasks whose makespan is compared.
    """
    out: list[Goal] = []
    for shape, parents in shapes(nodes).items():
        for kind, cost in asyncio.run(_costs(parents, blocks)).items():
            limit = CPU_MS.get((shape, kind))
            out.append(Goal(f"{shape} of {nodes}, {kind}: CPU a node", cost.cpu, limit, "ms"))
            out.append(Goal("  wall a node", cost.wall, None, "ms"))
    out.append(Goal("longest block of the loop, CPU", _longest_ms(nodes, blocks), BLOCK_MS, "ms"))
    return out + (_makespans(dags) if dags else [])


def shapes(nodes: int) -> dict[str, Parents]:
    """Each shape as task -> inputs, in topological order."""
    names = [f"t{i}" for i in range(nodes)]
    inner = names[1:-1]
    return {
        "fan": dict.fromkeys(names, ()),
        "chain": {n: names[max(i - 1, 0) : i] for i, n in enumerate(names)},
        "diamond": {names[0]: (), **dict.fromkeys(inner, names[:1]), names[-1]: inner},
    }


# -- cost a node --------------------------------------------------------------------------------


async def _costs(parents: Parents, blocks: int) -> dict[str, Cost]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ten = await stack.enter_async_context(orchestrator(folder / "ten", agents=10))
        hundred = await stack.enter_async_context(orchestrator(folder / "hundred", agents=100))
        bare = bare_graph(parents, _nothing)
        work, pinned = tasks(parents), tasks(parents, agent="billing-0")
        limits = {"recursion_limit": 2 * len(parents) + 10, "max_concurrency": AT_ONCE}
        runs: dict[str, Callable[[], Awaitable[object]]] = {
            "bare LangGraph": lambda: bare.ainvoke({"n": 0}, limits),
            "pinned": lambda: _ran(ten, pinned),
            "among 10": lambda: _ran(ten, work),
            "among 100": lambda: _ran(hundred, work),
        }
        for run in runs.values():  # what is compiled, loaded or imported once is not a node's
            await run()
        took: dict[str, list[Cost]] = {kind: [] for kind in runs}
        for _ in range(blocks):
            for kind, run in runs.items():
                took[kind].append(await _timed(run, len(parents)))
    return {kind: _median(costs) for kind, costs in took.items()}


async def _timed(run: Callable[[], Awaitable[object]], nodes: int) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    await run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Cost(1e3 * cpu / nodes, 1e3 * wall / nodes)


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        *(statistics.median(v) for v in zip(*((c.cpu, c.wall) for c in costs), strict=True))
    )


def _longest_ms(nodes: int, blocks: int) -> float:
    """Median over runs: a single page fault is not the loop's fault."""
    fan = tasks(shapes(nodes)["fan"])  # made before: their prompts are the bench's own work

    async def work(folder: Path) -> None:
        async with orchestrator(folder, agents=100) as orc:
            await _ran(orc, fan)

    with tempfile.TemporaryDirectory() as name:
        found = [longest_block_s(work(Path(name) / str(i))) for i in range(blocks)]
    return 1e3 * statistics.median(found)


# -- makespan -----------------------------------------------------------------------------------


def _makespans(dags: int) -> list[Goal]:
    """Longest path, and how much longer the two take: medians, and how often ours is shorter."""
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name:
        for seed in range(dags):
            parents, seconds = seeded_dag(seed)
            path = critical_path_s(parents, seconds)
            a, b = asyncio.run(_both(parents, seconds, Path(name) / str(seed)))
            ours.append(a / path)
            theirs.append(b / path)
    won = sum(a < b for a, b in zip(ours, theirs, strict=True))
    return [
        Goal("hybrid makespan over the critical path", statistics.median(ours), None, "x"),
        Goal("  bare LangGraph, layer by layer", statistics.median(theirs), None, "x"),
        Goal(f"  DAGs of {dags} where ours is shorter", won, dags, "", at_most=False),
    ]


async def _both(
    parents: Parents, seconds: Mapping[str, float], folder: Path
) -> tuple[float, float]:
    async def wait(task: str) -> None:
        await asyncio.sleep(seconds[task])

    async with orchestrator(folder, agents=10, work=wait, at_once=len(parents)) as orc:
        await _ran(orc, tasks({"t0": ()}))
        work = tasks(parents)  # made before the clock starts, as the bare graph is
        ours = await _timed(lambda: _ran(orc, work), 1)
    bare = bare_graph(parents, wait)
    await bare_graph({"t0": ()}, wait).ainvoke({"n": 0})
    theirs = await _timed(lambda: bare.ainvoke({"n": 0}, {"recursion_limit": 200}), 1)
    return ours.wall / 1e3, theirs.wall / 1e3


def seeded_dag(seed: int) -> tuple[Parents, dict[str, float]]:
    """40 tasks, each with up to three inputs among the eight before it, of 10 to 100 ms."""
    rng = np.random.default_rng(seed)
    names = [f"t{i}" for i in range(DAG_NODES)]
    parents: dict[str, Sequence[str]] = {}
    for i, name in enumerate(names):
        near = names[max(0, i - 8) : i]
        k = min(len(near), int(rng.integers(0, 4)))
        parents[name] = [near[j] for j in sorted(rng.choice(len(near), k, replace=False))]
    seconds = rng.uniform(SHORTEST_S, LONGEST_S, DAG_NODES).tolist()
    return parents, dict(zip(names, seconds, strict=True))


def critical_path_s(parents: Parents, seconds: Mapping[str, float]) -> float:
    """Seconds of the longest path: no order of the tasks is quicker."""
    end: dict[str, float] = {}
    for name, before in parents.items():
        end[name] = seconds[name] + max((end[p] for p in before), default=0.0)
    return max(end.values())


# -- what runs ----------------------------------------------------------------------------------


async def _nothing(_: str) -> None:
    """A task that is done as soon as it is asked for."""


def orchestrator(
    folder: Path,
    *,
    agents: int,
    work: Callable[[str], Awaitable[None]] = _nothing,
    at_once: int = AT_ONCE,
    topology: str = "auto",
) -> Orchestrator:
    """``agents`` async agents that do ``work`` on a task's id, and a ledger in ``folder``."""

    async def agent(call: AgentCall) -> str:
        await work(call.task.id)
        return "done"

    folder.mkdir()
    registry = Registry()
    for i in range(agents):
        registry.add(card(i, i % len(TOPICS), 0.0), agent)
    return Orchestrator(
        registry, ledger=f"sqlite:///{folder}/l.db", out=folder / "out", max_concurrency=at_once,
        topology=topology,
    )  # fmt: skip


def tasks(parents: Parents, agent: str | None = None) -> list[Task]:
    """One task a node with a prompt of 40 words on one of the agents' topics."""
    return [
        Task(id=name, prompt=_words(i), depends_on=list(before), agent=agent)
        for i, (name, before) in enumerate(parents.items())
    ]


def _words(seed: int) -> str:
    rng = np.random.default_rng(seed)
    return " ".join(prompt(seed % len(TOPICS), rng) for _ in range(PROMPT_WORDS // 8))


async def _ran(orc: Orchestrator, work: Sequence[Task]) -> None:
    result = await orc.run(work)
    if result.usage.calls < len(work):
        raise ExecutionError(f"{result.usage.calls} of {len(work)} tasks ran: {result.degraded}")
