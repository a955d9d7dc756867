"""What people hand over: a graph's name, a path, words, a task or several, as one plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from agentroute.config.paths import Place
from agentroute.errors import GraphError, UsageError
from agentroute.model.plans import Plan
from agentroute.model.tasks import Task, TaskGraph
from agentroute.planning.graphfile import GraphSpec, make_plan, plan_of_text
from agentroute.planning.library import find_graph, graph_files, looks_like_graph
from agentroute.planning.topology import choose_topology

Work = str | Task | Sequence[Task] | TaskGraph | GraphSpec | Plan


def plan_of(work: Work, inputs: Mapping[str, Any], places: Sequence[Place]) -> Plan:
    """A plan of whatever was handed over.

    A single word that is nearly a graph's name is an error, never a task in one word.

    Raises:
        GraphError, TaskGraphError, UsageError, PlanError: what is wrong with it.
    """
    if isinstance(work, str):
        if looks_like_graph(work, places):
            return make_plan(find_graph(work, places), inputs)
        _not_a_typo(work, places)
    if isinstance(work, GraphSpec):
        return make_plan(work, inputs)
    if inputs:
        raise UsageError("inputs belong to a graph", hint="agentroute graphs ls shows their names")
    if isinstance(work, Plan):
        return work
    if isinstance(work, str):
        return plan_of_text(work)
    graph = work if isinstance(work, TaskGraph) else TaskGraph(_tasks(work))
    return Plan(name="tasks", tasks=graph.tasks, choice=choose_topology(graph))


def _tasks(work: Task | Sequence[Task]) -> Sequence[Task]:
    return [work] if isinstance(work, Task) else work


def _not_a_typo(text: str, places: Sequence[Place]) -> None:
    names = graph_files(places)
    if " " not in text.strip() and (near := get_close_matches(text, names, n=1, cutoff=0.75)):
        raise GraphError(f"no graph is called '{text}'", hint=f"did you mean '{near[0]}'?")
