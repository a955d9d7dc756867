"""The shape of the work."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from agentroute.model.cards import Part
from agentroute.model.tasks import Task, TaskGraph


class Topology(StrEnum):
    """How the tasks of a graph are run (AdaptOrch, arXiv 2602.16873, and SINGLE)."""

    SINGLE = "single"
    PARALLEL = "parallel"
    SEQUENTIAL = "sequential"
    HIERARCHICAL = "hierarchical"
    HYBRID = "hybrid"


class TopologyStats(Part):
    """Metrics of a DAG: |V|, |E|, width omega, depth delta, coupling gamma, r = omega / |V|."""

    nodes: int
    edges: int
    omega: int
    delta: float
    gamma: float
    r: float
    generations: tuple[tuple[str, ...], ...]


class TopologyChoice(Part):
    """A topology, the numbers it rests on, and the branch of Algorithm 1 that was taken."""

    topology: Topology
    branch: str
    reason: str
    stats: TopologyStats
    thresholds: dict[str, float]


class Plan(Part):
    """A graph of tasks with the shape it will be run in; data only, JSON round trip."""

    name: str
    tasks: tuple[Task, ...]
    choice: TopologyChoice
    inputs: dict[str, Any] = {}

    @property
    def topology(self) -> Topology:
        """Short for ``choice.topology``."""
        return self.choice.topology

    def graph(self) -> TaskGraph:
        """The tasks as a checked graph."""
        return TaskGraph(self.tasks)
