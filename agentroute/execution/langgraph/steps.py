"""The steps of the outer graph: plan, execute, lead, refine. State is JSON; runs are kept here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentroute.errors import ConfigError, ExecutionError, PlanError
from agentroute.execution.decider import Decider
from agentroute.execution.ending import Ending, Finisher
from agentroute.execution.history import APPROVAL_ANSWERED, stored_reply
from agentroute.execution.langgraph.home_loop import HomeLoop
from agentroute.execution.langgraph.outer import State, ask_host, has_checkpointer, host_listener
from agentroute.execution.langgraph.runner import Runner
from agentroute.execution.progress import Run
from agentroute.execution.results import TaskOutcome
from agentroute.execution.summary import summarise
from agentroute.model.events import Note
from agentroute.model.ids import uuid7
from agentroute.model.plans import Plan
from agentroute.planning.lead import Lead, Order, RuleLead
from agentroute.planning.mermaid import mermaid
from agentroute.planning.shapes import shape_of

Begin = Callable[[Plan, str], Run]


class Steps:
    """What each node of the outer graph does. A node finds its run by the id in the state.

    A run that is not known here (a host resumes in a new process) is begun again from the plan in
    the state; the ledger says what was already done.
    """

    def __init__(
        self,
        decider: Decider,
        runner: Runner,
        finisher: Finisher,
        begin: Begin,
        home_loop: HomeLoop,
        planner: Callable[[str], Plan] | None,
    ) -> None:
        self._decider, self._ledger = decider, decider.ledger
        self._runner, self._finisher = runner, finisher
        self._begin, self._home_loop, self._planner = begin, home_loop, planner
        self.runs: dict[str, Run] = {}

    async def plan(self, state: State) -> State:
        """Make the plan where there is none; write the run's first rows."""
        plan = state.get("plan") or self._planned(state.get("task", ""))
        run_id = state.get("run_id") or uuid7()
        run = await self._run_of({"run_id": run_id, "plan": plan})
        await self._write_start(run)
        return {"run_id": run_id, "plan": plan}

    def _planned(self, text: str) -> dict[str, Any]:
        if self._planner is None:
            raise PlanError("there is no planner for a task in words", hint="give a plan")
        return self._planner(text).model_dump(mode="json")

    async def _run_of(self, state: State) -> Run:
        run = self.runs.get(state["run_id"])
        if run is None:
            run = self._begin(Plan.model_validate(state["plan"]), state["run_id"])
            run.hosted = True
            self._check_host()
            self.runs[run.run_id] = run
        if run.hosted:
            run.listeners = [host_listener()]
        for v, data in state.get("outcomes", {}).items():
            if v not in run.outcomes:
                reply = stored_reply(self._ledger, data["reply"])
                run.outcomes[v] = TaskOutcome.from_state(data, reply)
        return run

    def _check_host(self) -> None:
        """An approval inside a host needs the host's checkpointer: say so before any call."""
        if any(c.requires_approval for c in self._decider.cards.cards) and not has_checkpointer():
            raise ConfigError(
                "an agent requires approval, and the host graph has no checkpointer",
                hint="compile the host graph with a checkpointer and pass a thread_id",
            )

    async def _write_start(self, run: Run) -> None:
        """The run's first rows: start, plan, topology with all its numbers. Once a run."""
        plan, c = run.plan, run.plan.choice
        if run.history.decision("", "topology", 1) is None:
            sha = self._ledger.put_text(plan.model_dump_json())
            data = {"name": plan.name, "topology": c.topology.value, "plan": sha}
            self._note(run, "run.started", data)
            await self._decider.record(
                run.history, "plan", (plan.name,), policy="graph", wait=False,
                reason=f"{len(plan.tasks)} tasks", context={"plan": sha},
            )  # fmt: skip
            await self._decider.record(
                run.history, "topology", (c.topology.value,), policy="adaptorch",
                reason=c.reason, context=c.model_dump(mode="json"),
            )  # fmt: skip
        run.emit("run.started", name=plan.name, tasks=len(plan.tasks))
        run.emit(
            "plan.created", tasks=list(run.graph.order), topology=c.topology.value,
            reason=c.reason, mermaid=mermaid(plan),
        )  # fmt: skip

    def _note(self, run: Run, type: str, data: dict[str, Any]) -> Any:
        return self._ledger.append(Note(id=uuid7(), run_id=run.run_id, type=type, data=data))

    async def execute(self, state: State) -> State:
        """Everything that can be done; inside a host, ask for approvals and go on."""
        while True:
            run = await self._pass(state)
            if not self._must_ask(run):
                return self._executed(run)
            self.answer(run, self._ask(run))

    def execute_blocking(self, state: State) -> State:
        """``execute`` for a sync host: the work at home, the interrupt in the host's thread."""
        while True:
            run = self._home_loop.run(lambda: self._pass(state))
            if not self._must_ask(run):
                return self._executed(run)
            self.answer(run, self._ask(run))

    def _must_ask(self, run: Run) -> bool:
        return bool(run.pending) and run.hosted

    def _ask(self, run: Run) -> dict[str, bool]:
        """The host's answers; the interrupt ends this node, and the run is found again later."""
        questions = dict(run.pending)
        self.runs.pop(run.run_id, None)
        answers = ask_host(questions)
        self.runs[run.run_id] = run
        return answers

    def _executed(self, run: Run) -> State:
        usage = {k: {"tokens": t, "cost_usd": c} for k, (t, c) in run.calls.items()}
        return {"outcomes": {v: o.state() for v, o in run.outcomes.items()}, "usage": usage}

    async def _pass(self, state: State) -> Run:
        """Everything that can be done without a human: one gated graph, or a lead's rounds."""
        run = await self._run_of(state)
        try:
            if not shape_of(run.plan.topology).led:
                await self._runner.execute(run)
            elif "orders" in state:
                await self._runner.execute_round(run, _orders(state["orders"]))
            else:
                while not run.pending and (orders := self._next_orders(run)):
                    await self._runner.execute_round(run, _orders(orders))
        except BaseException:
            self._forget(run)
            raise
        return run

    def _forget(self, run: Run) -> None:
        if run.hosted:
            self.runs.pop(run.run_id, None)

    def answer(self, run: Run, approvals: Mapping[str, bool]) -> None:
        """Write down a human's answers, each by approval id or by task id.

        Raises:
            ExecutionError: nothing waits under that name.
        """
        for name, approved in approvals.items():
            approval_id = run.history.questions.get(name, name)
            if approval_id not in run.history.questions.values():
                raise ExecutionError(
                    f"nothing waits for an approval of '{name}' in run {run.run_id}",
                    hint="waiting: " + (", ".join(run.history.questions) or "nothing"),
                )
            data = {"approval_id": approval_id, "approved": approved}
            note = Note(id=uuid7(), run_id=run.run_id, type=APPROVAL_ANSWERED, data=data)
            self._ledger.append(note)
            run.history.noted(note)

    def _leader(self, run: Run) -> Lead:
        return RuleLead(run.graph)

    def _next_orders(self, run: Run) -> dict[str, Any]:
        reports = {v: o.report() for v, o in run.outcomes.items()}
        orders = self._leader(run).next(reports)
        return {o.task_id: {"exclude": list(o.exclude), "reason": o.reason} for o in orders}

    async def lead(self, state: State) -> State:
        """HIERARCHICAL: the next round's orders; none when the work is done."""
        run = await self._run_of(state)
        return {"orders": {} if run.pending else self._next_orders(run)}

    async def refine(self, state: State) -> State:
        """Join, verify, sum up, and write the run's last row."""
        run = await self._run_of(state)
        try:
            return await self._finish(run)
        finally:
            self._forget(run)

    async def _finish(self, run: Run) -> State:
        run.said = [line for v in _in_order(run) for line in run.outcomes[v].said]
        waits = bool(run.pending)
        ending = Ending(None) if waits else await self._finisher.join(run)
        run.said += ending.said
        scores: tuple[dict[str, Any], ...] = ()
        if run.verify and ending.reply is not None:
            scores = await self._finisher.verify(run, ending.reply)
        result = run.result = summarise(run, ending, scores)
        if not waits:
            sha = self._ledger.put_text(result.answer) if result.answer else None
            data = {"status": result.status, "degraded": list(result.degraded), "answer": sha,
                    "usage": result.usage.model_dump()}  # fmt: skip
            await self._note(run, "run.finished", data)
        run.emit("run.finished", status=result.status)
        return {"output": result.answer, "result": result.model_dump(mode="json")}


def _orders(data: Mapping[str, Any]) -> dict[str, Order]:
    return {v: Order(v, tuple(o["exclude"]), o["reason"]) for v, o in data.items()}


def _in_order(run: Run) -> list[str]:
    place = {v: i for i, v in enumerate(run.graph.order)}
    return sorted(run.outcomes, key=lambda v: place.get(v, -1))
