"""The one retry loop: decide, call, and on failure retry, fall back, choose again, or degrade."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from agentroute.choosing.depth.protocol import AskMore
from agentroute.errors import RoutingError
from agentroute.execution.answer.deepening import Gathered, depth_of, next_step, stepwise
from agentroute.execution.answer.refiners import Refiners
from agentroute.execution.answer.teams import join_team
from agentroute.execution.answer.turns import Taking, turnwise
from agentroute.execution.answer.unanswered import asked_of, over, unable
from agentroute.execution.calls.asking import Asking
from agentroute.execution.calls.caller import Called, Caller
from agentroute.execution.decider import Decider
from agentroute.execution.history import APPROVAL_NEEDED, stored_reply
from agentroute.execution.progress import Assignment, Run
from agentroute.execution.results import TaskOutcome
from agentroute.execution.ruling import Ask, Ruling
from agentroute.execution.trying.moves import PATIENCE_S, Move, next_move
from agentroute.model.calls import AgentReply, handed_over
from agentroute.model.decisions import Decision
from agentroute.model.events import Note
from agentroute.model.ids import uuid7
from agentroute.model.outcomes import Outcome
from agentroute.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody must be asked before the agent may be called."""

    approval_id: str


class Attempts:
    """Runs one task to its end. Agents' failures come back as outcomes, never as exceptions."""

    def __init__(
        self, decider: Decider, caller: Caller, registry: Registry,
        refiners: Refiners | None = None,
    ) -> None:  # fmt: skip
        self._decider, self._registry = decider, registry
        self.refiners = refiners or Refiners(registry)
        self._ask = Asking(caller, registry, decider.ledger)
        self.beside: set[asyncio.Task[None]] = set()

    @property
    def decider(self) -> Decider:
        """Who writes decisions down."""
        return self._decider

    async def __call__(self, run: Run, work: Assignment) -> TaskOutcome | Waiting:
        """The task's outcome, or ``Waiting`` for a human.

        Raises:
            LedgerError: a row could not be committed; nobody was called after that.
        """
        if (depth := turnwise(run, work)) is not None:
            out: TaskOutcome | Waiting = await Taking(
                self, self._decider, self._registry, run, work, depth
            )()
            return out
        return await self._retried(run, work)

    async def _retried(self, run: Run, work: Assignment) -> TaskOutcome | Waiting:
        failed: list[list[Called]] = []
        said: list[str] = []
        rounds = Gathered(stepwise(run, work))
        barred: set[str] = set()  # cannot be asked now: the breaker is open, the budget too small
        move: Move | None = _first(work)
        attempt = work.attempt
        while True:
            assert move is not None
            try:
                ruling = await self._rule(run, work, move, attempt)
            except RoutingError as e:
                if rounds.replies:  # nobody else can be asked: what is there has to do
                    return await self._closed(run, work, rounds, failed, said)
                move = self._instead(run, work, move, failed, barred)
                if move is not None and await self._may_wait(run, move):
                    continue
                return over(work, "failed", failed, unable(work, said, failed, e), attempt - 1)
            decision = ruling.decision
            try:
                run.check_rows()
                if decision.status == "abstained":
                    said.append(f"task '{work.task.id}': nobody was called ({decision.reason})")
                    return over(work, "abstained", failed, said, attempt, decision)
                if (ask := self._approval(run, work, decision)) is not None:
                    return ask
                if (why := self._too_dear(run, work, ruling, rounds)) is not None:
                    said.append(why)
                    if rounds.replies:
                        return await self._closed(run, work, rounds, failed, said)
                    return over(work, "failed", failed, said, attempt, decision)
                calls = await self._team(run, work, ruling)
            finally:
                self._release(work, decision)
            good = {c.agent: c.reply for c in calls if c.reply is not None}
            said += [
                f"task '{work.task.id}': {c.agent} failed ({c.error})" for c in calls if c.error
            ]
            rounds.add(ruling, good)
            if not good:
                failed.append(calls)
            if rounds.depth is not None and rounds.replies:
                step = await self._settle(run, work, rounds, failed, said)
                if not isinstance(step, Move):
                    return step
                move, attempt = step, attempt + 1
                continue
            if good:
                return await self._won(run, work, decision, good, failed, said)
            move = self._next(run, work, failed, barred)
            if move is None or not await self._may_wait(run, move):
                return over(work, "failed", failed, said, attempt, decision)
            attempt += 1

    async def _settle(
        self, run: Run, work: Assignment, rounds: Gathered, failed: list[list[Called]],
        said: list[str],
    ) -> Move | TaskOutcome:  # fmt: skip
        """The depth policy's next step: a ``Move`` to ask more, else the task's outcome."""
        step, more = await next_step(self, self._decider, run, work, rounds)
        said = [*said, *more]
        if isinstance(step, AskMore):
            return Move(reason=step.reason, k=step.k)
        reply, agents = rounds.kept(step)
        said += [f"task '{work.task.id}': {s}" for s in (getattr(step, "short", ""),) if s]
        assert rounds.last is not None
        won = rounds.replies if reply is None else {agents[0]: reply}
        out = await self._won(run, work, rounds.last, won, failed, said, rounds.expected)
        out = replace(out, agents=agents, tried=tuple(rounds.asked))
        return replace(out, replies=dict(rounds.replies))

    async def _closed(
        self, run: Run, work: Assignment, rounds: Gathered, failed: list[list[Called]],
        said: list[str],
    ) -> TaskOutcome:  # fmt: skip
        """The outcome where nobody else can be asked: what is there has to do."""
        out = await self._settle(run, work, rounds.closed(), failed, said)
        assert not isinstance(out, Move)
        return out

    def _too_dear(self, run: Run, work: Assignment, ruling: Ruling, rounds: Gathered) -> str | None:
        """Why a round's estimate does not fit what is left, before any of its calls; else None."""
        left = run.purse(work).left_usd
        team = len(ruling.decision.chosen) > 1 or rounds.depth is not None
        if not team or left is None or ruling.known:
            return None
        need = sum(self._ask.price(a).usd or 0.0 for a in ruling.decision.chosen)
        if need <= left * (1 + 1e-9):
            return None
        who = ", ".join(ruling.decision.chosen)
        return (
            f"task '{work.task.id}': {who} were not called: they are expected to cost "
            f"${need:.4g}, ${left:.4g} are left"
        )

    def _release(self, work: Assignment, decision: Decision) -> None:
        """Whatever became of the decision, it is no longer in flight."""
        if work.kind == "route":
            for agent in decision.chosen:
                self._registry.live.settled(agent)

    def _next(
        self,
        run: Run,
        work: Assignment,
        failed: list[list[Called]],
        barred: set[str],
        *,
        free: bool = True,
        patience_s: float = PATIENCE_S,
    ) -> Move | None:
        return next_move(
            failed, lambda a: self._registry[a].card, barred=barred,
            free=free and work.agent is None and work.kind == "route",
            left_s=run.left_s, patience_s=patience_s,
        )  # fmt: skip

    def _instead(
        self,
        run: Run,
        work: Assignment,
        move: Move,
        failed: list[list[Called]],
        barred: set[str],
    ) -> Move | None:
        """Where the move's agent cannot be asked: the next move; None where nothing was tried."""
        if not failed:
            return None
        if move.only is not None:
            barred.add(move.only)
            return self._next(run, work, failed, barred)
        # Nobody else is there: then even a long wait for the same agent is better than nothing.
        return self._next(run, work, failed, barred, free=False, patience_s=float("inf"))

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
                run.history, work.kind, (agent,), task_id=work.about, attempt=attempt,
                policy=move.policy, reason=move.reason, context=_context(work),
            )  # fmt: skip
            return Ruling(decision)
        ask = Ask(
            task=work.task,
            attempt=attempt,
            upstream=work.upstream,
            given=handed_over(work.inputs),
            stage=work.stage,
            exclude=() if move.only else self._tried(run, work, attempt),
            only=move.only,
            policy=move.policy,
            reason=move.reason,
            budget_left_usd=run.purse(work).left_usd,
            left_s=run.left_s,
            k=move.k,
        )
        rules = run.rules
        if work.task.depth is not None:
            rules = replace(rules, depth=depth_of(work.task, rules.depth))
        ruling = await self._decider.route(ask, rules, run.history)
        run.purse(work).spend(ruling.cost_usd)
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
                    self._recall(done[a]) if a in done else self._ask(run, work, decision, a)
                    for a in decision.chosen
                )
            )
        )

    async def _recall(self, o: Outcome) -> Called:
        reply = stored_reply(self._decider.ledger, o.reply)
        error = o.error or (
            None if reply is not None else "the stored reply was erased or cannot be read"
        )
        timed_out = bool(error and error.startswith("no answer within"))
        return Called(o.agent, reply, error, o.latency_s, o.cost_usd, o.tokens, timed_out=timed_out)

    def _start_shadow(self, run: Run, work: Assignment, decision: Decision, agent: str) -> None:
        async def beside() -> None:
            await self._ask(run, work, decision, agent, shadow=True)

        task = asyncio.create_task(beside())
        self.beside.add(task)
        task.add_done_callback(self.beside.discard)

    async def _won(
        self, run: Run, work: Assignment, decision: Decision, good: dict[str, AgentReply],
        failed: list[list[Called]], said: list[str], expected: dict[str, float] | None = None,
    ) -> TaskOutcome:  # fmt: skip
        reply = next(iter(good.values()))
        if len(good) > 1:
            record = self._decider.ledger.record(decision.id)
            reply, more = await join_team(self, run, work, record, good, self.refiners, expected)
            said = [*said, *more]
        if (
            failed
            and decision.attempt > work.attempt
            and set(good) == {c.agent for c in failed[-1]}
        ):
            said = []  # the same agent did it at another try: nothing is missing from the answer
        elif failed:
            said.append(f"task '{work.task.id}': {', '.join(good)} answered instead")
        said += [
            f"task '{work.task.id}': the answer of {agent} is not whole: {r.incomplete}"
            for agent, r in good.items()
            if r.incomplete
        ]
        return TaskOutcome(
            task_id=work.task.id,
            status="abstained" if reply.abstained else "ok",
            agents=tuple(good),
            tried=asked_of(failed, good),
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


def _context(work: Assignment) -> dict[str, Any]:
    """What a join was made with, so that it can be made again from what is recorded."""
    if work.kind != "refine":
        return {}
    told = {k: v for k, v in work.task.params.items() if k != "prompts"}
    return {"inputs": list(work.inputs), "params": told}
