"""What a task sees, and what it waits for, in each topology."""

from __future__ import annotations

from collections.abc import Mapping

from agentroute.execution.langgraph.gated import Shape
from agentroute.execution.results import TaskOutcome
from agentroute.model.calls import AgentReply
from agentroute.model.plans import Topology
from agentroute.model.tasks import Task, TaskGraph

ALL = "all"
Transcript = tuple[tuple[str, str], ...]


def shape_of(topology: Topology, graph: TaskGraph) -> Shape:
    """Which task waits for which: the DAG's own edges, or one long chain for SEQUENTIAL."""
    if topology is Topology.SEQUENTIAL:
        return Shape(graph.order, tuple(zip(graph.order, graph.order[1:], strict=False)))
    return Shape(graph.order, tuple((p, v) for v in graph.order for p in graph.parents(v)))


def inputs_of(
    topology: Topology, graph: TaskGraph, v: str, outcomes: Mapping[str, TaskOutcome]
) -> dict[str, AgentReply]:
    """Replies that ``v`` may see: its direct inputs; in HYBRID all of its ancestors."""
    seen = graph.ancestors(v) if topology is Topology.HYBRID else graph.parents(v)
    found = {u: outcomes[u].reply for u in seen if u in outcomes}
    return {u: reply for u, reply in found.items() if reply is not None}


def transcript_of(
    topology: Topology, graph: TaskGraph, v: str, outcomes: Mapping[str, TaskOutcome]
) -> Transcript:
    """SEQUENTIAL: what was said before ``v``, in order. Otherwise nothing."""
    if topology is not Topology.SEQUENTIAL:
        return ()
    before = graph.order[: graph.order.index(v)]
    said = ((u, outcomes[u].reply) for u in before if u in outcomes)
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
