"""One run in progress: everything that must not live in a compiled graph."""

from __future__ import annotations

import logging
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentroute.execution.batching.seats import Seats
from agentroute.execution.budget import Budget
from agentroute.execution.history import History
from agentroute.execution.results import TaskOutcome
from agentroute.execution.ruling import Rules
from agentroute.ledger import Ticket
from agentroute.model.calls import AgentReply
from agentroute.model.decisions import Kind
from agentroute.model.events import Emit, Event, EventType
from agentroute.model.plans import AgentUse, Plan, Synthesis
from agentroute.model.runs import Labels
from agentroute.model.tasks import Task, TaskGraph
from agentroute.planning.lead import Order

log = logging.getLogger(__name__)

LONGEST_NAME = 100
Misfit = Callable[[AgentReply], str]  # what an answer lacks to be what was asked for, '' nothing


@dataclass(frozen=True)
class Assignment:
    """One task as it is handed to the loop.

    ``agent`` is a fixed one (pinned, refiner, verifier); ``attempt`` the number of the first
    attempt; ``exclude`` agents that a lead wants left out; ``about`` the task whose team is joined,
    '' for the run's own refining and verifying; ``turn`` says that it is one turn of a task that is
    worked out in rounds.
    """

    task: Task
    inputs: dict[str, AgentReply] = field(default_factory=dict)
    transcript: tuple[tuple[str, str], ...] = ()
    upstream: tuple[str, ...] = ()
    stage: int = 0
    kind: Kind = "route"
    agent: str | None = None
    attempt: int = 1
    exclude: tuple[str, ...] = ()
    reason: str = ""
    about: str = ""
    turn: bool = False

    @property
    def row(self) -> str:
        """The task id of its decisions; '' for the run's own kinds."""
        return self.task.id if self.kind == "route" else self.about


@dataclass(frozen=True)
class RunLimits:
    """What a run may use: seconds, dollars, calls, and calls at a time."""

    seconds: float = 300.0
    usd: float | None = None
    calls: int | None = None
    max_concurrency: int = 8


@dataclass
class Led:
    """How far the rounds under a lead are.

    ``rounds`` were decided in this life; ``left`` of the last one are the orders that wait for a
    human. ``heard`` maps a task to how often it had been issued when a round last saw its report;
    ``said`` is what went wrong with the lead. Of the run's rows of the kind: ``known`` maps a round
    to its row's context, ``asked`` the reason of a call to its attempt, ``attempt`` is the next
    free one, 0 until they were looked at.
    """

    rounds: int = 0
    left: dict[str, Order] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    known: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    attempt: int = 0


@dataclass
class Run:
    """Plan, rules, history, budget and results of one run.

    ``deadline`` is an absolute ``time.monotonic()``; ``pending`` maps an approval id to what is
    asked; ``calls`` maps a call id to what it used; ``lead`` is an agent that leads, None the rule;
    ``uses`` counts how often this life of the run turned to an agent for a kind of its own (refine,
    verify); ``looked`` how often this life looked at the consistency of the answers, ``rerouted``
    how often they were worked out again; ``keys`` are those of its labels that every decision's row
    has; ``refusal`` is what is said of an approval that was not given; ``seats`` are the places of
    items that are given to agents together; ``outstanding`` are the outcome rows that nobody has
    waited for yet, oldest first.
    """

    run_id: str
    plan: Plan
    rules: Rules
    history: History
    bounds: RunLimits
    workroot: Path
    budget: Budget
    listeners: list[Emit] = field(default_factory=list)
    stream: bool = False
    began: float = field(default_factory=time.monotonic)
    outcomes: dict[str, TaskOutcome] = field(default_factory=dict)
    pending: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: dict[str, tuple[int, float]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    verify: bool = True
    refusal: str = "a human refused it"
    misfit: Misfit | None = None
    labels: Labels = field(default_factory=Labels)
    keys: Mapping[str, str] = field(default_factory=dict)
    accept_at: float = 0.5
    synthesis: Synthesis | None = None
    lead: AgentUse | None = None
    led: Led = field(default_factory=Led)
    rerouted: int = 0
    looked: int = 0
    uses: Counter[tuple[str, str]] = field(default_factory=Counter)
    seats: Seats = field(default_factory=Seats)
    purses: dict[str, Budget] = field(default_factory=dict)
    outstanding: deque[Ticket] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.graph: TaskGraph = self.plan.graph()
        layers = enumerate(self.plan.choice.stats.generations)
        self.stages = {v: i for i, layer in layers for v in layer}
        self.deadline = self.began + self.bounds.seconds

    @property
    def left_s(self) -> float:
        """Seconds until the run's deadline; may be negative."""
        return self.deadline - time.monotonic()

    def check_rows(self) -> None:
        """Say what kept an outcome out of the ledger, before anybody else is called.

        Rows are committed in order, so a decision's commit covers all outcomes before it.

        Raises:
            LedgerError: an outcome of this run was not recorded.
        """
        while self.outstanding and self.outstanding[0].done:
            self.outstanding.popleft().result()

    async def recorded(self) -> None:
        """Return when every outcome so far is on the disk.

        Raises:
            LedgerError: one of them was not recorded.
        """
        while self.outstanding:
            await self.outstanding.popleft()

    @property
    def in_order(self) -> list[TaskOutcome]:
        """The outcomes so far, in the order of the plan's graph."""
        place = {v: i for i, v in enumerate(self.graph.order)}
        return [self.outcomes[v] for v in sorted(self.outcomes, key=lambda v: place.get(v, -1))]

    def emit(self, type: EventType, task_id: str = "", agent: str = "", **data: Any) -> None:
        """Tell the listeners; what one of them raises is logged, and the run goes on."""
        if not self.listeners:
            return
        at_s = time.monotonic() - self.began
        event = Event(
            type=type, run_id=self.run_id, task_id=task_id, agent=agent, at_s=at_s, data=data
        )
        for listen in self.listeners:
            try:
                listen(event)
            except Exception:
                log.exception("a listener of run %s failed on %s", self.run_id, type)

    def purse(self, work: Assignment) -> Budget:
        """What the calls of a task are paid from: its own budget inside the run's, or the run's."""
        task = work.task
        if work.kind != "route" or task.budget_usd is None:
            return self.budget
        if task.id not in self.purses:
            spent = self.history.spent_on_usd(task.id)
            self.purses[task.id] = Budget(task.budget_usd, spent_usd=spent, within=self.budget)
        return self.purses[task.id]

    def folder(self, task_id: str, attempt: int, agent: str) -> Path:
        """A call's own folder: two calls never share one, whatever their names are made of."""
        name = f"{task_id}.{agent}"
        safe = "".join(c if (c.isascii() and c.isalnum()) or c in "-_." else "_" for c in name)
        if safe != name or len(safe) > LONGEST_NAME:
            safe = f"{safe[:LONGEST_NAME]}-{zlib.crc32(name.encode('utf-8', 'replace')):08x}"
        return self.workroot / self.run_id / f"{safe}.{attempt}"
