"""The conformance suite of topologies: run it on your own shape.

from agentroute.testing import check_shape

def test_my_shape():
check_shape(SHAPE)
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from agentroute.model.tasks import Task, TaskGraph
from agentroute.planning.shapes.shape import Shape
from agentroute.testing.rules import run_rules


def graphs(seed: int = 0, count: int = 30) -> tuple[TaskGraph, ...]:
    """Random DAGs of 1 to 12 tasks."""
    rng = np.random.default_rng(seed)
    return tuple(_graph(rng) for _ in range(count))


def _graph(rng: np.random.Generator) -> TaskGraph:
    tasks = []
    for i in range(int(rng.integers(1, 13))):
        parents = (
            {int(p) for p in rng.integers(0, i, size=3)} if i and rng.random() < 0.8 else set()
        )
        tasks.append(Task(id=f"t{i}", prompt="p", depends_on={f"t{p}": 0.3 for p in parents}))
    return TaskGraph(tasks)


def rule_edges_go_forward(shape: Shape) -> None:
    """Nobody waits for a task that comes later, so every plan ends."""
    for graph in graphs():
        place = {v: i for i, v in enumerate(graph.order)}
        assert all(place[p] < place[v] for p, v in shape.edges(graph)), f"{graph.order}"


def rule_dependencies_are_obeyed(shape: Shape) -> None:
    """A task waits, directly or not, for everything that it depends on."""
    for graph in graphs():
        waits: dict[str, set[str]] = {v: set() for v in graph.order}
        for p, v in sorted(shape.edges(graph), key=lambda e: graph.order.index(e[1])):
            waits[v] |= {p} | waits[p]
        for v in graph.order:
            missing = set(graph.parents(v)) - waits[v]
            assert not missing, f"{v} does not wait for {sorted(missing)}"


def rule_inputs_are_seen(shape: Shape) -> None:
    """A task sees its direct inputs, and nothing that comes after it."""
    for graph in graphs():
        place = {v: i for i, v in enumerate(graph.order)}
        for v in graph.order:
            seen = shape.sees(graph, v)
            assert set(graph.parents(v)) <= set(seen), f"{v} does not see all of its inputs"
            assert all(place[u] < place[v] for u in seen), f"{v} sees what comes later"


def rule_transcripts_are_past(shape: Shape) -> None:
    """A transcript holds earlier tasks, each once, in order."""
    for graph in graphs():
        place = {v: i for i, v in enumerate(graph.order)}
        for v in graph.order:
            heard = [place[u] for u in shape.heard(graph, v)]
            assert heard == sorted(set(heard)), f"{v}: out of order"
            assert all(i < place[v] for i in heard), f"{v} hears what comes later"


RULES = (
    rule_edges_go_forward,
    rule_dependencies_are_obeyed,
    rule_inputs_are_seen,
    rule_transcripts_are_past,
)


def check_shape(shape: Shape, *, skip: Iterable[str] = ()) -> tuple[str, ...]:
    """Run every rule on a topology over seeded random DAGs; the names of those that held.

    Args:
        shape: the topology.
        skip: names of rules that do not apply; say why where you use it.

    Raises:
        AssertionError: names every broken rule and what was wrong.
    """
    return run_rules(RULES, lambda rule: rule(shape), skip)
