"""A run inside a host's LangGraph app: a graph whose nodes call what our own run calls.

The state is JSON and names the run by id; the run itself is kept here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from agentroute.errors import ConfigError, PlanError
from agentroute.execution.decider import Decider
from agentroute.execution.history import answer, stored_reply
from agentroute.execution.langgraph.home_loop import HomeLoop
from agentroute.execution.langgraph.outer import (
    State,
    Step,
    as_message,
    ask_host,
    build_outer,
    has_checkpointer,
    host_labels,
    host_listener,
    last_words,
)
from agentroute.execution.progress import Run
from agentroute.execution.results import TaskOutcome
from agentroute.execution.runner import run_shape
from agentroute.model.ids import uuid7
from agentroute.model.plans import Plan
from agentroute.planning.lead import Order, order_of
from agentroute.planning.shapes import shape_of

if TYPE_CHECKING:
    from agentroute.execution.run import Executor


class HostGraphs:
    """Makes graphs for hosts, and is what their nodes do. A node finds its run by the state's id.

    A run that is not known here (a host resumes in a new process) is begun again from the plan in
    the state; the ledger says what was already done.
    """

    def __init__(
        self,
        executor: Executor,
        decider: Decider,
        home_loop: HomeLoop,
        planner: Callable[[str], Plan] | None,
    ) -> None:
        self._executor, self._decider, self._ledger = executor, decider, decider.ledger
        self._home_loop, self._planner = home_loop, planner
        self._runs: dict[str, Run] = {}

    def graph(self, plan: Plan | None = None) -> Any:
        """A compiled LangGraph graph for a host, to invoke (sync or async) or to mount as a node.

        It takes ``{"task": text}``, or the last human message of ``messages``; it gives ``output``,
        ``run_id`` and ``result``, and a message where the task was one. No other key of a host's
        state is read or written. A ``run_id`` of an unfinished run with the same plan is resumed;
        any other is of an earlier turn, and the run is a new one. ``user`` and ``session`` under
        ``configurable`` of the host's config are the run's labels.

        With ``plan`` the plan is fixed, in the shape that it has now, and drawn by
        ``get_graph(xray=1)``. It inherits the host's
        checkpointer; our events are its ``custom`` stream. A waiting approval is one ``interrupt``
        whose value has ``approve``: approval id to question; resume with a mapping of approval id
        (or task id) to True or False.
        """
        if plan is not None:  # what is compiled cannot be drawn anew for each run
            plan = plan.model_copy(update={"selector": None})
        given: State = {} if plan is None else {"plan": plan.model_dump(mode="json")}

        async def planned(state: State) -> State:
            return await self._plan({**given, **state})

        steps = {
            "plan": self._both(planned),
            "execute": Step(self._execute, self._execute_blocking),
            "lead": Step(self._lead, self._lead_blocking),
            "refine": self._both(self._refine),
        }
        if plan is None:
            return build_outer(steps)
        return build_outer(steps, run_shape(plan), lead=shape_of(plan.topology).led)

    def _both(self, step: Callable[[State], Any]) -> Step:
        return Step(step, lambda state: self._home_loop.run(lambda: step(state)))

    # -- the nodes ---------------------------------------------------------------------------

    async def _plan(self, state: State) -> State:
        """Make the plan where there is none; write the run's first rows."""
        words, spoken = state.get("task") or "", False
        plan = state.get("plan")
        if plan is None:
            if not words:
                words = last_words(state.get("messages") or ())
                spoken = bool(words)
            plan = await asyncio.to_thread(self._planned, words)  # a user's planner may take long
        run_id = self._unfinished(state.get("run_id"), plan) or uuid7()
        async with self._alone(run_id):
            run = self._run_of({"run_id": run_id, "plan": plan})
            await self._executor.start(run)
        if run.plan.selector is not None:  # its shape was drawn: what the next nodes are to know
            plan = run.plan.model_dump(mode="json")
        return {"run_id": run_id, "plan": plan, "spoken": spoken}

    def _unfinished(self, run_id: str | None, plan: Mapping[str, Any]) -> str | None:
        """The id, where it is of a run to go on with: the same plan, and not finished."""
        if not run_id:
            return None
        started = self._ledger.notes(run_id, "run.started")
        if not started:
            return run_id  # the host's own choice for a new run
        text = self._ledger.text(started[0].data.get("plan", ""))
        if text is None or self._ledger.notes(run_id, "run.finished"):
            return None
        same = Plan.model_validate_json(text) == Plan.model_validate(plan)
        return run_id if same else None

    def _planned(self, text: str) -> dict[str, Any]:
        if self._planner is None:
            raise PlanError("there is no planner for a task in words", hint="give a plan")
        return self._planner(text).model_dump(mode="json")

    async def _execute(self, state: State) -> State:
        """Everything that can be done; ask the host for approvals and go on."""
        while True:
            run = await self._pass(state)
            if not run.pending:
                return _executed(run)
            answer(self._ledger, run.history, self._ask(run))

    def _execute_blocking(self, state: State) -> State:
        """``_execute`` for a sync host: the work at home, the interrupt in the host's thread."""
        while True:
            run = self._home_loop.run(lambda: self._pass(state))
            if not run.pending:
                return _executed(run)
            answer(self._ledger, run.history, self._ask(run))

    async def _pass(self, state: State) -> Run:
        """Everything that can be done without a human: one round where a lead gave its orders."""
        runner = self._executor.runner
        async with self._alone(state["run_id"]):
            run = self._run_of(state)
            try:
                if shape_of(run.plan.topology).led and "orders" in state:
                    await runner.execute_round(run, run.led.left or _orders(state["orders"]))
                else:
                    await runner.execute(run)
            except BaseException:
                self._runs.pop(run.run_id, None)
                raise
        return run

    def _ask(self, run: Run) -> dict[str, bool]:
        """The host's answers; the interrupt ends this node, and the run is found again later."""
        questions = dict(run.pending)
        if not has_checkpointer():
            run.refusal = "nobody could be asked: the host graph has no checkpointer"
            return dict.fromkeys(questions, False)
        self._runs.pop(run.run_id, None)
        answers = ask_host(questions)
        self._runs[run.run_id] = run
        return answers

    async def _lead(self, state: State) -> State:
        """HIERARCHICAL: the next round's orders; none when the work is done. A lead that may not
        be called without a human's word waits for it.
        """
        while True:
            run, said = await self._round(state)
            if not run.pending:
                return said
            answer(self._ledger, run.history, self._ask(run))

    def _lead_blocking(self, state: State) -> State:
        """``_lead`` for a sync host."""
        while True:
            run, said = self._home_loop.run(lambda: self._round(state))
            if not run.pending:
                return said
            answer(self._ledger, run.history, self._ask(run))

    async def _round(self, state: State) -> tuple[Run, State]:
        """The round after those that the state knows: a repeated node decides it once."""
        async with self._alone(state["run_id"]):
            run = self._run_of(state)
            run.led.rounds, run.led.left = state.get("rounds", 0), {}
            orders = await self._executor.runner.leading.next(run)
        said = {v: o.written() for v, o in orders.items()}
        return run, {"orders": said, "rounds": run.led.rounds}

    async def _refine(self, state: State) -> State:
        """Join, verify, try low work once more, sum up, and write the run's last row."""
        async with self._alone(state["run_id"]):
            return await self._finished(state)

    async def _finished(self, state: State) -> State:
        run = self._run_of(state)
        try:
            result = await self._executor.finish(run)
            spoken, state = state.get("spoken"), _executed(run)
            state["output"], state["result"] = result.answer, result.model_dump(mode="json")
            if spoken:
                state["messages"] = [as_message(result.answer)]
            return state
        finally:
            self._runs.pop(run.run_id, None)

    # -- the run of a node -------------------------------------------------------------------

    @asynccontextmanager
    async def _alone(self, run_id: str) -> AsyncIterator[None]:
        """No other live process works on the run meanwhile; between nodes another may go on."""
        lease = await asyncio.to_thread(self._ledger.take_lease, run_id)
        try:
            yield
        finally:
            await asyncio.shield(asyncio.to_thread(lease.release))

    def _run_of(self, state: State) -> Run:
        run = self._runs.get(state["run_id"])
        if run is None:
            run = self._executor.begin(Plan.model_validate(state["plan"]), state["run_id"])
            self._check_host(run.plan)
            run.labels = host_labels()
            run.keys = run.history.keys or run.labels.keys
            self._runs[run.run_id] = run
        run.listeners = [host_listener()]
        run.led.rounds = max(run.led.rounds, state.get("rounds", 0))
        for v, data in state.get("outcomes", {}).items():
            if v not in run.outcomes:
                reply = stored_reply(self._ledger, data["reply"])
                run.outcomes[v] = TaskOutcome.from_state(data, reply)
        return run

    def _check_host(self, plan: Plan) -> None:
        """An approval inside a host needs the host's checkpointer: say so before any call, where
        a task cannot be done without one.
        """
        if has_checkpointer():
            return
        cards = self._decider.cards.cards
        for t in plan.tasks:
            able = [
                c
                for c in cards
                if t.agent == c.name or (t.agent is None and set(t.skills) <= set(c.skill_ids))
            ]
            if able and all(c.requires_approval for c in able):
                raise ConfigError(
                    f"task '{t.id}' requires approval, and the host graph has no checkpointer",
                    hint="compile the host graph with a checkpointer and pass a thread_id",
                )


def _executed(run: Run) -> State:
    usage = {k: {"tokens": t, "cost_usd": c} for k, (t, c) in run.calls.items()}
    return {"outcomes": {v: o.state() for v, o in run.outcomes.items()}, "usage": usage}


def _orders(data: Mapping[str, Any]) -> dict[str, Order]:
    return {v: order_of(v, o) for v, o in data.items()}
