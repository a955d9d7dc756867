"""Runs plans: builds the outer graph, begins and ends runs, owns processes."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentroute.errors import UnknownAgentError
from agentroute.execution.attempts import Attempts
from agentroute.execution.budget import Budget
from agentroute.execution.calls.caller import Caller, ChatFactory
from agentroute.execution.calls.pool import WorkerPool
from agentroute.execution.decider import Decider, Rules
from agentroute.execution.ending import DEFAULT_REFINER, Finisher
from agentroute.execution.history import History
from agentroute.execution.langgraph.home_loop import HomeLoop
from agentroute.execution.langgraph.outer import State, Step, build_outer
from agentroute.execution.langgraph.runner import Runner, run_shape
from agentroute.execution.langgraph.steps import Steps
from agentroute.execution.progress import Run, RunLimits
from agentroute.ledger import Ledger
from agentroute.model.events import Emit
from agentroute.model.ids import uuid7
from agentroute.model.plans import AgentUse, Plan
from agentroute.model.runs import RunResult
from agentroute.planning.shapes import shape_of
from agentroute.registry.registry import Registry

Planner = Callable[[str], Plan]


class Executor:
    """Carries plans out. ``aclose`` (or ``close``, without a loop) ends its processes.

    ``make_rules(plan)`` says how a run chooses; ``refine`` is the refiner for plans that name
    none; ``workroot`` is where calls get their folders.
    """

    def __init__(
        self,
        decider: Decider,
        registry: Registry,
        ledger: Ledger,
        make_rules: Callable[[Plan], Rules],
        *,
        pool: WorkerPool | None = None,
        chat: ChatFactory | None = None,
        refine: AgentUse | None = None,
        bounds: RunLimits | None = None,
        workroot: Path | None = None,
        planner: Planner | None = None,
    ) -> None:
        self._registry, self._ledger, self._make_rules = registry, ledger, make_rules
        self.pool = pool or WorkerPool()
        self._bounds = bounds or RunLimits()
        self._workroot = workroot
        self._home_loop = HomeLoop()
        self._runners: dict[bool, Any] = {}
        self._attempts = Attempts(decider, Caller(registry, self.pool, chat=chat), registry)
        self._plan_steps = Steps(
            decider,
            Runner(self._attempts),
            Finisher(self._attempts, registry, ledger, refine=refine or DEFAULT_REFINER),
            self._begin,
            self._home_loop,
            planner,
        )

    async def run(
        self,
        plan: Plan,
        *,
        run_id: str | None = None,
        rules: Rules | None = None,
        bounds: RunLimits | None = None,
        emit: Emit | None = None,
        stream: bool = False,
        verify: bool = True,
        approvals: Mapping[str, bool] | None = None,
    ) -> RunResult:
        """Carry out ``plan``; with the ``run_id`` of an earlier life, go on where it ended.

        ``approvals`` maps a waiting task to yes or no. Agents' failures end in the result's
        ``status`` and ``degraded``.

        Raises:
            UnknownAgentError: the plan names a refiner, verifier or agent that does not exist.
            LedgerBusyError: another live process works on this run.
            LedgerError: a row could not be committed.
        """
        self._home_loop.adopt()
        run_id = run_id or uuid7()
        lease = await asyncio.to_thread(self._ledger.take_lease, run_id)
        try:
            run = self._begin(plan, run_id, rules, bounds)
            run.stream, run.verify = stream, verify
            if emit is not None:
                run.listeners.append(emit)
            self._plan_steps.answer(run, approvals or {})
            self._plan_steps.runs[run_id] = run
            return await self._invoke(run)
        finally:
            self._plan_steps.runs.pop(run_id, None)
            await asyncio.shield(asyncio.to_thread(lease.release))

    async def _invoke(self, run: Run) -> RunResult:
        state = {"run_id": run.run_id, "plan": run.plan.model_dump(mode="json")}
        limit = {"recursion_limit": 4 * len(run.plan.tasks) + 16}
        out = await self._runner(shape_of(run.plan.topology).led).ainvoke(state, limit)
        return run.result or RunResult.model_validate(out["result"])

    def as_graph(self, plan: Plan | None = None) -> Any:
        """A compiled LangGraph graph for a host, to invoke (sync or async) or to mount as a node.

        It takes ``{"task": text}`` (and optionally ``run_id``) and gives ``output``, ``outcomes``
        and ``result``; with ``plan`` the plan is fixed and drawn by ``get_graph(xray=1)``. It
        inherits the host's checkpointer; our events are its ``custom`` stream. A waiting approval
        is one ``interrupt`` whose value has ``approve``: approval id to question; resume with a
        mapping of approval id (or task id) to yes or no.
        """
        return self._outer(plan)

    def _begin(
        self, plan: Plan, run_id: str, rules: Rules | None = None, bounds: RunLimits | None = None
    ) -> Run:
        self._check_names(plan)
        history = History.load(self._ledger, run_id)
        bounds = bounds or self._bounds
        spent, made = history.spent_usd, len(history.all_outcomes)
        budget = Budget(bounds.usd, bounds.calls, spent_usd=spent, made=made)
        return Run(
            run_id=run_id,
            plan=plan,
            rules=rules or self._make_rules(plan),
            history=history,
            bounds=bounds,
            workroot=self._root(),
            budget=budget,
        )

    def _check_names(self, plan: Plan) -> None:
        named = [u.name for u in (plan.refine, *plan.verifiers) if u is not None]
        for name in (*named, *(t.agent for t in plan.tasks if t.agent)):
            if name not in self._registry:
                raise UnknownAgentError(name)

    def _root(self) -> Path:
        if self._workroot is None:
            self._workroot = Path(tempfile.mkdtemp(prefix="agentroute-"))
        return self._workroot.absolute()

    def _runner(self, led: bool) -> Any:
        """The outer graph that ``run`` uses: no picture, so one for each of two forms."""
        if led not in self._runners:
            self._runners[led] = build_outer(self._steps(self._plan_steps.plan), lead=led)
        return self._runners[led]

    def _outer(self, plan: Plan | None) -> Any:
        async def planned(state: State) -> State:
            given: State = {"plan": plan.model_dump(mode="json")} if plan is not None else {}
            return await self._plan_steps.plan({**given, **state})

        if plan is None:
            return build_outer(self._steps(planned))
        led = shape_of(plan.topology).led
        return build_outer(self._steps(planned), run_shape(plan), lead=led)

    def _steps(self, plan: Callable[[State], Any]) -> dict[str, Step]:
        s = self._plan_steps
        return {
            "plan": self._both(plan),
            "execute": Step(s.execute, s.execute_blocking),
            "lead": self._both(s.lead),
            "refine": self._both(s.refine),
        }

    def _both(self, step: Callable[[State], Any]) -> Step:
        return Step(step, lambda state: self._home_loop.run(lambda: step(state)))

    async def drain(self) -> None:
        """Wait for shadow agents that still run beside."""
        while self._attempts.beside:
            await asyncio.gather(*self._attempts.beside, return_exceptions=True)

    async def aclose(self) -> None:
        """Stop shadows and end every process."""
        if self._home_loop.own:
            await asyncio.to_thread(self.close)
        else:
            await self._close_at_home()

    def close(self) -> None:
        """``aclose`` for an executor that was only used by sync hosts."""
        self._home_loop.run(self._close_at_home)
        self._home_loop.close()

    async def _close_at_home(self) -> None:
        for task in list(self._attempts.beside):
            task.cancel()
        await self.drain()
        await self.pool.aclose()
