"""HYBRID: a task starts when its own inputs are there, and sees all of its ancestors."""

from __future__ import annotations

from agentroute.model.plans import Topology
from agentroute.model.tasks import TaskGraph
from agentroute.planning.shapes.shape import Ids, Shape


def _ancestors(graph: TaskGraph, v: str) -> Ids:
    return tuple(graph.ancestors(v))


SHAPE = Shape(Topology.HYBRID, sees=_ancestors)
