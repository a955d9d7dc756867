"""What a task sees, and what it waits for, in each topology."""

from __future__ import annotations

from collections.abc import Mapping

from agentroute.execution.results import TaskOutcome
from agentroute.model.calls import AgentReply
from agentroute.model.tasks import Task, TaskGraph
from agentroute.planning.shapes import Shape

ALL = "all"
Transcript = tuple[tuple[str, str], ...]


def inputs_of(
    shape: Shape, graph: TaskGraph, v: str, outcomes: Mapping[str, TaskOutcome]
) -> dict[str, AgentReply]:
    """Replies that ``v`` may see."""
    found = {u: outcomes[u].reply for u in shape.sees(graph, v) if u in outcomes}
    return {u: reply for u, reply in found.items() if reply is not None}


def transcript_of(
    shape: Shape, graph: TaskGraph, v: str, outcomes: Mapping[str, TaskOutcome]
) -> Transcript:
    """What was said before ``v``, in order, where the shape keeps a transcript."""
    said = ((u, outcomes[u].reply) for u in shape.heard(graph, v) if u in outcomes)
    return tuple((u, reply.text) for u, reply in said if reply is not None)


def as_one_task(graph: TaskGraph, description: str = "") -> Task:
    """SINGLE with several tasks: the whole graph as one prompt, for an agent with every skill."""
    if len(graph) == 1:
        return graph.tasks[0]
    place = {v: i + 1 for i, v in enumerate(graph.order)}
    lines = [description] if description else []
    for v in graph.order:
        uses = ", ".join(str(place[p]) for p in graph.parents(v))
        lines.append(f"{place[v]}. {graph[v].prompt}" + (f" (uses {uses})" if uses else ""))
    pinned = {t.agent for t in graph}
    return Task(
        id=ALL,
        prompt="\n".join(lines),
        skills=tuple(dict.fromkeys(s for t in graph for s in t.skills)),
        agent=pinned.pop() if len(pinned) == 1 else None,
        params={"tasks": {t.id: t.params for t in graph if t.params}},
    )


def sinks(graph: TaskGraph) -> tuple[str, ...]:
    """Tasks that nobody waits for, in topological order."""
    used = {p for t in graph for p in t.depends_on}
    return tuple(v for v in graph.order if v not in used)
