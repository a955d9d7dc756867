"""``Orchestrator``: the one front door. A task goes in, an answer and its reasons come out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel

from agentroute.adapters.client import endpoint_configured
from agentroute.config.paths import Place, search_order
from agentroute.config.settings import BudgetSettings, ObjectiveSettings, Settings, load_settings
from agentroute.errors import (
    ExecutionError,
    NestedLoopError,
    UnknownRunError,
    UsageError,
)
from agentroute.execution.artefacts import keep_artifacts
from agentroute.execution.desk import Desk, Rules
from agentroute.execution.dryrun import dry_run
from agentroute.execution.run import Bounds
from agentroute.execution.typed import typed
from agentroute.features.text import make_embedder
from agentroute.learning.policies import Policies
from agentroute.learning.teaching import feedback_row
from agentroute.ledger import Ledger
from agentroute.model.events import Event
from agentroute.model.ids import uuid7
from agentroute.model.plans import AgentUse, Plan
from agentroute.model.routes import RouteFound
from agentroute.model.runs import RunResult
from agentroute.model.scores import Objective
from agentroute.model.tasks import Task
from agentroute.planning.depth import make_depth
from agentroute.planning.graphfile import plan_of_text
from agentroute.planning.work import Work, plan_of
from agentroute.registry.registry import Registry
from agentroute.routers.catalog import Spec
from agentroute.routers.policy import Policy

if TYPE_CHECKING:
    from agentroute.execution.executor import Executor

OnEvent = Callable[[Event], None]


class Orchestrator:
    """Plans, chooses, runs, joins, records and learns. Use it as an async context manager.

    ``router``, ``depth`` and ``refine`` are a name or a mapping with ``name`` and parameters;
    ``ledger`` is a ``sqlite:///`` URL; ``objective`` weighs quality, cost and latency of every
    choice; ``budget_usd`` and ``deadline_s`` bound one run; ``seed`` makes choices repeatable.
    Opening rebuilds the routers and the live state of the agents from the ledger.

    Raises:
        ConfigError: a name or number that is not accepted, while building.
        LedgerError: the ledger cannot be opened, on entry.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        router: Spec = "default",
        ledger: str = "sqlite:///agentroute.db",
        objective: Objective | None = None,
        embedder: str = "wordllama",
        exploration: float = 0.05,
        depth: Spec = "one",
        refine: Spec = "refiner",
        budget_usd: float | None = None,
        deadline_s: float = 300.0,
        max_concurrency: int = 8,
        seed: int = 0,
        out: Path | str = "agentroute-out",
        graphs: Sequence[Path | str] = (),
    ) -> None:
        o = objective or Objective()
        settings = Settings(
            router=_plain(router), db=ledger, embedder=embedder, exploration=exploration,
            depth=_plain(depth), refine=_plain(refine), seed=seed, out=str(out),
            graphs=tuple(map(str, graphs)),
            objective=ObjectiveSettings(quality=o.quality, cost=o.cost, latency=o.latency),
            budget=BudgetSettings(
                usd=budget_usd, seconds=deadline_s, max_concurrency=max_concurrency
            ),
        )  # fmt: skip
        self._set_up(registry, settings)

    @classmethod
    def from_settings(cls, settings: Settings, *, registry: Registry | None = None) -> Self:
        """By settings; the registry defaults to the search order of DESIGN 2."""
        if registry is None:
            configured = [Path(p) for p in settings.agents]
            registry = Registry(search_order("agents", configured=configured))
        made = cls.__new__(cls)
        made._set_up(registry, settings)
        return made

    @classmethod
    def from_config(cls, path: Path | str | None = None) -> Self:
        """By ``agentroute.yaml`` (given, here, or in a parent folder) and the environment."""
        settings, _ = load_settings(Path(path) if path else None)
        return cls.from_settings(settings)

    def _set_up(self, registry: Registry, settings: Settings) -> None:
        self.registry, self.settings = registry, settings
        self.embedder = make_embedder(settings.embedder)
        make_depth(settings.depth)
        self._ledger: Ledger | None = None
        self._policies = self._new_policies(None)
        self._policies.get(settings.router)
        self._executor: Executor | None = None

    def _new_policies(self, ledger: Ledger | None) -> Policies:
        s = self.settings
        defaults = {
            "exploration": s.exploration, "abstain_at": s.abstain_at, "margin": s.margin,
            "screening": s.screen,
        }  # fmt: skip
        return Policies(ledger, self.embedder, seed=s.seed, defaults=defaults)

    async def __aenter__(self) -> Self:
        self._open(read_only=False)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Self]:
        """For ``route`` alone: reads what was learned where there is a ledger, writes nothing."""
        if Path(self.settings.db.removeprefix("sqlite:///")).exists():
            self._open(read_only=True)
        try:
            yield self
        finally:
            await self.aclose()

    def _open(self, *, read_only: bool) -> None:
        self._ledger = Ledger.open(self.settings.db, read_only=read_only)
        self._policies = self._new_policies(self._ledger)
        for row in self._ledger.last_outcomes(1000):
            o: Any = row.value
            self.registry.live.observe(
                o.agent, cost_usd=o.cost_usd, latency_s=o.latency_s, error=o.error is not None,
                at_s=datetime.fromisoformat(row.at).timestamp(),
            )  # fmt: skip

    async def aclose(self) -> None:
        """Stop the workers and drain the ledger's writer. May be called twice."""
        executor, ledger = self._executor, self._ledger
        self._executor = self._ledger = None
        if executor is not None:
            await executor.aclose()
        if ledger is not None:
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

    @property
    def graph_places(self) -> list[Place]:
        """Where graphs are looked for by name."""
        return search_order("graphs", configured=[Path(p) for p in self.settings.graphs])

    def plan(self, work: Work, *, inputs: Mapping[str, Any] | None = None) -> Plan:
        """The tasks of a graph (by name, path or value) or of words, and their topology.

        Raises:
            GraphError, TaskGraphError, UsageError, PlanError: what is wrong with it.
        """
        return plan_of(work, inputs or {}, self.graph_places)

    async def run(
        self,
        work: Work | None,
        *,
        inputs: Mapping[str, Any] | None = None,
        router: Spec | None = None,
        seed: int | None = None,
        budget_usd: float | None = None,
        verify: bool = True,
        run_id: str | None = None,
        resume: str | None = None,
        answers: Mapping[str, bool] | None = None,
        output_type: type[BaseModel] | None = None,
        on_event: OnEvent | None = None,
        stream: bool = False,
    ) -> RunResult:
        """Carry out a graph (name, path or value), a task, several tasks, or words.

        Every choice is committed to the ledger before it is acted on. Agents' failures end in
        ``status`` and ``degraded``. ``resume`` goes on with a run of an earlier process,
        ``answers`` are approvals by task; ``output_type`` checks the answer's data.

        Raises:
            GraphError, TaskGraphError, UsageError, PlanError: the work cannot be planned.
            LedgerError: a decision could not be committed, or another process has the run.
        """
        self.registry.refresh()
        plan = self._recorded_plan(resume) if resume else self.plan(_given(work), inputs=inputs)
        run_id = resume or run_id or uuid7()
        rules = self._rules(plan, router=router, seed=seed)
        result = await self._running.run(
            plan,
            run_id=run_id,
            rules=rules,
            bounds=self._bounds(budget_usd),
            emit=on_event,
            stream=stream,
            verify=verify,
            approvals=answers,
        )
        self._policies.fold()
        rows = tuple(self.ledger.decisions(run_id))
        result = result.model_copy(update={"decisions": rows})
        result = keep_artifacts(result, plan, Path(self.settings.out))
        return typed(result, output_type)

    def run_sync(self, work: Work, **options: Any) -> RunResult:
        """``run`` for code without an event loop; opens and closes the orchestrator if needed.

        Raises:
            NestedLoopError: an event loop is running; ``await run(...)`` there.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self._run_alone(work, options))
        raise NestedLoopError(
            "run_sync was called inside a running event loop", hint="use: await orc.run(...)"
        )

    async def _run_alone(self, work: Work, options: Mapping[str, Any]) -> RunResult:
        if self._ledger is not None:
            raise NestedLoopError(
                "run_sync was called on an open orchestrator", hint="use: await orc.run(...)"
            )
        async with self:
            return await self.run(work, **options)

    async def stream(self, work: Work, **options: Any) -> AsyncIterator[Event]:
        """``run`` as typed events, the moment each happens; ``agent.delta`` carries chunks.

        The last event, ``run.finished``, has the result's JSON under ``data["result"]``.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        last: list[Event] = []

        def tell(event: Event) -> None:
            (last.append if event.type == "run.finished" else queue.put_nowait)(event)

        task = asyncio.create_task(self.run(work, on_event=tell, stream=True, **options))
        task.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
            result = await task
            data = {"status": result.status, "result": result.model_dump(mode="json")}
            yield last[0].model_copy(update={"data": data})
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def as_graph(self, work: Work | None = None) -> Any:
        """The run as a compiled LangGraph graph, to be a node of your own.

        State in: ``task`` (words, where ``work`` is None). State out: ``output`` (the answer),
        ``run_id``, ``result``. The host's checkpointer is inherited; approvals are interrupts.
        """
        plan = None if work is None else self.plan(work)
        return self._running.as_graph(plan)

    async def route(
        self, task: str | Task, *, skills: Sequence[str] = (), k: int = 1, seed: int | None = None
    ) -> RouteFound:
        """Who would be asked, with what probability, and why. Calls and records nothing.

        Raises:
            NoCandidateError: nobody is eligible; says why.
        """
        self.registry.refresh()
        if isinstance(task, str):
            task = plan_of_text(task, skills=tuple(skills)).tasks[0]
        rules, policy = self._rules_of(self.settings.router, seed=seed)
        return await dry_run(task, self.registry, self.embedder, policy, rules, k=k)

    async def feedback(
        self,
        target_id: str,
        *,
        score: float,
        source: str = "user",
        agent: str | None = None,
        method: str = "",
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Say how good a run or a decision was, in [0, 1]. Returns after the commit.

        The first feedback for a (decision, agent) is learned from; later ones are stored.

        Raises:
            UsageError: the score is not in [0, 1].
            UnknownRunError, UnknownDecisionError: no such id.
        """
        row = feedback_row(
            self.ledger, target_id, score=score, source=source, agent=agent, method=method,
            idempotency_key=idempotency_key,
        )  # fmt: skip
        ticket = self.ledger.append(row)
        seq = await ticket
        self._policies.fold()
        return {**row.model_dump(mode="json"), "seq": seq, "duplicate": ticket.duplicate}

    async def settle(self) -> int:
        """Wait for what runs beside, fold to the ledger's head; its seq."""
        if self._executor is not None:
            await self._executor.drain()
        self._policies.fold()
        return self.ledger.head()[0]

    def _rules(self, plan: Plan, *, router: Spec | None = None, seed: int | None = None) -> Rules:
        """How a plan is to choose: what it names itself, else the settings."""
        spec = router or (_spec(plan.router) if plan.router else self.settings.router)
        depth = _spec(plan.depth) if plan.depth else self.settings.depth
        rules, _ = self._rules_of(spec, depth=depth, exploration=plan.exploration, seed=seed)
        return rules

    def _rules_of(
        self,
        router: Spec,
        *,
        depth: Spec = "one",
        exploration: float | None = None,
        seed: int | None = None,
    ) -> tuple[Rules, Policy]:
        policy, version = self._policies.get(router, exploration=exploration)
        rules = Rules(
            policy=policy,
            depth=make_depth(depth),
            objective=self._objective,
            seed=self.settings.seed if seed is None else seed,
            version=version,
        )
        return rules, policy

    @property
    def _objective(self) -> Objective:
        o = self.settings.objective
        return Objective(o.quality, o.cost, o.latency)

    def _bounds(self, budget_usd: float | None) -> Bounds:
        b = self.settings.budget
        usd = b.usd if budget_usd is None else budget_usd
        return Bounds(b.seconds, usd, None, b.max_concurrency)

    @property
    def _running(self) -> Executor:
        """The executor, made at the first run: it is what imports LangGraph."""
        if self._executor is None:
            self._executor = self._new_executor()
        return self._executor

    def _new_executor(self) -> Executor:
        from agentroute.execution.executor import Executor

        ledger, s = self.ledger, self.settings
        desk = Desk(
            self.registry,
            lambda: self.registry.cardset(self.embedder),
            self.embedder,
            ledger,
            chat_ready=endpoint_configured(),
        )
        return Executor(
            desk,
            self.registry,
            ledger,
            self._rules,
            refine=use(s.refine),
            bounds=self._bounds(None),
            workroot=Path(s.out).resolve() / "work",
            planner=self.plan,
        )

    def _recorded_plan(self, run_id: str) -> Plan:
        started = self.ledger.notes(run_id, "run.started")
        if not started:
            raise UnknownRunError(f"no run '{run_id}' is in the ledger", hint="agentroute runs ls")
        text = self.ledger.text(started[0].data["plan"])
        if text is None:
            raise UnknownRunError(f"the plan of run '{run_id}' was erased")
        return Plan.model_validate_json(text)


def _given(work: Work | None) -> Work:
    if work is None:
        raise UsageError("there is nothing to run", hint="give a graph, a task, or resume=RUN")
    return work


def _plain(spec: Spec) -> str | dict[str, Any]:
    return spec if isinstance(spec, str) else dict(spec)


def _spec(named: AgentUse) -> dict[str, Any]:
    return {"name": named.name, **named.params}


def use(spec: Spec) -> AgentUse:
    """A name, or a mapping with ``name`` and parameters, as the plan's own form."""
    given = {"name": spec} if isinstance(spec, str) else dict(spec)
    return AgentUse(name=str(given.pop("name", "")), params=given)
