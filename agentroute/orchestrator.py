"""``Orchestrator``: the one front door. A task goes in, an answer and its reasons come out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self, Unpack

from pydantic import BaseModel

from agentroute.choosing.depth import Depth
from agentroute.choosing.protocol import Router
from agentroute.config.paths import database_file, search_order
from agentroute.config.plugins import is_object
from agentroute.config.settings import ObjectiveSettings, Settings, load_settings, settings_of
from agentroute.errors import UsageError
from agentroute.execution.answer.output import keep_artifacts, misfit, typed
from agentroute.execution.found import RouteFound
from agentroute.learning.policies import Learned
from agentroute.learning.teaching import feedback_row
from agentroute.ledger import Ledger
from agentroute.model.arrays import Embedder
from agentroute.model.decisions import Decision
from agentroute.model.events import Event
from agentroute.model.ids import uuid7
from agentroute.model.objective import Objective
from agentroute.model.plans import Plan, Spec
from agentroute.model.runs import RunResult, Said, labels_of
from agentroute.model.tasks import Task
from agentroute.owncalls import OwnCalls, Report
from agentroute.parts import written
from agentroute.planning.planner import Split
from agentroute.planning.work import Work
from agentroute.registry.registry import Registry
from agentroute.session import Session

OnEvent = Callable[[Event], None]


class Orchestrator(OwnCalls):
    """Plans, chooses, runs, joins, records and learns. Use it as an async context manager.

    ``router``, ``depth``, ``refine``, ``planner`` and ``embedder`` are a name, a mapping with
    ``name`` and parameters, ``module:NAME``, or an object of your own: a ``Router``, a depth policy
    (``how_many``), a function that joins (an agent) or that splits a text, an ``Embedder``;
    a router that was fitted is ``{"name": NAME, "state": S}``, S in the folder ``state``;
    ``topology`` is ``auto``, a shape or ``learned``; ``lead`` is ``rule`` or an agent, ``judge`` an
    agent that judges beside; ``ledger`` is a ``sqlite:///`` URL; ``objective`` weighs quality, cost
    and latency; ``budget_usd`` and ``deadline_s`` bound one run; ``seed`` and a run's id key its
    draws. Opening rebuilds the routers and the agents' live state from the ledger.

    Raises:
        ConfigError: a name or number that is not accepted, while building.
        RouterStateError: a state that is not there or does not fit, while building.
        LedgerError: the ledger cannot be opened, on entry.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        router: Spec | Router = "default",
        ledger: str = "sqlite:///agentroute.db",
        objective: Objective | None = None,
        embedder: Spec | Embedder = "wordllama",
        exploration: float = 0.05,
        depth: Spec | Depth = "one",
        refine: Spec | Callable[..., Any] = "refiner",
        planner: Spec | Split = "default",
        topology: Spec = "auto",
        lead: Spec = "rule",
        credit: Spec = "equal",
        synthesis: Mapping[str, float] | None = None,
        judge: str | Mapping[str, Any] | None = None,
        budget_usd: float | None = None,
        deadline_s: float = 300.0,
        max_concurrency: int = 8,
        seed: int = 0,
        out: Path | str = "agentroute-out",
        graphs: Sequence[Path | str] = (),
        state: Path | str = "agentroute-state",
        otel: Mapping[str, Any] | None = None,
    ) -> None:
        o = objective or Objective()
        given = {
            "router": router, "depth": depth, "refine": refine, "planner": planner,
            "embedder": embedder, "credit": credit, "lead": lead,
        }  # fmt: skip
        settings = settings_of(
            db=ledger, exploration=exploration, seed=seed, out=str(out), state=str(state),
            graphs=tuple(map(str, graphs)), synthesis=synthesis, topology=topology, judge=judge,
            objective=ObjectiveSettings(quality=o.quality, cost=o.cost, latency=o.latency),
            budget={"usd": budget_usd, "seconds": deadline_s, "max_concurrency": max_concurrency},
            otel=otel, **{key: written(part) for key, part in given.items()},
        )  # fmt: skip
        objects = {key: part for key, part in given.items() if is_object(part)}
        self._use(Session(registry, settings, objects))

    @classmethod
    def from_settings(cls, settings: Settings, *, registry: Registry | None = None) -> Self:
        """By settings; the registry defaults to the search order that ``agents ls`` shows."""
        if registry is None:
            configured = [Path(p) for p in settings.agents]
            registry = Registry(search_order("agents", configured=configured))
        made = cls.__new__(cls)
        made._use(Session(registry, settings))
        return made

    @classmethod
    def from_config(cls, path: Path | str | None = None) -> Self:
        """By ``agentroute.yaml`` (given, here, or in a parent folder) and the environment."""
        settings, _ = load_settings(Path(path) if path else None)
        return cls.from_settings(settings)

    def _use(self, session: Session) -> None:
        self._session = session
        self.registry, self.settings = session.registry, session.settings

    async def __aenter__(self) -> Self:
        self._session.open(read_only=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Self]:
        """For ``route`` alone: records nothing; what had to be folded is kept in ``state``."""
        if database_file(self.settings.db).exists():
            self._session.open(read_only=True)
        try:
            yield self
        finally:
            await self.aclose()

    def plan(self, work: Work, *, inputs: Mapping[str, Any] | None = None) -> Plan:
        """The tasks of a graph (by name, path or value) or of words, and their topology.

        Raises:
            GraphError, TaskGraphError, UsageError, PlanError: what is wrong with it.
        """
        return self._session.plan(work, inputs=inputs)

    async def run(
        self,
        work: Work | None,
        *,
        inputs: Mapping[str, Any] | None = None,
        router: Spec | Router | None = None,
        refine: Spec | Callable[..., Any] | None = None,
        seed: int | None = None,
        budget_usd: float | None = None,
        verify: bool = True,
        run_id: str | None = None,
        resume: str | None = None,
        answers: Mapping[str, bool] | None = None,
        output_type: type[BaseModel] | None = None,
        on_event: OnEvent | None = None,
        stream: bool = False,
        **labels: Unpack[Said],
    ) -> RunResult:
        """Carry out a graph (name, path or value), a task, several tasks, or words.

        Every choice is committed to the ledger before it is acted on. Agents' failures end in
        ``status`` and ``degraded``. ``router`` and ``refine`` stand over the graph's and the
        settings'. ``resume`` goes on with a run of an earlier process, ``answers`` are approvals by
        task; ``output_type`` is the type of the answer's data or JSON: whoever gave one that does
        not fit is asked once more. ``tags``, ``user``, ``session``, ``metadata`` are kept.

        Raises:
            GraphError, TaskGraphError, UsageError, PlanError: it cannot be planned, or labelled so.
            LedgerError: a decision could not be committed, or another process has the run.
        """
        said = labels_of(**labels, resume=resume)
        await self._session.refresh()
        s = self._session
        if resume:
            plan = s.recorded_plan(resume)
        else:
            plan = await s.planned(
                _given(work), inputs=inputs, budget_usd=budget_usd, refine=refine
            )
        run_id = resume or run_id or uuid7()
        rules = s.rules(plan, router=router, seed=seed)
        result = await s.running.run(
            plan,
            run_id=run_id,
            rules=rules,
            bounds=s.bounds(budget_usd),
            emit=on_event,
            stream=stream,
            verify=verify,
            approvals=answers,
            misfit=None if output_type is None else misfit(output_type),
            labels=said,
        )
        await s.policies.catch_up()
        rows = tuple(self.ledger.decisions(run_id))
        result = result.model_copy(update={"decisions": rows})
        await s.told(run_id)
        return typed(keep_artifacts(result, plan, Path(self.settings.out)), output_type)

    def run_sync(self, work: Work, **options: Any) -> RunResult:
        """``run`` for code without an event loop; opens and closes the orchestrator if needed.

        Raises:
            NestedLoopError: an event loop is running; ``await run(...)`` there.
        """
        return self._alone("run", lambda: self.run(work, **options))

    def feedback_sync(self, target_id: str, **words: Any) -> dict[str, Any]:
        """``feedback`` for code without an event loop, as ``run_sync``.

        Raises:
            NestedLoopError: an event loop is running; ``await feedback(...)`` there.
        """
        return self._alone("feedback", lambda: self.feedback(target_id, **words))

    def decide_sync(self, task: str | Task, **options: Any) -> Decision:
        """``decide`` for code without an event loop; raises as ``run_sync``."""
        return self._alone("decide", lambda: self.decide(task, **options))

    def report_sync(self, decision_id: str, **words: Any) -> Report:
        """``report`` for code without an event loop; raises as ``run_sync``."""
        return self._alone("report", lambda: self.report(decision_id, **words))

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

        State in: ``task``, else the last human message of ``messages`` (where ``work`` is None).
        State out: ``output`` (the answer), ``run_id``, ``result``, and a message where the task
        was one; no other key of the host's is read or written. Each turn is a run of its own, by
        ``user`` and ``session`` in its ``configurable``; its checkpointer is inherited.
        """
        plan = None if work is None else self.plan(work)
        return self._session.running.as_graph(plan)

    async def route(
        self, task: str | Task, *, skills: Sequence[str] = (), k: int | None = None,
        seed: int | None = None, **labels: Unpack[Said],
    ) -> RouteFound:  # fmt: skip
        """Who would be asked, with what probability, and why. Calls and records nothing.

        ``k`` agents; None leaves it to the settings' depth. ``labels`` are those of ``run``.

        Raises:
            NoCandidateError: nobody is eligible; says why.
        """
        return (await self._session.look([task], skills=skills, k=k, seed=seed, **labels))[0]

    async def route_many(
        self,
        tasks: Sequence[str | Task],
        *,
        skills: Sequence[str] = (),
        k: int | None = None,
        seed: int | None = None,
        top: int = 16,
    ) -> list[RouteFound]:
        """``route`` of each task, scored together; the best ``top`` and the chosen are listed.

        Raises:
            NoCandidateError: nobody is eligible for one of the tasks; says why.
        """
        return await self._session.look(tasks, skills=skills, k=k, seed=seed, top=top)

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

        The first word of each kind of source (user, test, verifier, self) on an agent's part in a
        decision is learned from, with ``feedback_weights``; later ones are stored, and so is what
        is ``beyond_quota`` of a name (``user:NAME``). The result is the row that stands, with
        ``learned``, ``reason`` (why not) and ``believes``: what the default router now expects.

        Raises:
            UsageError: the score is not in [0, 1], the agent took no part, or the key is taken.
            UnknownRunError, UnknownDecisionError, UnknownAgentError: nothing of that name.
        """
        return await self._session.say(
            feedback_row(
                self.ledger, target_id, score=score, source=source, agent=agent, method=method,
                idempotency_key=idempotency_key, registered=self.registry,
            )
        )  # fmt: skip

    async def settle(self) -> int:
        """Wait for what runs beside, fold to the ledger's head; its seq. See ``learned``."""
        return await self._session.settle()

    def learned(self) -> list[Learned]:
        """Of each policy in use: its version, what was folded, and rows it could not learn from."""
        return self._session.policies.learned()

    async def aclose(self) -> None:
        """Stop the workers and drain the ledger's writer. May be called twice."""
        await self._session.aclose()

    @property
    def embedder(self) -> Embedder:
        """What turns text into vectors."""
        return self._session.embedder

    @property
    def ledger(self) -> Ledger:
        """The open ledger.

        Raises:
            ExecutionError: the orchestrator is not open.
        """
        return self._session.ledger


def _given(work: Work | None) -> Work:
    if work is None:
        raise UsageError("there is nothing to run", hint="give a graph, a task, or resume=RUN")
    return work
