"""Carries out a plan: each topology with its own meaning, every task through the one retry loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agentroute.execution.attempts import Assignment, Attempts, Waiting
from agentroute.execution.langgraph.gated import Running, Wiring, run_gated
from agentroute.execution.progress import Gates, Run
from agentroute.execution.results import TaskOutcome
from agentroute.execution.views import as_one_task, inputs_of, transcript_of
from agentroute.model.plans import Plan
from agentroute.model.tasks import Task, TaskGraph
from agentroute.planning.lead import Order
from agentroute.planning.shapes import shape_of


def run_shape(plan: Plan) -> Wiring:
    """The gated graph a plan runs as: one node for SINGLE, a chain for SEQUENTIAL, else the DAG."""
    graph, shape = plan.graph(), shape_of(plan.topology)
    if shape.whole:
        return Wiring((as_one_task(graph).id,))
    return Wiring(graph.order, shape.edges(graph))


class Runner:
    """Runs the tasks of a run in the order its topology asks for."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts

    async def execute(self, run: Run) -> None:
        """All tasks in one gated graph; fills ``run.outcomes`` and ``run.pending``."""
        await self._gated(run, run_shape(run.plan), {})

    async def execute_round(self, run: Run, orders: Mapping[str, Order]) -> None:
        """HIERARCHICAL: the tasks a lead issued, side by side."""
        nodes = tuple(v for v in run.graph.order if v in orders)
        await self._gated(run, Wiring(nodes), orders)

    async def _gated(self, run: Run, shape: Wiring, orders: Mapping[str, Order]) -> None:
        done = {v: o for v, o in run.outcomes.items() if v not in orders}
        run.pending.clear()

        async def work(v: str) -> dict[str, Any] | None:
            out = await self._task(run, v, orders.get(v))
            if out is None:
                return None
            run.outcomes[v] = done[v] = out
            return out.state()

        await run_gated(shape, Running(Gates(run.bounds.max_concurrency), work, done))

    async def _task(self, run: Run, v: str, order: Order | None) -> TaskOutcome | None:
        graph = run.graph
        task = graph[v] if v in graph else as_one_task(graph, run.plan.description)
        before = run.outcomes.get(v)
        work = _work(run, task, graph, order, before)
        if work is None:
            words = f"task '{v}': skipped, none of its inputs is there"
            return TaskOutcome(v, "skipped", said=(words,))
        out = await self._attempts(run, work)
        if isinstance(out, Waiting):
            return None
        return out if before is None else _again(before, out)


def _work(
    run: Run, task: Task, graph: TaskGraph, order: Order | None, before: TaskOutcome | None
) -> Assignment | None:
    v, shape = task.id, shape_of(run.plan.topology)
    parents = graph.parents(v) if v in graph else ()
    direct = [run.outcomes[p] for p in parents if p in run.outcomes]
    if parents and not any(o.reply is not None for o in direct):
        return None
    return Assignment(
        task=task,
        inputs=inputs_of(shape, graph, v, run.outcomes) if v in graph else {},
        transcript=transcript_of(shape, graph, v, run.outcomes) if v in graph else (),
        upstream=tuple(dict.fromkeys(a for o in direct for a in o.agents)),
        stage=_stage(run, v),
        agent=task.agent,
        attempt=before.attempt + 1 if before is not None else 1,
        exclude=order.exclude if order is not None else (),
        reason=order.reason if order is not None and before is not None else "",
    )


def _stage(run: Run, v: str) -> int:
    layers = run.plan.choice.stats.generations
    return next((i for i, layer in enumerate(layers) if v in layer), 0)


def _again(before: TaskOutcome, now: TaskOutcome) -> TaskOutcome:
    """A task issued again: what the second issue brought, or the first one where it brought none.

    A first issue that failed is told of even when the second succeeded.
    """
    issued = before.issued + 1
    tried = tuple(dict.fromkeys([*before.tried, *now.tried]))
    if now.reply is None:
        said = before.said + now.said if now.tried else before.said
        attempt = max(before.attempt, now.attempt)
        return replace(before, issued=issued, tried=tried, attempt=attempt, said=said)
    said = before.said + now.said
    return replace(now, issued=issued, tried=tried, said=said)
