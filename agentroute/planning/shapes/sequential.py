"""SEQUENTIAL: one task at a time, each with the running transcript."""

from __future__ import annotations

from agentroute.model.plans import Topology
from agentroute.model.tasks import TaskGraph
from agentroute.planning.shapes.shape import Edges, Ids, Shape


def _chain(graph: TaskGraph) -> Edges:
    return tuple(zip(graph.order, graph.order[1:], strict=False))


def _before(graph: TaskGraph, v: str) -> Ids:
    return tuple(graph.order[: graph.order.index(v)])


SHAPE = Shape(Topology.SEQUENTIAL, edges=_chain, heard=_before)
