"""What is to be done: tasks and the graph they form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from agentroute.errors import CycleError, TaskGraphError, UnknownDependencyError
from agentroute.model.record import Part

DEFAULT_COUPLING = 0.3
MAX_PROMPT = 1_000_000

Coupling = Annotated[float, Field(ge=0, le=1)]


class Message(Part):
    """One earlier turn of the conversation."""

    role: Literal["user", "assistant"]
    """Who spoke."""
    text: str
    """What was said."""


class Task(Part):
    """One unit of work that one agent answers."""

    id: str = Field("task", min_length=1, max_length=200)
    """Unique in its graph."""
    prompt: str = Field(max_length=MAX_PROMPT)
    """What to do, in words."""
    features: dict[str, str] = Field(default_factory=dict)
    """Named values that routers may use."""
    history: tuple[Message, ...] = ()
    """Earlier turns."""
    skills: tuple[str, ...] = ()
    """Required: a candidate has them all."""
    depends_on: dict[str, Coupling] = Field(default_factory=dict)
    """Needed task to coupling: none 0, weak 0.3, strong 0.7, critical 1; a list means 0.3."""
    weight: float = Field(1.0, gt=0)
    """Share of a run's credit."""
    input_modes: tuple[str, ...] = ()
    """Media types that it hands over."""
    output_modes: tuple[str, ...] = ()
    """Media types that it asks for."""
    agent: str | None = None
    """Pins the choice."""
    depth: str | dict[str, Any] | None = None
    """How many are asked: a depth policy's name, or a mapping; None as the graph or the settings
    say."""
    budget_usd: float | None = Field(None, ge=0)
    """Of all its calls together."""
    deadline_s: float | None = Field(None, gt=0)
    """Of one call."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Reach the agent as ``AgentCall.params``."""

    @field_validator("depends_on", mode="before")
    @classmethod
    def _list_means_default(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            if not all(isinstance(v, str) for v in value):
                raise ValueError("must be task ids, or a mapping of task ids to couplings")
            return dict.fromkeys(value, DEFAULT_COUPLING)
        return value

    @field_validator("prompt")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("the prompt is empty")
        return value

    @property
    def kind(self) -> str:
        """What kind of task it is by its features, as ``a=1&b=2``; '' where it has none."""
        return "&".join(f"{k}={v}" for k, v in sorted(self.features.items()))


class TaskGraph:
    """Tasks in a valid directed acyclic graph; building it checks everything once.

    Raises:
        TaskGraphError: no tasks, or an id twice.
        UnknownDependencyError: a dependency that is not in the graph.
        CycleError: names the cycle.
    """

    __slots__ = ("_by_id", "couplings", "inputs", "order", "tasks", "weights")

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tuple(tasks)
        if not self.tasks:
            raise TaskGraphError("a graph needs at least one task", hint="add an entry to tasks:")
        self._by_id = {t.id: t for t in self.tasks}
        if len(self._by_id) != len(self.tasks):
            twice = sorted({t.id for t in self.tasks if sum(u.id == t.id for u in self.tasks) > 1})
            raise TaskGraphError(f"the task id '{twice[0]}' is used twice", hint="rename one")
        for t in self.tasks:
            for parent in t.depends_on:
                if parent not in self._by_id:
                    raise UnknownDependencyError(t.id, parent, self._by_id)
        self.order = self._topological_order()
        place = {v: i for i, v in enumerate(self.order)}
        sorted_tasks = [self._by_id[v] for v in self.order]
        self.inputs: tuple[tuple[int, ...], ...] = tuple(
            [tuple([place[p] for p in t.depends_on]) for t in sorted_tasks]
        )
        """Of each task, in ``order``, the places in ``order`` of what it depends on."""
        self.couplings: tuple[float, ...] = tuple(
            [c for t in sorted_tasks for c in t.depends_on.values()]
        )
        """Of each dependency, task after task in ``order``, its coupling."""
        self.weights: tuple[float, ...] = tuple([t.weight for t in sorted_tasks])
        """Of each task, in ``order``, its weight."""

    def _topological_order(self) -> tuple[str, ...]:
        """Kahn's, first in first out: so it is also the order of the topological generations."""
        waiting = {t.id: len(t.depends_on) for t in self.tasks}
        children: dict[str, list[str]] = {t.id: [] for t in self.tasks}
        for t in self.tasks:
            for parent in t.depends_on:
                children[parent].append(t.id)
        ready = [t.id for t in self.tasks if not waiting[t.id]]
        for v in ready:
            for child in children[v]:
                waiting[child] -= 1
                if not waiting[child]:
                    ready.append(child)
        if len(ready) < len(self.tasks):
            raise CycleError(self._find_cycle(set(self._by_id) - set(ready)))
        return tuple(ready)

    def _find_cycle(self, stuck: set[str]) -> list[str]:
        path = [min(stuck)]
        while True:
            nxt = next(p for p in self._by_id[path[-1]].depends_on if p in stuck)
            if nxt in path:
                return [*path[path.index(nxt) :], nxt]
            path.append(nxt)

    def __getitem__(self, task_id: str) -> Task:
        return self._by_id[task_id]

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._by_id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskGraph) and self.tasks == other.tasks

    def __hash__(self) -> int:
        return hash(tuple(self._by_id))

    @property
    def edges(self) -> tuple[tuple[str, str, float], ...]:
        """``(parent, child, coupling)`` of every dependency."""
        return tuple((p, t.id, c) for t in self.tasks for p, c in t.depends_on.items())

    def parents(self, task_id: str) -> tuple[str, ...]:
        """Direct inputs of a task."""
        return tuple(self._by_id[task_id].depends_on)

    def ancestors(self, task_id: str) -> tuple[str, ...]:
        """Everything a task depends on, in topological order."""
        seen: set[str] = set()
        stack = list(self.parents(task_id))
        while stack:
            v = stack.pop()
            if v not in seen:
                seen.add(v)
                stack += self.parents(v)
        return tuple(v for v in self.order if v in seen)
