"""Who splits words into tasks: rules by default, or any function from a text to a plan."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from agentroute.config.plugins import PartKind, is_object
from agentroute.errors import AgentRouteError, ConfigError, PlanError
from agentroute.model.plans import AgentUse, Plan
from agentroute.model.tasks import Task, TaskGraph
from agentroute.planning.graphfile import plan_of_text
from agentroute.planning.planners.around import Around
from agentroute.planning.topology import choose_topology

Planned = Plan | TaskGraph | Task | Sequence[Task]
Split = Callable[[str], Planned | Awaitable[Planned]]


@dataclass(frozen=True)
class Planner:
    """A name, which the run's plan row records, and the function that splits."""

    name: str
    split: Split

    @property
    def is_quick(self) -> bool:
        """Whether it goes by rules: nothing that takes time."""
        return self.split is plan_of_text or bool(getattr(self.split, "quick", False))

    def sparing(self) -> Planner:
        """The same without its model, where it can do without: nothing is left to pay one."""
        frugal = getattr(self.split, "sparing", None)
        return self if frugal is None else replace(self, split=frugal)

    def within(self, seconds: float) -> Planner:
        """The same with at most so much time for its model, where it has one."""
        limited = getattr(self.split, "within", None)
        return self if limited is None else replace(self, split=limited(seconds))

    def __call__(self, text: str) -> Plan:
        """The plan of a text. An ``async`` function is awaited in a loop of its own.

        Raises:
            PlanError: the function raised, or gave something that is no plan.
            UsageError, TaskGraphError: the text or the tasks cannot be used.
        """
        try:
            made = self.split(text)
            if inspect.isawaitable(made):
                made = _waited(made)
            plan = _as_plan(made)
        except AgentRouteError:
            raise
        except Exception as e:
            raise PlanError(f"the planner '{self.name}' failed: {type(e).__name__}: {e}") from e
        if plan is None:
            raise PlanError(
                f"the planner '{self.name}' gave a {type(made).__name__}",
                hint="a Plan, a TaskGraph, a Task or a list of Task",
            )
        return (
            plan if self.split is plan_of_text else plan.model_copy(update={"planner": self.name})
        )


PLANNERS = PartKind(
    "planner", "planner", "agentroute.planners",
    own={
        "one": plan_of_text,
        "default": "agentroute.planning.planners.default:DefaultPlanner",
        "offline": "agentroute.planning.planners.offline:OfflinePlanner",
        "library": "agentroute.planning.planners.library:LibraryPlanner",
        "chat": "agentroute.planning.planners.chat:ChatPlanner",
    },
)  # fmt: skip


def make_planner(
    spec: object = "default", *, trusted: bool = False, around: Around | None = None
) -> Planner:
    """The planner of a name, of a mapping with parameters, or of a function.

    A class is made with the parameters and its object called; a function is called with them. A
    class with a parameter ``around`` is told of the cards, graphs and embedder there are.
    Only a ``trusted`` spec, from the user's own settings or Python, may name ``module:NAME``.

    Raises:
        ConfigError: an unknown name or parameter, or something that cannot be called.
    """
    if is_object(spec):
        name = str(getattr(spec, "name", None) or getattr(spec, "__name__", type(spec).__name__))
        return Planner(name, _callable(spec, name))
    use = AgentUse.of(spec, field="planner")
    found = PLANNERS.find(use.name, trusted=trusted)
    if isinstance(found, type):
        offered = {"around": around or Around()}
        found = PLANNERS.make(use.name, found, use.params, offered=offered)
    elif use.params:
        found = partial(found, **use.params)
    return Planner(use.name, _callable(found, use.name))


def _callable(found: Any, name: str) -> Split:
    if isinstance(found, type) or not callable(found):
        raise ConfigError(
            f"'{name}' is not a planner: it cannot be called with a text", field="planner",
            hint="a function from a text to a Plan, a TaskGraph or a list of Task",
        )  # fmt: skip
    split: Split = found
    return split


def _waited(made: Awaitable[Planned]) -> Planned:
    async def wait() -> Planned:
        return await made

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(wait())).result()


def _as_plan(made: object) -> Plan | None:
    if isinstance(made, Plan):
        return made
    if isinstance(made, Task):
        made = [made]
    if isinstance(made, (list, tuple)) and all(isinstance(t, Task) for t in made):
        made = TaskGraph(made)
    if isinstance(made, TaskGraph):
        return Plan(name="planned", tasks=made.tasks, choice=choose_topology(made))
    return None
