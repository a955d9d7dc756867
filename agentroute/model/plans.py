"""The shape of the work."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from agentroute.errors import ConfigError
from agentroute.model.calls import Usage
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
    """Metrics of a DAG (AdaptOrch, arXiv 2602.16873)."""

    nodes: int
    """|V|, the number of tasks."""
    edges: int
    """|E|, the number of dependencies."""
    implied: int = 0
    """How many of the edges longer paths imply; of more than 200 tasks nobody looks."""
    omega: int
    """The largest antichain; of more than 200 tasks the largest layer, a lower bound."""
    delta: float
    """The heaviest path, in the tasks' weights."""
    gamma: float
    """Mean coupling of the edges that no longer path implies, in [0, 1]; 0 without edges."""
    r: float
    """omega / |V|."""
    generations: tuple[tuple[str, ...], ...]
    """Task ids by topological generation, the first has no inputs."""


class TopologyChoice(Part):
    """A topology, the numbers it rests on, and the branch of Algorithm 1 that was taken."""

    topology: Topology
    """The shape that was chosen."""
    branch: str
    """The branch that was taken, or who named the shape."""
    reason: str
    """The same in words, with the numbers that it rests on."""
    stats: TopologyStats
    """The graph's metrics."""
    thresholds: dict[str, float]
    """The bounds that the metrics were compared with, by name."""


class AgentUse(Part):
    """An agent (or router, or depth policy) by name, with its parameters."""

    name: str = Field(min_length=1)
    """Whom."""
    params: dict[str, Any] = {}
    """Parameters, by name."""

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

    Exactly one bound is given.
    """

    field: str = Field(min_length=1)
    """A dotted path into ``data``; a list counts as its length."""
    above: float | None = None
    """Failed when the number is greater."""
    at_least: float | None = None
    """Failed when the number is this or greater."""
    below: float | None = None
    """Failed when the number is less."""
    at_most: float | None = None
    """Failed when the number is this or less."""


class Synthesis(Part):
    """How far the answers of a run are to agree, and how often they are worked out again."""

    theta: float = Field(0.5, ge=0, le=1)
    """The consistency from which on they are merged: mean cosine of their embeddings."""
    most: int = Field(2, ge=0, le=5)
    """Rounds in a closer shape at most."""


class Assign(Part):
    """How the items of one ``foreach`` are given to agents: all of them together."""

    by: Literal["expert"] = "expert"
    """Agents take the items on which their advantage is largest, up to what their cards allow."""
    wait: float = Field(0.05, ge=0, le=1)
    """The expected utility that waiting for the next wave of an agent costs; 0: nothing."""
    least: float = Field(0.0, ge=0, le=0.5)
    """Agents that would get a smaller share of the items than this get none; 0: nobody is left out.
    """


class Batch(Part):
    """Tasks that nobody is asked for before all of them have been given to an agent."""

    name: str = Field(min_length=1)
    """The task that they are the items of."""
    items: tuple[str, ...] = Field(min_length=1)
    """Task ids, in the order of the list. They wait for the same tasks."""
    assign: Assign = Assign()
    """How they are given to agents."""


class Planning(Part):
    """How words became tasks: who split them, why, and what that took."""

    by: str
    """The planner that made the tasks; it may stand in for the one that was asked for."""
    why: str = ""
    """The reason in words."""
    considered: tuple[str, ...] = ()
    """The planners that could have made them."""
    usage: Usage = Usage()
    """What its model calls used, those that did not help included."""
    took_s: float = 0.0
    """Seconds that its model calls took, out of the run's deadline."""


class Plan(Part):
    """A graph of tasks with the shape it will be run in; data only, JSON round trip.

    What is None is left to the settings: ``router``, ``depth``, ``exploration``, ``refine``,
    ``accept_at``, ``synthesis``, ``lead``.
    """

    name: str
    """The graph's name; of words, what the planner called them."""
    tasks: tuple[Task, ...]
    """The tasks, in the order in which they were written."""
    choice: TopologyChoice
    """The shape and why."""
    selector: AgentUse | None = None
    """Who picks the shape when the run starts, and the parameters; None: ``choice`` stands."""
    inputs: dict[str, Any] = {}
    """The graph's inputs as they were given."""
    source: tuple[str, ...] = ()
    """The words after ``agentroute run`` that make this plan: the graph's name or path, and
    ``-i NAME=VALUE`` as it was given; () where it is no graph of the catalogue or of a path."""
    description: str = ""
    """What the whole is for; a refiner and a lead are told."""
    router: AgentUse | None = None
    """Who scores the candidates."""
    depth: AgentUse | None = None
    """How many agents a task gets."""
    exploration: float | None = Field(None, ge=0, le=1)
    """Epsilon, the share of choices spread over the candidates."""
    refine: AgentUse | None = None
    """The agent that joins the answers."""
    verifiers: tuple[AgentUse, ...] = ()
    """The agents that score the answer, in order."""
    accept_at: float | None = Field(None, ge=0, le=1)
    """The verified score from which on the answer is accepted; None: as the settings say."""
    synthesis: Synthesis | None = None
    """When answers that do not agree are worked out again; None: as the settings say."""
    lead: AgentUse | None = None
    """The agent that leads a hierarchical run; ``rule``: none does; None: as the settings say."""
    artifact: str | None = None
    """The name of the file that the run is to leave."""
    fail_when: FailWhen | None = None
    """When an answer counts as a failed run."""
    batches: tuple[Batch, ...] = ()
    """Tasks that are given to agents together; all others one by one."""
    planner: str = ""
    """Who was to split the words into tasks; '' where nobody had to."""
    planning: Planning | None = None
    """How the words became tasks, where a planner that ships says so."""

    @model_validator(mode="after")
    def _batches_fit(self) -> Self:
        tasks = {t.id: t for t in self.tasks}
        ids = [v for b in self.batches for v in b.items]
        if len(set(ids)) < len(ids) or not tasks.keys() >= set(ids):
            raise ValueError("batches must name tasks of the plan, each once")
        for b in self.batches:
            if len({frozenset(tasks[v].depends_on) for v in b.items}) > 1:
                raise ValueError(f"the tasks of batch '{b.name}' must depend on the same tasks")
        return self

    @property
    def topology(self) -> Topology:
        """Short for ``choice.topology``."""
        return self.choice.topology

    def graph(self) -> TaskGraph:
        """The tasks as a checked graph."""
        return TaskGraph(self.tasks)
