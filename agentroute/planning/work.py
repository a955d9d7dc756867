"""What people hand over: a graph's name, a path, words, a task or several, as one plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from agentroute.config.paths import Place
from agentroute.errors import GraphError, UsageError, did_you_mean
from agentroute.ledger.rows.redaction import redact_json
from agentroute.model.plans import Plan
from agentroute.model.tasks import Task, TaskGraph
from agentroute.planning.graphfile import GraphSpec, make_plan, plan_of_text
from agentroute.planning.library import find_graph, graph_files, looks_like_graph
from agentroute.planning.topology import choose_topology

Work = (
    str | Task | Mapping[str, Any] | Sequence[Task | Mapping[str, Any]] | TaskGraph | GraphSpec
    | Plan
)  # fmt: skip


def plan_of(
    work: Work,
    inputs: Mapping[str, Any],
    places: Sequence[Place],
    planner: Callable[[str], Plan] = plan_of_text,
) -> Plan:
    """A plan of whatever was handed over; ``planner`` splits words.

    A single word that is nearly a graph's name is an error, never a task in one word.

    Raises:
        GraphError, TaskGraphError, UsageError, PlanError: what is wrong with it.
    """
    if isinstance(work, str):
        if looks_like_graph(work, places):
            plan = make_plan(find_graph(work, places), inputs)
            return plan.model_copy(update={"source": words_of(work, inputs)})
        _not_a_typo(work, places)
    if isinstance(work, GraphSpec):
        return make_plan(work, inputs)
    if inputs:
        raise UsageError("inputs belong to a graph", hint="agentroute graphs ls shows their names")
    if isinstance(work, Plan):
        return work
    if isinstance(work, str):
        return planner(work)
    graph = _graph_of(work)
    name = graph.tasks[0].id if isinstance(work, Task) else "tasks"
    return Plan(name=name, tasks=graph.tasks, choice=choose_topology(graph))


def words_of(graph: str, inputs: Mapping[str, Any]) -> tuple[str, ...]:
    """A graph and the inputs it is given, as the words of a command; secrets are redacted, by the
    names of the inputs too, since a plan is written down.

    >>> words_of("audit_project", {"path": "src", "max_files": 30})
    ('audit_project', '-i', 'path=src', '-i', 'max_files=30')
    """
    words = [graph]
    for name, value in inputs.items():
        safe = redact_json(value, under=name)
        text = safe if isinstance(safe, str) else json.dumps(safe, default=str)
        words += ["-i", f"{name}={text}"]
    return tuple(words)


def _graph_of(work: object) -> TaskGraph:
    """A task, a task as a mapping, or several of them, as a checked graph."""
    if isinstance(work, TaskGraph):
        return work
    given = [work] if isinstance(work, (Task, Mapping)) else work
    if not isinstance(given, Sequence) or isinstance(given, (bytes, bytearray)):
        raise UsageError(
            f"a {type(work).__name__} is no work",
            hint="a graph's name or path, words, a Task, a list of Task, a TaskGraph, or a Plan",
        )
    return TaskGraph([_task_of(t) for t in given])


def _task_of(value: object) -> Task:
    if isinstance(value, Task):
        return value
    if isinstance(value, str):
        return _task_of({"prompt": value})
    if not isinstance(value, Mapping):
        raise UsageError(
            f"a {type(value).__name__} is no task", hint="Task(prompt=...), or {'prompt': ...}"
        )
    try:
        return Task.model_validate(dict(value))
    except ValidationError as e:
        raise _refused(value, e) from None


def _refused(value: Mapping[Any, Any], e: ValidationError) -> UsageError:
    first = e.errors(include_url=False)[0]
    where = str(first["loc"][0]) if first["loc"] else "task"
    hint = "Task(prompt=...), or {'prompt': ...}"
    if where not in Task.model_fields:
        return UsageError(f"a task has no '{where}'", hint=did_you_mean(where, Task.model_fields))
    said = "is missing" if first["type"] == "missing" else f": {first['msg']}"
    return UsageError(f"a task's '{where}' {said}", hint=hint)


def _not_a_typo(text: str, places: Sequence[Place]) -> None:
    names = graph_files(places)
    if " " not in text.strip() and (near := get_close_matches(text, names, n=1, cutoff=0.75)):
        raise GraphError(f"no graph is called '{text}'", hint=f"did you mean '{near[0]}'?")
