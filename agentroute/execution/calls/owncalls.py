"""Decisions whose calls somebody else makes: taken and committed here, closed by a report."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from agentroute.errors import RunStateError, UsageError, did_you_mean
from agentroute.execution.decider import Decider
from agentroute.execution.history import History
from agentroute.execution.ruling import Ask, Rules
from agentroute.ledger import Ledger
from agentroute.model.calls import MAX_COST_USD, MAX_TOKENS
from agentroute.model.decisions import Decision
from agentroute.model.events import Note
from agentroute.model.ids import uuid7
from agentroute.model.outcomes import Outcome
from agentroute.model.plans import Plan
from agentroute.model.runs import Labels
from agentroute.model.tasks import Task
from agentroute.registry.registry import Registry

OWN = "own call"


class OwnCalls:
    """Takes a decision as a run of its own, and closes it when its caller says what came of it.

    What is decided and not yet reported counts as in flight while this object lives.
    """

    def __init__(self, decider: Decider, registry: Registry, ledger: Ledger) -> None:
        self._decider, self._registry, self._ledger = decider, registry, ledger
        self._open: dict[str, set[str]] = {}

    async def decide(self, plan: Plan, rules: Rules, labels: Labels) -> Decision:
        """Who does the plan's task; committed before this returns.

        Raises:
            NoCandidateError: nobody is eligible; says why.
            LedgerError: the row could not be committed.
        """
        (task,) = plan.tasks
        run_id, ask = uuid7(), replace(_ask(task), keys=labels.keys)
        ruling = await self._decider.route(ask, rules, History(run_id))
        sha = self._ledger.put_text(plan.model_dump_json())
        data: dict[str, Any] = {
            "name": plan.name, "topology": plan.topology.value, "plan": sha, "calls": OWN,
            "policy": dict(rules.policy.made_of), **labels.started(),
        }  # fmt: skip
        await self._ledger.append(Note(id=uuid7(), run_id=run_id, type="run.started", data=data))
        decision = ruling.decision
        self._open[decision.id] = set(decision.chosen)
        if not decision.chosen:
            await self._finish(decision)
        return decision

    async def report(
        self,
        decision_id: str,
        *,
        agent: str | None = None,
        cost_usd: float | None = None,
        latency_s: float | None = None,
        tokens: int = 0,
        error: str | None = None,
    ) -> tuple[Outcome, bool]:
        """The outcome row of one agent's call, and whether it was there before.

        What is not said: the cost is the card's expected one, the latency the time since the
        decision.

        Raises:
            UnknownDecisionError: there is no such decision.
            UsageError: it is not an open one of ``decide``, the agent was not chosen, a number is
                out of its range, or it was reported before with other values.
        """
        _check(cost_usd, latency_s, tokens, error)
        decision = self._ledger.decision(decision_id)
        self._check_ours(decision)
        agent = _one_of(decision, agent)
        outcome = Outcome(
            decision_id=decision_id, agent=agent, quality=None if error is None else 0.0,
            cost_usd=self._expected_usd(agent) if cost_usd is None else cost_usd,
            latency_s=_since(decision) if latency_s is None else latency_s,
            tokens=tokens, error=error,
        )  # fmt: skip
        ticket = self._ledger.append(outcome)
        await ticket
        if ticket.duplicate:
            stands = next(
                o for o in self._ledger.outcomes(decision_id=decision_id) if o.agent == agent
            )
            _check_same(stands, cost_usd, latency_s, tokens, error)
            return stands, True
        await self._settle(decision, outcome)
        return outcome, False

    def close(self) -> None:
        """What is still open is no longer in flight here; it can be reported later."""
        for agents in self._open.values():
            for agent in agents:
                self._registry.live.settled(agent)
        self._open.clear()

    def _check_ours(self, decision: Decision) -> None:
        started = self._ledger.notes(decision.run_id, "run.started")
        if decision.kind != "route" or not any(n.data.get("calls") == OWN for n in started):
            raise UsageError(
                f"decision {decision.id} was taken by a run, which reports itself",
                hint="feedback says how good its result was",
            )

    def _expected_usd(self, agent: str) -> float:
        if agent not in self._registry:
            return 0.0
        pricing = self._registry[agent].card.pricing
        return pricing.call_usd if pricing.expected_usd is None else pricing.expected_usd

    async def _settle(self, decision: Decision, o: Outcome) -> None:
        live = self._registry.live
        if o.agent in self._open.get(decision.id, ()):
            self._open[decision.id].discard(o.agent)
            live.settled(o.agent)
        if o.agent in self._registry:
            limits = self._registry[o.agent].card.limits
            live.observe(
                o.agent, cost_usd=o.cost_usd, latency_s=o.latency_s, error=o.error is not None,
                at_s=time.time(), cooldown_failures=limits.cooldown_failures,
                cooldown_s=limits.cooldown_s,
            )  # fmt: skip
        if len(self._ledger.outcomes(decision_id=decision.id)) >= len(decision.chosen):
            await self._finish(decision)

    async def _finish(self, decision: Decision) -> None:
        """The run's last row, once everybody chosen has reported."""
        made = self._ledger.outcomes(decision_id=decision.id)
        failed = [f"{o.agent} failed ({o.error})" for o in made if o.error]
        status = "abstained" if not decision.chosen else "completed"
        if failed:
            status = "failed" if len(failed) == len(made) else "degraded"
        usage = {
            "calls": len(made), "tokens": sum(o.tokens for o in made),
            "cost_usd": sum(o.cost_usd for o in made),
            "wall_s": max((o.latency_s for o in made), default=0.0),
        }  # fmt: skip
        data: dict[str, Any] = {
            "status": status, "degraded": failed, "answer": None, "usage": usage,
        }  # fmt: skip
        note = Note(id=uuid7(), run_id=decision.run_id, type="run.finished", data=data)
        with suppress(RunStateError):  # another report of the same team was the last one too
            await self._ledger.append(note)
        self._open.pop(decision.id, None)


