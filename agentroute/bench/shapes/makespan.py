"""How long a hybrid run takes, on a real ledger, beside what no run could be quicker than.

Each graph runs with seeded waits as hybrid, and again with a barrier between its generations: every
task then waits for all of the one before. A node's own cost is measured on the same graph with work
that takes no time.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from agentroute.bench.orchestration import Parents, critical_path_s, orchestrator, tasks
from agentroute.config.paths import bundled_data
from agentroute.errors import ExecutionError
from agentroute.evaluation.splitting import Reference, read_references
from agentroute.model.ids import keyed_rng
from agentroute.model.tasks import Task, TaskGraph
from agentroute.orchestrator import Orchestrator
from agentroute.planning.topology import measure

DAGS, REPEATS = 10, 3
SHORTEST_S, LONGEST_S = 0.1, 0.5


@dataclass(frozen=True, slots=True)
class Makespan:
    """Seconds: the critical path, a node's own cost, and the two runs, each the least of three."""

    tasks: int
    path: float
    node: float
    hybrid: float
    layered: float

    @property
    def over(self) -> float:
        """Hybrid over the critical path plus what its nodes cost beside the work."""
        return self.hybrid / (self.path + self.tasks * self.node)


def makespans(data: Path | None = None, *, dags: int = DAGS, seed: int = 0) -> list[Makespan]:
    """The graphs that a barrier between generations would cost most, by their critical paths.

    Raises:
        TableError: the file holds no task graphs.
    """
    file = data or bundled_data("worfbench") / "graphs.jsonl.gz"
    timed = [_timed(r, i, seed) for i, r in enumerate(read_references(file)) if r.edges]
    timed.sort(key=lambda g: critical_path_s(*g) / critical_path_s(_layered(g[0]), g[1]))
    with tempfile.TemporaryDirectory() as name:
        return [asyncio.run(_measured(*g, Path(name) / str(i))) for i, g in enumerate(timed[:dags])]


def _timed(r: Reference, number: int, seed: int) -> tuple[Parents, dict[str, float]]:
    """A graph's tasks in order, with what they wait for and how long each takes."""
    parents, rng = _parents(r), keyed_rng(seed, "seconds", number)
    return parents, {v: float(rng.uniform(SHORTEST_S, LONGEST_S)) for v in parents}


def _parents(r: Reference) -> dict[str, list[str]]:
    order = TaskGraph(
        [
            Task(id=f"t{i}", prompt="p", depends_on=[f"t{a}" for a, b in r.edges if b == i])
            for i in range(len(r.nodes))
        ]
    )
    return {v: list(order.parents(v)) for v in order.order}


def _graph(parents: Parents) -> TaskGraph:
    return TaskGraph([Task(id=v, prompt="p", depends_on=list(u)) for v, u in parents.items()])


def _layered(parents: Parents) -> dict[str, Sequence[str]]:
    """The same tasks, each of which waits for all of the generation before its own."""
    layers = measure(_graph(parents)).generations
    before = {v: layers[i - 1] if i else () for i, layer in enumerate(layers) for v in layer}
    return {v: before[v] for layer in layers for v in layer}


async def _measured(parents: Parents, seconds: Mapping[str, float], folder: Path) -> Makespan:
    node = await _least(folder / "idle", parents, dict.fromkeys(parents, 0.0)) / len(parents)
    hybrid = await _least(folder / "hybrid", parents, seconds)
    layered = await _least(folder / "layered", _layered(parents), seconds)
    return Makespan(len(parents), critical_path_s(parents, seconds), node, hybrid, layered)


async def _least(folder: Path, parents: Parents, seconds: Mapping[str, float]) -> float:
    async def wait(task: str) -> None:
        if seconds[task]:
            await asyncio.sleep(seconds[task])

    folder.parent.mkdir(parents=True, exist_ok=True)
    took = []
    async with orchestrator(
        folder, agents=10, work=wait, at_once=len(parents), topology="hybrid"
    ) as orc:
        for _ in range(REPEATS + 1):  # the first one imports and compiles
            took.append(await _once(orc, parents))
    return min(took[1:])


async def _once(orc: Orchestrator, parents: Parents) -> float:
    work = tasks(parents)
    start = perf_counter()
    result = await orc.run(work)
    took = perf_counter() - start
    if result.usage.calls < len(work) or result.topology != "hybrid":
        raise ExecutionError(f"{result.usage.calls} of {len(work)} ran, {result.topology}")
    return took


def median_over(found: Sequence[Makespan]) -> float:
    """Of all graphs: hybrid over what nothing could be quicker than."""
    return statistics.median(m.over for m in found)
