"""The shape of the work."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field

from agentroute.errors import ConfigError
from agentroute.model.record import Part
from agentroute.model.tasks import Task, TaskGraph

Spec = str | Mapping[str, Any]  # what people write: a name, or a mapping with name and parameters
Written = str | dict[str, Any]  # the same as files hold it


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


class AgentUse(Part):
    """An agent (or router, or depth policy) by name, with its parameters."""

    name: str = Field(min_length=1)
    params: dict[str, Any] = {}

    @classmethod
    def of(cls, spec: object, *, field: str = "") -> AgentUse:
        """A name, or a mapping with ``name`` and parameters; ``field`` is what an error names.

        Raises:
            ConfigError: it is neither.
        """
        if isinstance(spec, AgentUse):
            return spec
        params = dict(spec) if isinstance(spec, Mapping) else {"name": spec}
        name = params.pop("name", None)
        if not isinstance(name, str) or not name or not all(isinstance(k, str) for k in params):
            raise ConfigError(
                "needs a name, or a mapping with a name and parameters",
                field=field or None,
                hint=f"{field or 'write'}: NAME, or {{name: NAME, PARAMETER: VALUE}}",
            )
        return cls(name=name, params=params)

    def written(self) -> dict[str, Any]:
        """The mapping that ``of`` reads."""
        return {"name": self.name, **self.params}


class FailWhen(Part):
    """The run counts as failed, with its answer, when a number in the answer's data says so.

    ``field`` is a dotted path into ``data`` (a list counts as its length). Exactly one bound.
    """

    field: str = Field(min_length=1)
    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None


class Plan(Part):
    """A graph of tasks with the shape it will be run in; data only, JSON round trip.

    What is None is left to the settings: ``router``, ``depth``, ``exploration``, ``refine``.
    """

    name: str
    tasks: tuple[Task, ...]
    choice: TopologyChoice
    inputs: dict[str, Any] = {}
    description: str = ""
    router: AgentUse | None = None
    depth: AgentUse | None = None
    exploration: float | None = Field(None, ge=0, le=1)
    refine: AgentUse | None = None
    verifiers: tuple[AgentUse, ...] = ()
    artifact: str | None = None
    fail_when: FailWhen | None = None

    @property
    def topology(self) -> Topology:
        """Short for ``choice.topology``."""
        return self.choice.topology

    def graph(self) -> TaskGraph:
        """The tasks as a checked graph."""
        return TaskGraph(self.tasks)