def _ask(task: Task) -> Ask:
    if task.agent is None:
        return Ask(task)
    return Ask(task, only=task.agent, policy="pinned", reason="pinned by the task")


def _one_of(decision: Decision, agent: str | None) -> str:
    if not decision.chosen:
        raise UsageError(f"decision {decision.id} abstained: nobody was called")
    if agent is None and len(decision.chosen) == 1:
        return decision.chosen[0]
    if agent not in decision.chosen:
        said = "say which agent" if agent is None else f"'{agent}' was not chosen"
        raise UsageError(
            f"decision {decision.id}: {said}", hint=did_you_mean(agent or "", decision.chosen)
        )
    return agent


def _since(decision: Decision) -> float:
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(decision.at)).total_seconds())


def _check(cost_usd: float | None, latency_s: float | None, tokens: int, error: str | None) -> None:
    for name, value, most in (
        ("cost_usd", cost_usd, MAX_COST_USD), ("latency_s", latency_s, 1e9),
        ("tokens", tokens, MAX_TOKENS),
    ):  # fmt: skip
        if value is None:
            continue
        if isinstance(value, bool) or not math.isfinite(value) or not 0 <= value <= most:
            raise UsageError(f"{name} is {value}: a number from 0 to {most:g}")
    if error is not None and not error.strip():
        raise UsageError("an error is said in words", hint="leave error out where there was none")


def _check_same(
    stands: Outcome, cost_usd: float | None, latency_s: float | None, tokens: int, error: str | None
) -> None:
    for name, now, then in (
        ("cost_usd", cost_usd, stands.cost_usd), ("latency_s", latency_s, stands.latency_s),
        ("tokens", tokens or None, stands.tokens), ("error", error, stands.error),
    ):  # fmt: skip
        if now is not None and now != then:
            raise UsageError(
                f"decision {stands.decision_id} was reported with {name} {then}, not {now}",
                hint="the first report stands",
            )
