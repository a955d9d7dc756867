"""What makes a topology: who waits for whom, and what a task sees of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agentroute.model.plans import Topology
from agentroute.model.tasks import TaskGraph

Edges = tuple[tuple[str, str], ...]
Ids = tuple[str, ...]


def own_edges(graph: TaskGraph) -> Edges:
    """The DAG's own edges (input, task)."""
    return tuple((p, v) for v in graph.order for p in graph.parents(v))


def direct_inputs(graph: TaskGraph, v: str) -> Ids:
    """What ``v`` depends on."""
    return tuple(graph.parents(v))


def nothing(graph: TaskGraph, v: str) -> Ids:
    """No task."""
    return ()


@dataclass(frozen=True, slots=True)
class Shape:
    """A topology's meaning, as functions of the graph alone. ``depends_on`` is always obeyed."""

    topology: Topology
    """Its name in plans."""
    edges: Callable[[TaskGraph], Edges] = own_edges
    """Who waits for whom; every edge of the DAG is implied by them."""
    sees: Callable[[TaskGraph, str], Ids] = direct_inputs
    """Tasks whose replies a task is given."""
    heard: Callable[[TaskGraph, str], Ids] = nothing
    """Tasks whose texts are its running transcript, in order."""
    whole: bool = False
    """One agent gets the whole graph as one prompt."""
    led: bool = False
    """Runs in rounds: a lead says which tasks to issue or to issue again."""
