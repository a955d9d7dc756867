"""A plan from its first row to its last, top to bottom: begin, start, execute, finish."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentroute.choosing.depth.protocol import Verifies
from agentroute.choosing.depth.rounds.policy import Turnwise
from agentroute.config.settings import JudgeSettings
from agentroute.errors import UnknownAgentError
from agentroute.execution.answer.acceptance import Acceptance, Judged
from agentroute.execution.answer.deepening import depth_of
from agentroute.execution.answer.output import named, writable
from agentroute.execution.answer.refiners import Refiners, Winners
from agentroute.execution.answer.summary import summarise
from agentroute.execution.answer.synthesis import Synthesis
from agentroute.execution.batching.batches import Batches, check_batches
from agentroute.execution.budget import Budget
from agentroute.execution.calls.caller import Caller, ChatFactory
from agentroute.execution.calls.pool import WorkerPool
from agentroute.execution.decider import Decider
from agentroute.execution.ending import Ending, Finisher
from agentroute.execution.history import History, answer
from agentroute.execution.judging.beside import BackgroundJudge
from agentroute.execution.langgraph.home_loop import HomeLoop
from agentroute.execution.langgraph.host import HostGraphs
from agentroute.execution.progress import Misfit, Run, RunLimits
from agentroute.execution.ruling import Rules
from agentroute.execution.runner import Runner
from agentroute.execution.trying.attempts import Attempts
from agentroute.ledger import Ledger
from agentroute.model.decisions import Decision
from agentroute.model.events import Emit, Note
from agentroute.model.ids import keyed_rng, uuid7
from agentroute.model.plans import AgentUse, Plan, Topology
from agentroute.model.plans import Synthesis as SynthesisRule
from agentroute.model.runs import Labels, RunResult
from agentroute.planning.chatlead import lead_of
from agentroute.planning.mermaid import mermaid
from agentroute.planning.selecting.possible import possible_shapes
from agentroute.planning.selecting.selector import LEARNED, draw
from agentroute.refining.credit import Credit
from agentroute.refining.naming import WORDS
from agentroute.registry.registry import Registry


class Executor:
    """Carries plans out. ``aclose`` (or ``close``, without a loop) ends its processes.

    ``make_rules(plan)`` says how a run chooses where nobody else says it; ``refine`` is the refiner
    for plans that name none, ``winners()`` who won as aggregator, ``credit`` how a
    team's verified score is parted, ``accept_at`` and ``synthesis`` what is asked of verified
    answers and of their agreement where a plan does not say, ``lead`` who leads where it does not,
    ``judge`` who looks at runs without a verifier when they are over;
    ``workroot`` is where calls get their folders.
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
        winners: Winners | None = None,
        credit: Credit | None = None,
        accept_at: float = 0.5,
        synthesis: SynthesisRule | None = None,
        lead: AgentUse | None = None,
        judge: JudgeSettings | None = None,
        bounds: RunLimits | None = None,
        workroot: Path | None = None,
        planner: Callable[[str], Plan] | None = None,
    ) -> None:
        self._decider, self._registry, self._ledger = decider, registry, ledger
        self._make_rules, self._bounds = make_rules, bounds or RunLimits()
        self._workroot, self._accept_at = workroot, accept_at
        self._synthesis, self._lead = synthesis, lead
        self.pool = pool or WorkerPool()
        refiners = Refiners(registry, refine, winners)
        caller = Caller(registry, self.pool, chat=chat)
        self._attempts = Attempts(decider, caller, registry, refiners)
        self.runner = Runner(self._attempts, Batches(decider, registry))
        finisher = Finisher(self._attempts, registry, ledger, credit)
        synthesised = Synthesis(self._attempts, self.runner, finisher)
        beside = None if judge is None else BackgroundJudge(judge, finisher, registry, ledger)
        self._judge = beside
        self._acceptance = Acceptance(self.runner, finisher, registry, self._attempts, synthesised)
        self._home_loop = HomeLoop()
        self._graphs = HostGraphs(self, decider, self._home_loop, planner)

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
        misfit: Misfit | None = None,
        labels: Labels | None = None,
    ) -> RunResult:
        """Carry out ``plan``; with the ``run_id`` of an earlier life, go on where it ended.

        ``approvals`` maps a waiting task to yes or no. An answer of which ``misfit`` says what is
        wrong with it is asked for once more. Agents' failures end in the result's
        ``status`` and ``degraded``.

        Raises:
            UsageError: the ``run_id`` could not be a folder's name.
            UnknownAgentError: the plan, its lead or its depth names an agent that does not exist.
            LedgerBusyError: another live process works on this run.
            LedgerError: a row could not be committed.
        """
        self._home_loop.adopt()
        run_id = named(run_id) if run_id else uuid7()
        lease = await asyncio.to_thread(self._ledger.take_lease, run_id)
        try:
            run = self.begin(plan, run_id, rules, bounds)
            run.stream, run.verify, run.misfit = stream, verify, misfit
            run.labels = labels or run.labels
            run.keys = run.history.keys or run.labels.keys
            if emit is not None:
                run.listeners.append(emit)
            answer(self._ledger, run.history, approvals or {})
            self.pool.ahead(self._first_calls(run))
            await self.start(run)
            await self.runner.execute(run)
            return await self.finish(run)
        finally:
            await asyncio.shield(asyncio.to_thread(lease.release))

    def begin(
        self, plan: Plan, run_id: str, rules: Rules | None = None, bounds: RunLimits | None = None
    ) -> Run:
        """A run in progress, with what the ledger knows of an earlier life of it.

        Raises:
            UnknownAgentError: the plan, its lead, its depth or the judge names no agent there is.
            ConfigError: a task names no depth policy, the rules cannot deal out a batch, or the
                folder for results cannot be written; nobody is called then.
        """
        named = [u.name for u in (plan.refine, *plan.verifiers) if u is not None]
        for name in (*named, *(t.agent for t in plan.tasks if t.agent)):
            if name not in self._registry and name not in WORDS:
                raise UnknownAgentError(name)
        lead = lead_of(plan.lead or self._lead)
        if lead is not None and lead.name not in self._registry:
            raise UnknownAgentError(lead.name, self._registry.entries)
        if self._judge is not None:
            self._judge.check()
        rules = rules or self._make_rules(plan)
        check_batches(plan, rules)
        depths = (
            rules.depth,
            *(depth_of(t, rules.depth) for t in plan.tasks if t.depth is not None),
        )
        for depth in depths:
            scorer = depth.verifier if isinstance(depth, Verifies) else None
            guide = depth.guide if isinstance(depth, Turnwise) else None
            for helper in (scorer, guide):
                if helper is not None and helper not in self._registry:
                    raise UnknownAgentError(helper, self._registry.entries)
        history, bounds = History.load(self._ledger, run_id), bounds or self._bounds
        spent, made = history.spent_usd, len(history.all_outcomes)
        if self._workroot is None:
            self._workroot = Path(tempfile.mkdtemp(prefix="agentroute-"))
        writable(self._workroot)
        return Run(
            run_id=run_id,
            plan=plan,
            rules=rules,
            history=history,
            bounds=bounds,
            workroot=self._workroot.absolute(),
            budget=Budget(bounds.usd, bounds.calls, spent_usd=spent, made=made),
            accept_at=self._accept_at if plan.accept_at is None else plan.accept_at,
            synthesis=self._synthesis if plan.synthesis is None else plan.synthesis,
            lead=lead,
        )

    async def start(self, run: Run) -> None:
        """The run's first rows, once a run: start, plan, topology with all its numbers.

        What was recorded before is learned first.
        """
        await run.rules.policy.learned.catch_up()
        known = run.history.decision("", "topology", 1)
        drawn = await self._shape(run) if known is None else _as_known(run, known)
        plan, c = run.plan, run.plan.choice
        if known is None:
            sha = self._ledger.put_text(plan.model_dump_json())
            data = {
                "name": plan.name, "topology": c.topology.value, "plan": sha,
                "policy": dict(run.rules.policy.made_of),
            }  # fmt: skip
            data |= run.labels.started()
            self._note(run, "run.started", data)
            run.budget.spend(await self._decider.planned(run.history, plan, sha))
            run.deadline -= plan.planning.took_s if plan.planning is not None else 0.0
            said = drawn or {"policy": "adaptorch", "context": c.model_dump(mode="json")}
            await self._decider.record(
                run.history, "topology", (c.topology.value,), reason=c.reason, **said
            )
        run.emit("run.started", name=plan.name, tasks=len(plan.tasks))
        if not run.listeners:
            return  # nobody looks: the picture of the plan is not drawn
        run.emit(
            "plan.created", tasks=list(run.graph.order), topology=c.topology.value,
            reason=c.reason, mermaid=mermaid(plan),
        )  # fmt: skip

    def _first_calls(self, run: Run) -> int:
        """How many processes the first tasks may need at once: half of a call is their start.

        No more than there are processors: more of them would only wait for each other.
        """
        apart = [c for c in self._decider.cards.cards
                 if c.isolation == "process" and c.entrypoint not in (None, "chat")]  # fmt: skip
        waiting = [t for t in run.plan.tasks if not t.depends_on and t.id not in run.outcomes]
        some = sum(
            any(t.agent in (None, c.name) and set(t.skills) <= set(c.skill_ids) for c in apart)
            for t in waiting
        )
        return min(some, run.bounds.max_concurrency, os.cpu_count() or 1)

    async def _shape(self, run: Run) -> dict[str, Any]:
        """Draw the plan's shape where it names a selector: what its row says of it; else {}."""
        shaping, rules = run.rules.shaping, run.rules
        if shaping is None or len(run.plan.tasks) == 1:
            return {}
        await shaping.catch_up()
        rng = keyed_rng(rules.seed, run.run_id, "", "topology", 1)
        shapes = possible_shapes(run.plan, self._registry, chat_ready=self._decider.chat_ready)
        with shaping.hold():
            version = shaping.version()
            found = draw(
                run.plan.choice, shapes, shaping, exploration=rules.shape_exploration,
                objective=rules.objective, rng=rng,
            )  # fmt: skip
        run.plan = run.plan.model_copy(update={"choice": found.choice})
        return {
            "policy": LEARNED, "version": version, "propensity": found.propensity,
            "seed": rules.seed, "context": found.context,
        }  # fmt: skip

    async def finish(self, run: Run) -> RunResult:
        """Join, verify, try low work once more; the run's last row, once and when nobody waits."""
        waits = bool(run.pending)
        judged = Judged(Ending(None)) if waits else await self._acceptance.close(run)
        result = summarise(run, judged)
        if not waits:
            if not run.history.ended:
                await self._ended(run, result)
            await run.recorded()
        run.emit("run.finished", status=result.status)
        if self._judge is not None and not waits:
            self._judge.offer(run, judged.ending.reply)
        return result

    async def _ended(self, run: Run, result: RunResult) -> None:
        sha = self._ledger.put_text(result.answer) if result.answer else None
        data = {"status": result.status, "degraded": list(result.degraded), "answer": sha,
                "usage": result.usage.model_dump()}  # fmt: skip
        if result.verdict is not None:
            data["verdict"] = result.verdict.model_dump()
        await self._note(run, "run.finished", data)

    def _note(self, run: Run, type: str, data: dict[str, Any]) -> Any:
        return self._ledger.append(Note(id=uuid7(), run_id=run.run_id, type=type, data=data))

    def as_graph(self, plan: Plan | None = None) -> Any:
        """The same as a compiled LangGraph graph: see ``HostGraphs.graph``."""
        return self._graphs.graph(plan)

    async def drain(self) -> None:
        """Wait for shadow agents that still run beside, and for the judge."""
        while self._attempts.beside:
            await asyncio.gather(*self._attempts.beside, return_exceptions=True)
        if self._judge is not None:
            await self._judge.drain()

    async def aclose(self) -> None:
        """Stop shadows, let the judge finish within its time, and end every process."""
        if self._home_loop.own:
            await asyncio.to_thread(self.close)
        else:
            await self._close_at_home()

    def close(self) -> None:
        """``aclose`` for an executor that was only used by sync hosts."""
        self._home_loop.run(self._close_at_home)
        self._home_loop.close()

    async def _close_at_home(self) -> None:
        if self._judge is not None:
            await self._judge.aclose()
        for task in list(self._attempts.beside):
            task.cancel()
        await self.drain()
        await self.pool.aclose()


def _as_known(run: Run, known: Decision) -> dict[str, Any]:
    """The shape that an earlier life of the run drew stands, whatever was learned since."""
    choice, shape = run.plan.choice, Topology(known.chosen[0])
    if known.policy == LEARNED and choice.topology is not shape:
        update = {"topology": shape, "branch": LEARNED, "reason": known.reason}
        run.plan = run.plan.model_copy(update={"choice": choice.model_copy(update=update)})
    return {}
