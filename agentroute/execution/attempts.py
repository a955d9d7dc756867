"""The one retry loop: decide, call, and on failure retry, fall back, choose again, or degrade."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from agentroute.errors import BudgetExceededError, RoutingError
from agentroute.execution.calls.caller import Called, Caller
from agentroute.execution.decider import Ask, Decider, Ruling
from agentroute.execution.history import APPROVAL_NEEDED, stored_reply
from agentroute.execution.moves import Move, next_move
from agentroute.execution.progress import Run
from agentroute.execution.results import TaskOutcome, join_team
from agentroute.model.calls import AgentCall, AgentReply
from agentroute.model.decisions import Decision, Kind
from agentroute.model.events import Note
from agentroute.model.ids import uuid7
from agentroute.model.outcomes import Outcome
from agentroute.model.tasks import Task
from agentroute.registry.registry import Registry


@dataclass(frozen=True)
class Assignment:
    """One task as it is handed to the loop.

    ``agent`` is a fixed one (pinned, refiner, verifier); ``attempt`` the number of the first
    attempt; ``exclude`` agents that a lead wants left out.
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

    @property
    def row(self) -> str:
        """The task id of its decisions; '' for the run's own kinds."""
        return self.task.id if self.kind == "route" else ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody must be asked before the agent may be called."""

    approval_id: str


class Refused(Exception):
    """The call was not made: no budget, no time, or a human said no."""


class Attempts:
    """Runs one task to its end. Agents' failures come back as outcomes, never as exceptions."""

    def __init__(self, decider: Decider, caller: Caller, registry: Registry) -> None:
        self._decider, self._call, self._registry = decider, caller, registry
        self.beside: set[asyncio.Task[None]] = set()

    async def __call__(self, run: Run, work: Assignment) -> TaskOutcome | Waiting:
        """The task's outcome, or ``Waiting`` for a human.

        Raises:
            LedgerError: a row could not be committed; nobody was called after that.
        """
        failed: list[list[Called]] = []
        said: list[str] = []
        move = _first(work)
        attempt = work.attempt
        while True:
            try:
                ruling = await self._rule(run, work, move, attempt)
            except RoutingError as e:
                said.append(f"task '{work.task.id}': {e}")
                return _over(work, "failed", failed, said, attempt - 1)
            decision = ruling.decision
            if decision.status == "abstained":
                said.append(f"task '{work.task.id}': nobody was called ({decision.reason})")
                return _over(work, "abstained", failed, said, attempt, decision)
            if (ask := self._approval(run, work, decision)) is not None:
                return ask
            calls = await self._team(run, work, ruling)
            good = {c.agent: c.reply for c in calls if c.reply is not None}
            said += [
                f"task '{work.task.id}': {c.agent} failed ({c.error})" for c in calls if c.error
            ]
            if good:
                return await self._won(run, work, decision, good, failed, said)
            failed.append(calls)
            free = work.agent is None and work.kind == "route"
            nxt = next_move(failed, lambda a: self._registry[a].card, free=free)
            if nxt is None or not await self._may_wait(run, nxt):
                return _over(work, "failed", failed, said, attempt, decision)
            move, attempt = nxt, attempt + 1

    async def _may_wait(self, run: Run, move: Move) -> bool:
        """Wait before the next attempt; False where the deadline would pass."""
        if move.wait_s >= run.left_s:
            return False
        await asyncio.sleep(move.wait_s)
        return True

    async def _rule(self, run: Run, work: Assignment, move: Move, attempt: int) -> Ruling:
        if work.kind != "route":
            agent = move.only or ""
            decision = await self._decider.record(
                run.history, work.kind, (agent,), attempt=attempt,
                policy=move.policy, reason=move.reason,
            )  # fmt: skip
            return Ruling(decision)
        ask = Ask(
            task=work.task,
            attempt=attempt,
            upstream=work.upstream,
            stage=work.stage,
            exclude=() if move.only else self._tried(run, work, attempt),
            only=move.only,
            policy=move.policy,
            reason=move.reason,
            budget_left_usd=run.budget.left_usd,
        )
        ruling = await self._decider.route(ask, run.rules, run.history)
        if not ruling.known:
            d = ruling.decision
            run.emit(
                "decision.made", work.task.id, ",".join(d.chosen), decision_id=d.id,
                policy=d.policy, propensity=d.propensity, status=d.status, reason=d.reason,
            )  # fmt: skip
        return ruling

    def _tried(self, run: Run, work: Assignment, attempt: int) -> tuple[str, ...]:
        before = (
            run.history.decision(work.task.id, "route", n) for n in range(work.attempt, attempt)
        )
        return (*work.exclude, *(a for d in before if d is not None for a in d.chosen))

    def _approval(self, run: Run, work: Assignment, decision: Decision) -> Waiting | None:
        """Ask once for the agents that need it; None when there is nothing (more) to ask."""
        need = [a for a in decision.chosen if self._registry[a].card.requires_approval]
        approval_id = f"{work.task.id}#{decision.attempt}"
        if not need or approval_id in run.history.answers:
            return None
        question = {
            "approval_id": approval_id, "task_id": work.task.id, "agents": need,
            "prompt": work.task.prompt[:500], "decision_id": decision.id,
        }  # fmt: skip
        run.pending[approval_id] = question
        if run.history.questions.get(work.task.id) != approval_id:
            note = Note(id=uuid7(), run_id=run.run_id, type=APPROVAL_NEEDED, data=question)
            self._decider.ledger.append(note)
            run.history.noted(note)
        run.emit("approval.needed", work.task.id, ",".join(need), approval_id=approval_id)
        return Waiting(approval_id)

    async def _team(self, run: Run, work: Assignment, ruling: Ruling) -> list[Called]:
        """Everybody chosen, at once; whoever finished in an earlier life is read, not called."""
        decision = ruling.decision
        for agent in ruling.shadows:
            self._start_shadow(run, work, decision, agent)
        done = run.history.outcomes(decision.id)
        return list(
            await asyncio.gather(
                *(
                    self._recall(done[a]) if a in done else self._one(run, work, decision, a)
                    for a in decision.chosen
                )
            )
        )

    async def _recall(self, o: Outcome) -> Called:
        reply = stored_reply(self._decider.ledger, o.reply)
        error = o.error or (None if reply is not None else "the stored reply was erased")
        timed_out = bool(error and error.startswith("no answer within"))
        return Called(o.agent, reply, error, o.latency_s, o.cost_usd, o.tokens, timed_out=timed_out)

    async def _one(
        self, run: Run, work: Assignment, decision: Decision, agent: str, *, shadow: bool = False
    ) -> Called:
        """One call with its limits, its hold on the budget, its events and its outcome row."""
        card, live = self._registry[agent].card, self._registry.live
        try:
            self._check_answer(run, work, decision, agent)
            limit_s = self._limit_s(run, work, card.limits.timeout_s)
            hold = run.budget.reserve(self._estimate(agent))
        except (Refused, BudgetExceededError) as e:
            if not shadow:
                live.settled(agent)
            return Called(agent, None, str(e), 0.0, 0.0, 0, retryable=False)
        live.started(agent)
        if not shadow:
            run.emit("agent.started", work.task.id, agent, attempt=decision.attempt)
        try:
            called = await self._call(
                agent, self._agent_call(run, work, decision, agent, limit_s), limit_s=limit_s,
                left_s=run.left_s, on_chunk=self._chunks(run, work, agent) if not shadow else None,
            )  # fmt: skip
        except BaseException:
            slot = live.slot(agent)
            live.running[slot] -= 1
            run.budget.settle(hold, 0.0)
            raise
        run.budget.settle(hold, called.cost_usd)
        live.finished(
            agent, cost_usd=called.cost_usd, latency_s=called.latency_s,
            error=called.error is not None, at_s=time.time(),
            cooldown_failures=card.limits.cooldown_failures, cooldown_s=card.limits.cooldown_s,
        )  # fmt: skip
        await self._write(run, work, decision, called, shadow)
        return called

    def _check_answer(self, run: Run, work: Assignment, decision: Decision, agent: str) -> None:
        answer = run.history.answers.get(f"{work.task.id}#{decision.attempt}")
        if answer is False and self._registry[agent].card.requires_approval:
            raise Refused("a human refused it")

    def _limit_s(self, run: Run, work: Assignment, timeout_s: float) -> float:
        limit_s = min(timeout_s, run.left_s, work.task.deadline_s or timeout_s)
        if limit_s <= 0:
            raise Refused("the run's deadline is over")
        return limit_s

    def _estimate(self, agent: str) -> float:
        """Expected dollars of a call: the running average, else what the card says, else 0."""
        live, pricing = self._registry.live, self._registry[agent].card.pricing
        slot = live.slot(agent)  # first: a new agent's slot may replace the arrays
        seen = float(live.cost_usd[slot])
        if seen == seen:  # not NaN
            return seen
        return pricing.call_usd if pricing.expected_usd is None else pricing.expected_usd

    def _agent_call(
        self, run: Run, work: Assignment, decision: Decision, agent: str, limit_s: float
    ) -> AgentCall:
        left = [b for b in (run.budget.left_usd, work.task.budget_usd) if b is not None]
        row = work.row or work.kind
        return AgentCall(
            task=work.task,
            inputs=work.inputs,
            params=work.task.params,
            call_id=f"{run.run_id}:{row}:{decision.attempt}:{agent}",
            deadline_s=limit_s,
            budget_usd=min(left, default=None),
            workdir=run.folder(row, decision.attempt, agent),
            transcript=work.transcript,
        )

    def _chunks(self, run: Run, work: Assignment, agent: str) -> Any:
        if not (run.stream and run.listeners):
            return None
        return lambda text: run.emit("agent.delta", work.task.id, agent, text=text)

    async def _write(
        self, run: Run, work: Assignment, decision: Decision, c: Called, shadow: bool
    ) -> None:
        """The outcome row, committed before anything that depends on it goes on."""
        ledger = self._decider.ledger
        sha = ledger.put_text(c.reply.model_dump_json()) if c.reply is not None else None
        outcome = Outcome(
            decision_id=decision.id, agent=c.agent, quality=0.0 if c.error else None,
            cost_usd=c.cost_usd, latency_s=c.latency_s, tokens=c.tokens, error=c.error,
            shadow=shadow, reply=sha,
        )  # fmt: skip
        await ledger.append(outcome)
        run.history.finished(outcome)
        if shadow:
            return
        self._registry.live.settled(c.agent)
        row = work.row or work.kind
        run.calls[f"{row}:{decision.attempt}:{c.agent}"] = (c.tokens, c.cost_usd)
        if c.error:
            run.emit("agent.failed", work.task.id, c.agent, error=c.error)
        else:
            run.emit("agent.finished", work.task.id, c.agent, latency_s=c.latency_s,
                     cost_usd=c.cost_usd, tokens=c.tokens)  # fmt: skip

    def _start_shadow(self, run: Run, work: Assignment, decision: Decision, agent: str) -> None:
        async def beside() -> None:
            await self._one(run, work, decision, agent, shadow=True)

        task = asyncio.create_task(beside())
        self.beside.add(task)
        task.add_done_callback(self.beside.discard)

    async def _won(
        self, run: Run, work: Assignment, decision: Decision, good: dict[str, AgentReply],
        failed: list[list[Called]], said: list[str],
    ) -> TaskOutcome:  # fmt: skip
        reply = join_team(good)
        if decision.attempt > work.attempt and set(good) == {c.agent for c in failed[-1]}:
            said = []  # the same agent did it at another try: nothing is missing from the answer
        elif failed:
            said.append(f"task '{work.task.id}': {', '.join(good)} answered instead")
        return TaskOutcome(
            task_id=work.task.id,
            status="abstained" if reply.abstained else "ok",
            agents=tuple(good),
            tried=_agents(failed, good),
            reply=reply,
            replies=good,
            sha=self._decider.ledger.put_text(reply.model_dump_json()),
            said=tuple(said),
            attempt=decision.attempt,
            decision_id=decision.id,
        )


def _first(work: Assignment) -> Move:
    if work.agent is None:
        return Move(reason=work.reason)
    policy = "pinned" if work.kind == "route" else "named"
    return Move(work.agent, policy, work.reason or f"{policy} by the graph or the settings")


def _agents(failed: list[list[Called]], more: Iterable[str] = ()) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*(c.agent for calls in failed for c in calls), *more]))


def _over(
    work: Assignment, status: Any, failed: list[list[Called]], said: list[str], attempt: int,
    decision: Decision | None = None,
) -> TaskOutcome:  # fmt: skip
    return TaskOutcome(
        task_id=work.task.id,
        status=status,
        tried=_agents(failed),
        said=tuple(said),
        attempt=max(attempt, work.attempt - 1),
        decision_id=decision.id if decision else "",
    )
