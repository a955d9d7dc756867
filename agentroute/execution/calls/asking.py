"""One call of a run: its limits, its hold on the budget, its events and its outcome row."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from agentroute.errors import BudgetExceededError
from agentroute.execution.budget import Budget, Hold, Price
from agentroute.execution.calls.caller import Called, Caller
from agentroute.execution.history import stored_reply
from agentroute.execution.progress import Assignment, Run
from agentroute.ledger import Ledger
from agentroute.model.calls import AgentCall
from agentroute.model.decisions import Decision
from agentroute.model.outcomes import Outcome
from agentroute.registry.registry import Registry


class Refused(Exception):
    """The call was not made: no budget, no time, or a human said no."""


class Asking:
    """Calls an agent for a decision; what went wrong is in the result, never an exception."""

    def __init__(self, caller: Caller, registry: Registry, ledger: Ledger) -> None:
        self._call, self._registry, self._ledger = caller, registry, ledger

    async def __call__(
        self, run: Run, work: Assignment, decision: Decision, agent: str, *, shadow: bool = False
    ) -> Called:
        """One call with its limits, its hold on the budget, its events and its outcome row."""
        card, live = self._registry[agent].card, self._registry.live
        try:
            self._check_answer(run, work, decision, agent)
            self._limit_s(run, work, card.limits.timeout_s)
            purse = run.purse(work)
            hold = await self._reserve(run, purse, agent)
            limit_s = self._limit_s(run, work, card.limits.timeout_s)
        except (Refused, BudgetExceededError) as e:
            return Called(agent, None, str(e), 0.0, 0.0, 0, retryable=False)
        if not shadow:
            run.emit("agent.started", work.task.id, agent, attempt=decision.attempt)
        ahead = run.rules.policy.learned.read_ahead
        asyncio.get_running_loop().call_soon(ahead, decision.id)
        try:
            with live.calling(agent):
                called = await self._call(
                    agent, self._agent_call(run, work, decision, hold, limit_s), limit_s=limit_s,
                    left_s=run.left_s,
                    on_chunk=self._chunks(run, work, agent) if not shadow else None,
                )  # fmt: skip
        except BaseException:
            purse.settle(hold, hold.usd)  # how much was used when it was cut off, nobody knows
            raise
        purse.settle(hold, called.cost_usd, failed=called.error is not None)
        live.observe(
            agent, cost_usd=called.cost_usd, latency_s=called.latency_s,
            error=called.error is not None, at_s=time.time(),
            cooldown_failures=card.limits.cooldown_failures, cooldown_s=card.limits.cooldown_s,
        )  # fmt: skip
        await self._write(run, work, decision, called, shadow)
        return called

    def _check_answer(self, run: Run, work: Assignment, decision: Decision, agent: str) -> None:
        answer = run.history.answers.get(f"{work.task.id}#{decision.attempt}")
        if answer is False and self._registry[agent].card.requires_approval:
            raise Refused(run.refusal)

    def _limit_s(self, run: Run, work: Assignment, timeout_s: float) -> float:
        limit_s = min(timeout_s, run.left_s, work.task.deadline_s or timeout_s)
        if limit_s <= 0:
            raise Refused("the run's deadline is over")
        return limit_s

    async def _reserve(self, run: Run, purse: Budget, agent: str) -> Hold:
        """The call's money; waits for the calls in flight, at most until the run's deadline."""
        price = self.price(agent)
        if (hold := purse.reserve_now(agent, price)) is not None:
            return hold
        try:
            async with asyncio.timeout(run.left_s):
                return await purse.reserve(agent, price)
        except TimeoutError:
            raise Refused("the run's deadline is over") from None

    def price(self, agent: str) -> Price:
        """Expected dollars of a call: the running average, else what the card states."""
        live, pricing = self._registry.live, self._registry[agent].card.pricing
        slot = live.slot(agent)  # first: a new agent's slot may replace the arrays
        seen = float(live.cost_usd[slot])
        if seen == seen:  # not NaN
            return Price(seen, measured=True)
        return Price(pricing.stated_usd)

    def _agent_call(
        self, run: Run, work: Assignment, decision: Decision, hold: Hold, limit_s: float
    ) -> AgentCall:
        row, agent = work.row or work.kind, hold.agent
        return AgentCall(
            task=work.task,
            inputs=work.inputs,
            params=work.task.params,
            call_id=f"{run.run_id}:{row}:{decision.attempt}:{agent}",
            deadline_s=limit_s,
            budget_usd=hold.left_usd,
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
        """The outcome row. Only a shadow's is waited for: the run's next commit covers the others.

        Rows are committed in order of arrival, and before the next agent is called a decision is.
        """
        ledger = self._ledger
        sha = ledger.put_text(c.reply.model_dump_json()) if c.reply is not None else None
        outcome = Outcome(
            decision_id=decision.id, agent=c.agent, quality=0.0 if c.error else None,
            cost_usd=c.cost_usd, latency_s=c.latency_s, tokens=c.tokens, error=c.error,
            shadow=shadow, reply=sha,
        )  # fmt: skip
        ticket = ledger.append(outcome)
        run.history.finished(outcome)
        if shadow:
            await ticket
            return
        run.outstanding.append(ticket)
        row = work.row or work.kind
        run.calls[f"{row}:{decision.attempt}:{c.agent}"] = (c.tokens, c.cost_usd)
        if c.error:
            run.emit("agent.failed", work.task.id, c.agent, error=c.error)
        else:
            run.emit("agent.finished", work.task.id, c.agent, latency_s=c.latency_s,
                     cost_usd=c.cost_usd, tokens=c.tokens,
                     text=c.reply.text if c.reply is not None else "")  # fmt: skip


def recalled(ledger: Ledger, o: Outcome) -> Called:
    """The call of an earlier life of the run, from what it left in the ledger."""
    reply = stored_reply(ledger, o.reply)
    error = o.error or (
        None if reply is not None else "the stored reply was erased or cannot be read"
    )
    timed_out = bool(error and error.startswith("no answer within"))
    return Called(o.agent, reply, error, o.latency_s, o.cost_usd, o.tokens, timed_out=timed_out)
