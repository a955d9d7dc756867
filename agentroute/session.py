"""What is open: the agents, the ledger, what was learned, and who runs plans."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from agentroute.adapters.client import endpoint_configured
from agentroute.choosing.depth import Depth, make_depth
from agentroute.choosing.policy import Policy
from agentroute.choosing.protocol import Router
from agentroute.config.paths import Place, search_order
from agentroute.config.settings import Settings
from agentroute.errors import ExecutionError, UnknownRunError
from agentroute.execution.answer.crediting import credited
from agentroute.execution.calls.owncalls import OwnCalls
from agentroute.execution.decider import Decider
from agentroute.execution.dryrun import dry_runs
from agentroute.execution.found import RouteFound
from agentroute.execution.progress import RunLimits
from agentroute.execution.ruling import Rules
from agentroute.learning.aggregators import load_winners
from agentroute.learning.own import OwnRouters
from agentroute.learning.policies import Policies
from agentroute.learning.shaping import Shapings
from agentroute.learning.state import StateStore
from agentroute.learning.taking_up import take_up
from agentroute.learning.teaching import believed, standing_row
from agentroute.ledger import Ledger
from agentroute.model.objective import Objective
from agentroute.model.outcomes import Feedback
from agentroute.model.plans import Plan, Spec
from agentroute.model.runs import Said, labels_of
from agentroute.model.tasks import Task
from agentroute.parts import make_parts, refiner_of
from agentroute.planning.feasible import problems, refiner_problem
from agentroute.planning.graphfile import plan_of_text
from agentroute.planning.planner import Planner
from agentroute.planning.selecting.selector import make_selector, shaped
from agentroute.planning.work import Work, plan_of
from agentroute.registry.registry import Registry
from agentroute.tracing.sending import send_quietly

if TYPE_CHECKING:
    from agentroute.execution.run import Executor

HALF = 0.5  # of a run's time, what a planner's model may take


class Session:
    """Opens by settings and closes what an ``Orchestrator`` works with.

    Opening rebuilds the live state of the agents from the ledger; the routers are rebuilt when
    they are first asked for, the executor is made at the first run: it is what imports LangGraph.

    Raises:
        ConfigError: a name or number that is not accepted, while building.
    """

    def __init__(
        self, registry: Registry, settings: Settings, objects: Mapping[str, object] | None = None
    ) -> None:
        self.registry, self.settings = registry, settings
        self.parts = make_parts(settings, registry, objects, graphs=lambda: self.graph_places)
        self.embedder = self.parts.embedder
        self._ledger: Ledger | None = None
        self._own_routers = OwnRouters()
        self._shapings: Shapings | None = None
        make_selector(settings.topology)  # a name that is not accepted is said now
        self.policies = self._new_policies(None)
        self.policies.get(self.parts.router, trusted=True)
        self._executor: Executor | None = None
        self._decider: Decider | None = None
        self._own_calls: OwnCalls | None = None

    # -- open and close ----------------------------------------------------------------------

    def open(self, *, read_only: bool) -> None:
        """Open the ledger, and take up what its last outcomes say of the agents.

        Raises:
            LedgerError: the ledger cannot be opened.
        """
        self._ledger = Ledger.open(self.settings.db, read_only=read_only)
        self.policies = self._new_policies(self._ledger)
        self._shapings = Shapings(self._ledger, self.settings.feedback_weights.model_dump())
        take_up(self.registry, self._ledger)

    async def aclose(self) -> None:
        """Stop the workers, keep what was learned, drain the writer. May be called twice."""
        executor, ledger = self._executor, self._ledger
        if self._own_calls is not None:
            self._own_calls.close()
        self._executor = self._ledger = self._decider = self._own_calls = None
        self._shapings = None
        if executor is not None:
            await executor.aclose()
        if ledger is not None:
            await self.policies.aclose()
            self._own_routers.let_go()
            self.registry.live.known[str(ledger.path)] = ledger.head()[0]
            await asyncio.to_thread(ledger.close)

    @property
    def ledger(self) -> Ledger:
        """The open ledger.

        Raises:
            ExecutionError: the orchestrator is not open.
        """
        if self._ledger is None:
            raise ExecutionError(
                "the orchestrator is not open", hint="async with Orchestrator(...)"
            )
        return self._ledger

    async def settle(self) -> int:
        """Wait for what runs beside, fold to the ledger's head; its seq."""
        if self._executor is not None:
            await self._executor.drain()
        await self.policies.catch_up()
        if self._shapings is not None:
            await self._shapings.catch_up()
        return self.ledger.head()[0]

    async def say(self, row: Feedback) -> dict[str, Any]:
        """Commit feedback, learn from it, and tell what became of it."""
        row = await asyncio.to_thread(credited, self.ledger, row, self.parts.credit)
        ticket = self.ledger.append(row)
        seq = await ticket
        if ticket.duplicate:
            row = standing_row(self.ledger, row.target_id, row.idempotency_key or "")
        policy = self.policies.get(self.parts.router, trusted=True)
        await self.policies.catch_up()
        taught = self.policies.taught(policy, seq)
        refused = self.policies.refused(policy, seq)
        return {
            **row.model_dump(mode="json"),
            "seq": seq,
            "duplicate": ticket.duplicate,
            "learned": taught.learned and not ticket.duplicate and not refused,
            "reason": "known already" if ticket.duplicate else refused or taught.reason,
            "beyond_quota": list(taught.beyond),
            "believes": await believed(policy, taught.observations),
        }

    async def told(self, run_id: str) -> None:
        """Send the spans of a run that is over, where the settings say whither."""
        if (otel := self.settings.otel) is not None:
            await send_quietly(self.ledger, run_id, otel.endpoint, content=otel.content)

    async def refresh(self) -> None:
        """See which agents there are; new cards are embedded in a thread, a hundred take 6 ms."""
        self.registry.refresh()
        if not self.registry.is_embedded(self.embedder):
            await asyncio.to_thread(self.registry.cardset, self.embedder)

    @property
    def is_open(self) -> bool:
        """Whether there is a ledger."""
        return self._ledger is not None

    # -- how a run chooses -------------------------------------------------------------------

    def _new_policies(self, ledger: Ledger | None) -> Policies:
        s = self.settings
        defaults = {
            "exploration": s.exploration, "abstain_at": s.abstain_at, "margin": s.margin,
            "screening": s.screen,
        }  # fmt: skip
        weights = s.feedback_weights.model_dump()
        return Policies(
            ledger, self.embedder, seed=s.seed, defaults=defaults, weights=weights,
            quota=s.feedback_quota, own=self._own_routers,
            states=StateStore(Path(s.state)),
        )  # fmt: skip

    def rules(
        self, plan: Plan, *, router: Spec | Router | None = None, seed: int | None = None
    ) -> Rules:
        """How a plan is to choose: what it names itself, else the settings."""
        spec = plan.router.written() if plan.router else self.parts.router
        spec = spec if router is None else router
        depth = make_depth(plan.depth.written()) if plan.depth else self.parts.depth
        own = router is not None or plan.router is None  # not what a graph file names
        rules, _ = self.rules_of(
            spec, depth=depth, exploration=plan.exploration, seed=seed, trusted=own
        )
        if self._shapings is None:  # not open: nothing is run, and nothing was learned
            return rules
        return self._shapings.rules(rules, plan, self.settings.exploration)

    def rules_of(
        self,
        router: Spec | Router,
        *,
        depth: Depth | None = None,
        exploration: float | None = None,
        seed: int | None = None,
        trusted: bool = True,
    ) -> tuple[Rules, Policy]:
        """The rules of a router, by ``depth`` or the settings' own, and its policy."""
        policy = self.policies.get(router, exploration=exploration, trusted=trusted)
        rules = Rules(
            policy=policy,
            depth=depth or self.parts.depth,
            objective=self._objective,
            seed=self.settings.seed if seed is None else seed,
        )
        return rules, policy

    async def look(
        self, tasks: Sequence[str | Task], *, skills: Sequence[str] = (), k: int | None = None,
        seed: int | None = None, top: int | None = None, **labels: Unpack[Said],
    ) -> list[RouteFound]:  # fmt: skip
        """Who would be asked for each task, by the settings' router; records nothing.

        Raises:
            NoCandidateError: nobody is eligible for one of the tasks; says why.
        """
        keys, own = labels_of(**labels).keys, tuple(skills)
        await self.refresh()
        work = [plan_of_text(t, skills=own).tasks[0] if isinstance(t, str) else t for t in tasks]
        rules, _ = self.rules_of(self.parts.router, seed=seed)
        return await dry_runs(work, self.registry, self.embedder, rules, k=k, top=top, keys=keys)

    @property
    def _objective(self) -> Objective:
        o = self.settings.objective
        return Objective(o.quality, o.cost, o.latency)

    def bounds(self, budget_usd: float | None) -> RunLimits:
        """Deadline, budget (``budget_usd`` in place of the settings') and concurrency of a run."""
        b = self.settings.budget
        usd = b.usd if budget_usd is None else budget_usd
        return RunLimits(b.seconds, usd, None, b.max_concurrency)

    @property
    def decider(self) -> Decider:
        """Who takes decisions and writes them down."""
        if self._decider is None:
            self._decider = Decider(
                self.registry,
                lambda: self.registry.cardset(self.embedder),
                self.embedder,
                self.ledger,
                chat_ready=endpoint_configured(),
            )
        return self._decider

    @property
    def own_calls(self) -> OwnCalls:
        """Decisions whose calls the user makes himself."""
        if self._own_calls is None:
            self._own_calls = OwnCalls(self.decider, self.registry, self.ledger)
        return self._own_calls

    @property
    def running(self) -> Executor:
        """The executor, made at the first run: it is what imports LangGraph."""
        if self._executor is None:
            self._executor = self._new_executor()
        return self._executor

    def _new_executor(self) -> Executor:
        from agentroute.execution.run import Executor

        ledger, s = self.ledger, self.settings
        return Executor(
            self.decider,
            self.registry,
            ledger,
            self.rules,
            refine=self.parts.refine,
            credit=self.parts.credit,
            winners=lambda: load_winners(Path(s.state)),
            accept_at=s.accept_at,
            synthesis=s.synthesis,
            lead=self.parts.lead,
            judge=s.judge,
            bounds=self.bounds(None),
            workroot=Path(s.out).resolve() / "work",
            planner=self.plan,
        )

    # -- plans -------------------------------------------------------------------------------

    @property
    def graph_places(self) -> list[Place]:
        """Where graphs are looked for by name."""
        return search_order("graphs", configured=[Path(p) for p in self.settings.graphs])

    def plan(self, work: Work, *, inputs: Mapping[str, Any] | None = None) -> Plan:
        """The tasks of a graph (by name, path or value) or of words, and their topology.

        Raises:
            GraphError, TaskGraphError, UsageError, PlanError: what is wrong with it.
            ConfigError, UnknownAgentError: it names a router, agent or part that is not there.
        """
        return self._plan(work, inputs, self._planner(None))

    def _planner(self, budget_usd: float | None) -> Planner:
        """The planner in a run's bounds: no model without money, half of the time at most."""
        bounds = self.bounds(budget_usd)
        planner = self.parts.planner.within(HALF * bounds.seconds)
        return self.parts.planner.sparing() if bounds.usd == 0 else planner

    def _plan(self, work: Work, inputs: Mapping[str, Any] | None, planner: Planner) -> Plan:
        made = plan_of(work, inputs or {}, self.graph_places, planner)
        made = shaped(made, self.settings.topology)
        for problem in problems(made, self.registry, chat_ready=endpoint_configured()):
            raise problem
        return made

    async def planned(
        self, work: Work, *, inputs: Mapping[str, Any] | None = None,
        budget_usd: float | None = None, refine: object = None,
    ) -> Plan:  # fmt: skip
        """``plan``, in a thread where a planner may take its time. ``refine`` stands over what the
        graph says of who joins.
        """
        use = None if refine is None else refiner_of(refine, self.registry)
        if use is not None and (problem := refiner_problem(use, self.registry)):
            raise problem
        made = await self._planned(work, inputs, budget_usd)
        return made if use is None else made.model_copy(update={"refine": use})

    async def _planned(
        self, work: Work, inputs: Mapping[str, Any] | None, budget_usd: float | None
    ) -> Plan:
        if self.parts.planner.is_quick or not isinstance(work, str):
            return self.plan(work, inputs=inputs)
        return await asyncio.to_thread(self._plan, work, inputs, self._planner(budget_usd))

    def recorded_plan(self, run_id: str) -> Plan:
        """The plan that a run was started with.

        Raises:
            UnknownRunError: no such run, or its plan was erased.
        """
        started = self.ledger.notes(run_id, "run.started")
        if not started:
            raise UnknownRunError(f"no run '{run_id}' is in the ledger", hint="agentroute runs ls")
        text = self.ledger.text(started[0].data["plan"])
        if text is None:
            raise UnknownRunError(f"the plan of run '{run_id}' was erased")
        return Plan.model_validate_json(text)
