"""Carries out a plan's tasks: what each waits for and sees in its topology, then the retry loop."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import Any

from agentroute.execution.batching.batches import Batches
from agentroute.execution.langgraph.gated import Gates, Running, Wiring, run_gated
from agentroute.execution.leading.rounds import Leading
from agentroute.execution.progress import Assignment, Run
from agentroute.execution.results import TaskOutcome
from agentroute.execution.trying.approving import Waiting
from agentroute.execution.trying.attempts import Attempts
from agentroute.model.calls import ASKED_AGAIN, AgentReply
from agentroute.model.plans import Plan
from agentroute.model.tasks import Task, TaskGraph
from agentroute.planning.lead import Order
from agentroute.planning.shapes import Shape, shape_of

ALL = "all"
Transcript = tuple[tuple[str, str], ...]


def run_shape(plan: Plan) -> Wiring:
    """The gated graph a plan runs as: one node for SINGLE, a chain for SEQUENTIAL, else the DAG."""
    graph, shape = plan.graph(), shape_of(plan.topology)
    if shape.whole:
        return Wiring((as_one_task(graph).id,))
    return Wiring(graph.order, shape.edges(graph))


class Runner:
    """Runs the tasks of a run in the order its topology asks for."""

    def __init__(self, attempts: Attempts, batches: Batches) -> None:
        self._attempts, self._batches = attempts, batches
        self.leading = Leading(attempts)

    async def execute(self, run: Run) -> None:
        """All that can be done without a human: every task, or round by round under a lead.

        Fills ``run.outcomes`` and ``run.pending``; what was done is on the disk when it returns.
        """
        if not shape_of(run.plan.topology).led:
            await self._gated(run, run_shape(run.plan), {})
            await run.recorded()
            return
        while orders := await self.leading.next(run):
            await self.execute_round(run, orders)
            if run.pending:
                break

    async def execute_round(self, run: Run, orders: Mapping[str, Order]) -> None:
        """HIERARCHICAL: the tasks a lead issued, side by side; what waits for a human is left."""
        nodes = tuple(v for v in run.graph.order if v in orders)
        before = dict(run.outcomes)
        await self._gated(run, Wiring(nodes), orders)
        waits = (v for v in nodes if run.outcomes.get(v) is before.get(v))
        run.led.left = {v: orders[v] for v in waits} if run.pending else {}
        await run.recorded()

    async def again(
        self, run: Run, orders: Mapping[str, Order], without: Collection[str] = ()
    ) -> bool:
        """Ended tasks once more: those of ``orders``, then whatever used one that has a new reply.

        The agents ``without`` are left out of both. False where nothing new came of it, or where
        a task that used a new reply could not be done again: then the outcomes do not fit together
        and are as they were before.
        """
        before = dict(run.outcomes)
        await self._gated(run, Wiring(tuple(orders)), orders)
        new = {v for v in orders if run.outcomes[v].decision_id != before[v].decision_id}
        after = used_by(run, new)
        if after:
            order = Order("", tuple(sorted(without)), "what it uses was done again")
            edges = [e for e in run_shape(run.plan).edges if set(e) <= set(after)]
            await self._gated(run, Wiring(after, tuple(edges)), dict.fromkeys(after, order))
        stale = [
            v for v in after
            if before[v].reply is not None
            and run.outcomes[v].decision_id == before[v].decision_id
        ]  # fmt: skip
        if new and not stale and not run.pending:
            return True
        run.pending.clear()
        now = run.outcomes
        run.outcomes = {v: replace(o, said=now[v].said, tried=now[v].tried) if v in orders else o
                        for v, o in before.items()}  # fmt: skip
        return False

    async def anew(self, run: Run, reason: str) -> bool:
        """Every task once more in the run's shape of now, each by a decision of its own.

        False where one could not be done again: then the outcomes are as they were before.
        """
        before, shape = dict(run.outcomes), run_shape(run.plan)
        orders = {v: Order(v, reason=reason) for v in shape.nodes}
        await self._gated(run, shape, orders)
        while shape_of(run.plan.topology).led and not run.pending:
            if not (more := await self.leading.next(run)):
                break
            await self.execute_round(run, more)
        await run.recorded()
        lost = any(o.reply is not None and run.outcomes[v].reply is None
                   for v, o in before.items() if v in run.outcomes)  # fmt: skip
        if run.pending or lost or set(shape.nodes) != set(before):
            run.pending.clear()
            run.outcomes = before
            return False
        return True

    async def _gated(self, run: Run, shape: Wiring, orders: Mapping[str, Order]) -> None:
        done = {v: o for v, o in run.outcomes.items() if v not in orders}
        run.pending.clear()

        async def work(v: str) -> dict[str, Any] | None:
            out = await self._task(run, v, orders.get(v))
            if out is None:
                return None
            run.outcomes[v] = done[v] = out
            return out.state()

        def admit(v: str) -> AbstractAsyncContextManager[None]:
            return self._batches.admitted(run, v, partial(_issued, run))

        await run_gated(shape, Running(Gates(run.bounds.max_concurrency), work, done, admit))

    async def _task(self, run: Run, v: str, order: Order | None) -> TaskOutcome | None:
        graph = run.graph
        task = graph[v] if v in graph else as_one_task(graph, run.plan.description)
        before = run.outcomes.get(v)
        work = _work(run, task, graph, order, before)
        if work is None:
            return TaskOutcome(v, "skipped")
        out = await self._attempts(run, work)
        if isinstance(out, Waiting):
            return None
        return out if before is None else _again(before, out)


def _issued(run: Run, v: str) -> Assignment | None:
    """An item of a batch as it is first issued; None where what it waited for has no answer."""
    return _work(run, run.graph[v], run.graph, None, None)


def told(run: Run) -> list[str]:
    """What went wrong on the way: each failure once, with the tasks that were not done for it."""
    lost: dict[str, list[str]] = {}
    for v in run.graph.order:
        if v in run.outcomes and run.outcomes[v].status == "skipped":
            lost.setdefault(_cause(run, v), []).append(v)
    lines: list[str] = []
    for o in run.in_order:
        lines += o.said
        if missed := lost.get(o.task_id):
            why = lines.pop() if o.said else f"task '{o.task_id}' has no answer"
            lines.append(f"{why}; not done without it: {', '.join(missed)}")
    return [*lines, *run.led.said]


def _cause(run: Run, v: str) -> str:
    """The task before ``v`` without whose answer it could not be done."""
    while run.outcomes[v].status == "skipped":
        before = [p for p in run.graph.parents(v) if p in run.outcomes]
        if not before:
            break
        v = before[0]
    return v


def _work(
    run: Run, task: Task, graph: TaskGraph, order: Order | None, before: TaskOutcome | None
) -> Assignment | None:
    v, shape = task.id, shape_of(run.plan.topology)
    parents = graph.parents(v) if v in graph else ()
    direct = [run.outcomes[p] for p in parents if p in run.outcomes]
    if parents and not any(o.reply is not None for o in direct):
        return None
    if order is not None and order.words:  # as data of the call: an agent without it is as before
        task = task.model_copy(update={"params": {**task.params, ASKED_AGAIN: order.words}})
    return Assignment(
        task=task,
        inputs=inputs_of(shape, graph, v, run.outcomes) if v in graph else {},
        transcript=transcript_of(shape, graph, v, run.outcomes) if v in graph else (),
        upstream=tuple(dict.fromkeys(a for o in direct for a in o.agents)),
        stage=run.stages.get(v, 0),
        agent=task.agent,
        attempt=before.attempt + 1 if before is not None else 1,
        exclude=order.exclude if order is not None else (),
        reason=order.reason
        if order is not None and before is not None
        else run.seats.alone.get(v, "")
        if before is None
        else "",
    )


def used_by(run: Run, changed: Collection[str]) -> tuple[str, ...]:
    """Ended tasks that saw or heard one of ``changed``, directly or not, in the plan's order."""
    graph, shape, found = run.graph, shape_of(run.plan.topology), set(changed)
    after = []
    for v in graph.order:
        known = {*graph.parents(v), *shape.sees(graph, v), *shape.heard(graph, v)}
        if known & found and v in run.outcomes:
            found.add(v)
            after.append(v)
    return tuple(after)


def _again(before: TaskOutcome, now: TaskOutcome) -> TaskOutcome:
    """A task issued again: what the second issue brought, or the first one where it brought none.

    Whoever does not know does not stand in for an answer. A first issue that failed is told of even
    when the second succeeded.
    """
    issued = before.issued + 1
    tried = tuple(dict.fromkeys([*before.tried, *now.tried]))
    if now.reply is None or (before.status == "ok" and now.status == "abstained"):
        said = before.said + now.said if now.tried else before.said
        attempt = max(before.attempt, now.attempt)
        return replace(before, issued=issued, tried=tried, attempt=attempt, said=said)
    said = before.said + now.said
    return replace(now, issued=issued, tried=tried, said=said)


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
    heard = ((u, outcomes.get(u)) for u in shape.heard(graph, v))
    return tuple([(u, o.reply.text) for u, o in heard if o is not None and o.reply is not None])


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
