"""Runs plans: the outer graph's steps, the rows a run writes about itself, and its result."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentroute.errors import ConfigError, ExecutionError, PlanError
from agentroute.execution.attempts import Attempts
from agentroute.execution.budget import Purse
from agentroute.execution.call import Caller
from agentroute.execution.conductor import Conductor, run_shape
from agentroute.execution.desk import Desk, Rules
from agentroute.execution.ending import DEFAULT_REFINER, Ending, Finisher
from agentroute.execution.history import APPROVAL_ANSWERED, History, stored_reply
from agentroute.execution.outer import State, ask_host, build_outer, has_checkpointer
from agentroute.execution.ports import Book, ChatFactory, Directory, Emit
from agentroute.execution.results import TaskOutcome
from agentroute.execution.run import Bounds, Run
from agentroute.execution.summary import summarise
from agentroute.execution.workers import WorkerPool
from agentroute.model.decisions import Note
from agentroute.model.ids import uuid7
from agentroute.model.plans import AgentUse, Plan, Topology
from agentroute.model.runs import RunResult
from agentroute.planning.lead import Lead, Order, RuleLead
from agentroute.planning.mermaid import mermaid

Planner = Callable[[str], Plan]


class Executor:
    """Carries plans out. One event loop; ``aclose`` ends its processes.

    ``make_rules(plan)`` says how a run chooses; ``refine`` is the refiner for plans that name
    none; ``workroot`` is where calls get their folders.
    """

    def __init__(
        self,
        desk: Desk,
        directory: Directory,
        book: Book,
        make_rules: Callable[[Plan], Rules],
        *,
        pool: WorkerPool | None = None,
        chat: ChatFactory | None = None,
        refine: AgentUse | None = None,
        bounds: Bounds | None = None,
        workroot: Path | None = None,
        planner: Planner | None = None,
    ) -> None:
        self._desk, self._book, self._make_rules = desk, book, make_rules
        self.pool = pool or WorkerPool()
        self._attempts = Attempts(desk, Caller(directory, self.pool, chat=chat), directory)
        self._conductor = Conductor(self._attempts)
        self._finisher = Finisher(self._attempts, directory, book, refine=refine or DEFAULT_REFINER)
        self._bounds = bounds or Bounds()
        self._workroot = workroot
        self._planner = planner
        self._runs: dict[str, Run] = {}

    async def run(
        self,
        plan: Plan,
        *,
        run_id: str | None = None,
        rules: Rules | None = None,
        bounds: Bounds | None = None,
        emit: Emit | None = None,
        stream: bool = False,
        verify: bool = True,
        approvals: Mapping[str, bool] | None = None,
    ) -> RunResult:
        """Carry out ``plan``; with the ``run_id`` of an earlier life, go on where it ended.

        ``approvals`` maps a waiting task to yes or no. Agents' failures end in the result's
        ``status`` and ``degraded``.

        Raises:
            LedgerBusyError: another live process works on this run.
            LedgerError: a row could not be committed.
        """
        run_id = run_id or uuid7()
        lease = await asyncio.to_thread(self._book.take_lease, run_id)
        try:
            run = self._begin(plan, run_id, rules, bounds)
            run.stream, run.verify = stream, verify
            if emit is not None:
                run.listeners.append(emit)
            self._answer(run, approvals or {})
            self._runs[run_id] = run
            return await self._invoke(run)
        finally:
            self._runs.pop(run_id, None)
            await asyncio.shield(asyncio.to_thread(lease.release))

    async def _invoke(self, run: Run) -> RunResult:
        state = {"run_id": run.run_id, "plan": run.plan.model_dump(mode="json")}
        limit = {"recursion_limit": 4 * len(run.plan.tasks) + 16}
        out = await self._outer(run.plan).ainvoke(state, limit)
        return run.result or RunResult.model_validate(out["result"])

    def as_graph(self, plan: Plan | None = None) -> Any:
        """A compiled LangGraph graph for a host, to invoke or to mount as a node.

        It takes ``{"task": text}`` (and optionally ``run_id``) and gives ``output``, ``outcomes``
        and ``result``; with ``plan`` the plan is fixed and drawn by ``get_graph(xray=1)``. It
        inherits the host's checkpointer. A waiting approval is one ``interrupt`` whose value has
        ``approve``: approval id to question; resume with a mapping of approval id (or task id) to
        yes or no.
        """
        return self._outer(plan)

    def _begin(
        self, plan: Plan, run_id: str, rules: Rules | None = None, bounds: Bounds | None = None
    ) -> Run:
        history = History.load(self._book, run_id)
        bounds = bounds or self._bounds
        return Run(
            run_id=run_id,
            plan=plan,
            rules=rules or self._make_rules(plan),
            history=history,
            bounds=bounds,
            workroot=self._root(),
            purse=Purse(bounds.usd, bounds.calls, spent_usd=history.spent_usd),
        )

    def _root(self) -> Path:
        if self._workroot is None:
            self._workroot = Path(tempfile.mkdtemp(prefix="agentroute-"))
        return self._workroot

    def _answer(self, run: Run, approvals: Mapping[str, bool]) -> None:
        for task_id, approved in approvals.items():
            approval_id = run.history.questions.get(task_id, task_id)
            if approval_id not in run.history.questions.values():
                raise ExecutionError(
                    f"nothing waits for an approval of '{task_id}' in run {run.run_id}",
                    hint="waiting: " + ", ".join(run.history.questions),
                )
            data = {"approval_id": approval_id, "approved": approved}
            note = Note(id=uuid7(), run_id=run.run_id, type=APPROVAL_ANSWERED, data=data)
            self._book.append(note)
            run.history.noted(note)

    def _outer(self, plan: Plan | None) -> Any:
        async def planned(state: State) -> State:
            given: State = {"plan": plan.model_dump(mode="json")} if plan is not None else {}
            return await self._plan({**given, **state})

        steps = {
            "plan": planned, "execute": self._execute,
            "refine": self._refine, "lead": self._lead,
        }  # fmt: skip
        if plan is None:
            return build_outer(steps)
        led = plan.topology is Topology.HIERARCHICAL
        return build_outer(steps, run_shape(plan), lead=led)

    # The steps of the outer graph. State is JSON; the run itself is found by its id.

    async def _run_of(self, state: State) -> Run:
        run = self._runs.get(state["run_id"])
        if run is None:
            run = self._begin(Plan.model_validate(state["plan"]), state["run_id"])
            run.hosted = True
            self._check_host()
            self._runs[run.run_id] = run
        for v, data in state.get("outcomes", {}).items():
            if v not in run.outcomes:
                reply = stored_reply(self._book, data["reply"])
                run.outcomes[v] = TaskOutcome.from_state(data, reply)
        return run

    async def _plan(self, state: State) -> State:
        plan = state.get("plan") or self._planned(state["task"])
        run_id = state.get("run_id") or uuid7()
        run = await self._run_of({"run_id": run_id, "plan": plan})
        await self._write_start(run)
        return {"run_id": run_id, "plan": plan}

    def _planned(self, text: str) -> dict[str, Any]:
        if self._planner is None:
            raise PlanError("there is no planner for a task in words", hint="give a plan")
        return self._planner(text).model_dump(mode="json")

    async def _write_start(self, run: Run) -> None:
        """The run's first rows: start, plan, topology with all its numbers. Once a run."""
        plan, c = run.plan, run.plan.choice
        text = plan.model_dump_json()
        if run.history.decision("", "topology", 1) is None:
            sha = self._book.put_text(text)
            data = {"name": plan.name, "topology": c.topology.value, "plan": sha}
            self._note(run, "run.started", data)
            await self._desk.record(
                run.history, "plan", (plan.name,), policy="graph", wait=False,
                reason=f"{len(plan.tasks)} tasks", context={"plan": sha},
            )  # fmt: skip
            await self._desk.record(
                run.history, "topology", (c.topology.value,), policy="adaptorch",
                reason=c.reason, context=c.model_dump(mode="json"),
            )  # fmt: skip
        run.emit("run.started", name=plan.name, tasks=len(plan.tasks))
        run.emit(
            "plan.created",
            tasks=list(run.graph.order),
            topology=c.topology.value,
            reason=c.reason,
            mermaid=mermaid(plan),
        )

    def _note(self, run: Run, type: str, data: dict[str, Any]) -> Any:
        return self._book.append(Note(id=uuid7(), run_id=run.run_id, type=type, data=data))

    def _check_host(self) -> None:
        """An approval inside a host needs the host's checkpointer: say so before any call."""
        if any(c.requires_approval for c in self._desk.cards.cards) and not has_checkpointer():
            raise ConfigError(
                "an agent requires approval, and the host graph has no checkpointer",
                hint="compile the host graph with a checkpointer and pass a thread_id",
            )

    async def _execute(self, state: State) -> State:
        run = await self._run_of(state)
        while True:
            await self._pass(run, state)
            if not (run.pending and run.hosted):
                break
            self._answer(run, ask_host(run.pending))
        usage = {k: {"tokens": t, "cost_usd": c} for k, (t, c) in run.calls.items()}
        return {"outcomes": {v: o.state() for v, o in run.outcomes.items()}, "usage": usage}

    async def _pass(self, run: Run, state: State) -> None:
        """Everything that can be done without a human: one gated graph, or a lead's rounds."""
        if run.plan.topology is not Topology.HIERARCHICAL:
            await self._conductor.execute(run)
        elif "orders" in state:
            await self._conductor.execute_round(run, _orders(state["orders"]))
        else:
            while not run.pending and (orders := self._next_orders(run)):
                await self._conductor.execute_round(run, _orders(orders))

    def _leader(self, run: Run) -> Lead:
        return RuleLead(run.graph)

    def _next_orders(self, run: Run) -> dict[str, Any]:
        reports = {v: o.report() for v, o in run.outcomes.items()}
        orders = self._leader(run).next(reports)
        return {o.task_id: {"exclude": list(o.exclude), "reason": o.reason} for o in orders}

    async def _lead(self, state: State) -> State:
        run = await self._run_of(state)
        return {"orders": {} if run.pending else self._next_orders(run)}

    async def _refine(self, state: State) -> State:
        run = await self._run_of(state)
        run.said = [line for v in _in_order(run) for line in run.outcomes[v].said]
        waits = bool(run.pending)
        ending = Ending(None) if waits else await self._finisher.join(run)
        run.said += ending.said
        scores: tuple[dict[str, Any], ...] = ()
        if run.verify and ending.reply is not None:
            scores = await self._finisher.verify(run, ending.reply)
        result = summarise(run, ending, scores)
        if not waits:
            sha = self._book.put_text(result.answer) if result.answer else None
            await self._note(
                run, "run.finished",
                {"status": result.status, "degraded": list(result.degraded), "answer": sha,
                 "usage": result.usage.model_dump()},
            )  # fmt: skip
        run.emit("run.finished", status=result.status)
        run.result = result
        if run.hosted:
            self._runs.pop(run.run_id, None)
        return {"output": result.answer, "result": result.model_dump(mode="json")}

    async def drain(self) -> None:
        """Wait for shadow agents that still run beside."""
        while self._attempts.beside:
            await asyncio.gather(*self._attempts.beside, return_exceptions=True)

    async def aclose(self) -> None:
        """Stop shadows and end every process."""
        for task in list(self._attempts.beside):
            task.cancel()
        await self.drain()
        await self.pool.aclose()


def _orders(data: Mapping[str, Any]) -> dict[str, Order]:
    return {v: Order(v, tuple(o["exclude"]), o["reason"]) for v, o in data.items()}


def _in_order(run: Run) -> list[str]:
    place = {v: i for i, v in enumerate(run.graph.order)}
    return sorted(run.outcomes, key=lambda v: place.get(v, -1))
