"""One decision, from the question to the commit: who does this task?

Eligible -> scores -> how many -> choice -> row -> commit awaited. What was already decided in
this run is found and used again. A retry by the same agent and a declared fallback are rows of
their own with propensity 1, and say why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import time
from typing import Any

from agentroute.adapters.untrusted import words_of
from agentroute.choosing.decide import Choice
from agentroute.choosing.depth.protocol import is_ranks, is_stepwise
from agentroute.errors import AgentRouteError, NoCandidateError, RoutingError
from agentroute.execution.history import History
from agentroute.execution.ruling import Ask, Rules, Ruling
from agentroute.features.text import encoded
from agentroute.ledger import Ledger
from agentroute.model.arrays import F32, Embedder
from agentroute.model.calls import Usage
from agentroute.model.candidates import CardSet, Request
from agentroute.model.decisions import Decision, DecisionRecord, Kind
from agentroute.model.ids import keyed_rng, uuid7
from agentroute.model.objective import Objective
from agentroute.model.outcomes import EMBEDDERS, PLANNERS, ROUTERS, Outcome
from agentroute.model.plans import Plan
from agentroute.model.scores import Scores
from agentroute.registry.eligibility import Eligible, eligible
from agentroute.registry.nobody import nobody_fits, skill_hint
from agentroute.registry.registry import Registry


class Decider:
    """Takes decisions and writes them down before anyone acts on them.

    ``cards()`` gives the card set of the moment, ``chat_ready`` says whether chat agents can be
    called.
    """

    def __init__(
        self,
        registry: Registry,
        cards: Callable[[], CardSet],
        embedder: Embedder,
        ledger: Ledger,
        *,
        chat_ready: bool = False,
    ) -> None:
        self._registry, self._cards, self._embedder = registry, cards, embedder
        self.ledger, self.chat_ready = ledger, chat_ready

    @property
    def cards(self) -> CardSet:
        """The card set of the moment."""
        return self._cards()

    async def route(self, ask: Ask, rules: Rules, history: History) -> Ruling:
        """Who does the task; committed before this returns.

        Raises:
            NoCandidateError: nobody is eligible; says who was left out and why.
            LedgerError: the row could not be committed. Nobody may be called then.
        """
        known = history.decision(ask.task.id, "route", ask.attempt)
        if known is not None:
            self._in_flight(known)
            if (fresh := history.batched.pop(known.id, None)) is not None:
                return fresh
            looks = is_stepwise(rules.depth)  # at what a row of an earlier life rests on
            past = self.ledger.record(known.id) if looks else None
            return Ruling(known, known=True, record=past)
        while True:
            who = self.eligible(ask)
            (request,) = await self.requests([ask], [who], rules.objective)
            if ask.only is not None:
                record = self._forced(ask, request, who, rules, history.run_id)
            else:
                record = await self._chosen(ask, request, who, rules, history.run_id)
            # Others may have decided while a router waited: one of them tries who is half open.
            if not any(map(self._registry.live.is_probed, record.decision.chosen)):
                break
        self._in_flight(record.decision)
        try:
            return await self.enter(record, who, history)
        except BaseException:
            for agent in record.decision.chosen:
                self._registry.live.settled(agent)
            raise

    async def enter(self, record: DecisionRecord, who: Eligible, history: History) -> Ruling:
        """Commit a decision; what deciding used is an outcome of it.

        Raises:
            LedgerError: the row could not be committed.
        """
        decision = await self._commit(record, history)
        shadows = who.candidates.cards.names[who.shadow_rows] if decision.chosen else ()
        cost_usd = self._book(record, history)
        return Ruling(decision, tuple(map(str, shadows)), cost_usd=cost_usd, record=record)

    def _book(self, record: DecisionRecord, history: History) -> float:
        """Outcomes of the decision for what its router's model calls and a remote embedder used.

        The dollars. An embedder's use is booked with the next decision, whichever it was for.
        """
        took = getattr(self._embedder, "take_usage", None)
        scores, policy = record.scores, record.decision.policy
        used = {f"{ROUTERS}{policy}": scores.usage if scores is not None else None}
        if took is not None:
            used[f"{EMBEDDERS}{self._embedder.id}"] = took()
        return sum(
            self._booked(record.decision.id, who, usage, history)
            for who, usage in used.items()
            if usage is not None and (usage.tokens or usage.cost_usd)
        )

    def _booked(
        self, decision_id: str, who: str, usage: Usage, history: History, took_s: float = 0.0
    ) -> float:
        outcome = Outcome(
            decision_id=decision_id, agent=who, cost_usd=usage.cost_usd or 0.0,
            tokens=usage.tokens, latency_s=took_s,
        )  # fmt: skip
        self.ledger.append(outcome)
        history.finished(outcome)
        return outcome.cost_usd

    async def vectors(self, texts: Sequence[str]) -> F32:
        """The texts as the routers see them (n, e)."""
        return await encoded(self._embedder, texts)

    def _in_flight(self, decision: Decision) -> None:
        """Until the caller settles it, also where an earlier life of the run decided."""
        for agent in decision.chosen:
            self._registry.live.decided(agent)

    async def record(
        self, history: History, kind: Kind, chosen: tuple[str, ...], *, task_id: str = "",
        attempt: int = 1, policy: str, reason: str, context: Mapping[str, Any] | None = None,
        wait: bool = True, propensity: float = 1.0, seed: int = 0, version: str = "@0",
    ) -> Decision:  # fmt: skip
        """A decision without candidates (plan, topology, depth, refine, verify, lead).

        Propensity 1, but where a depth policy drew its step or a selector its shape; ``version``
        is then that of what was learned.

        Without ``wait`` the row is only enqueued; a later row's commit covers it.
        """
        known = history.decision(task_id, kind, attempt)
        if known is not None:
            return known
        decision = decision_of(
            history.run_id, kind=kind, task_id=task_id, attempt=attempt, policy=policy,
            chosen=chosen, reason=reason, propensity=propensity, seed=seed,
            policy_version=version,
        )  # fmt: skip
        record = DecisionRecord(decision, context=dict(context or {}))
        return await self._commit(record, history, wait=wait)

    async def planned(self, history: History, plan: Plan, sha: str) -> float:
        """The row of a plan: which planner made it and why. A rule chose it: propensity 1.

        ``sha`` names the plan's text. What its model calls used is an outcome of the row; returns
        the dollars. The row is only enqueued: the commit of the topology's row covers it.
        """
        how = plan.planning
        n = len(plan.tasks)
        chosen, reason = (plan.name,), f"{n} task{'s' * (n != 1)}"
        context: dict[str, Any] = {"plan": sha}
        if how is not None:
            chosen, reason = (how.by,), f"{reason}; {how.why}"
            context["candidates"] = list(how.considered)
        decision = await self.record(
            history, "plan", chosen, policy=plan.planner or "graph", reason=reason,
            context=context, wait=False,
        )  # fmt: skip
        if how is None or not (how.usage.tokens or how.usage.cost_usd):
            return 0.0
        return self._booked(
            decision.id, f"{PLANNERS}{plan.planner}", how.usage, history, how.took_s
        )

    def eligible(self, ask: Ask) -> Eligible:
        """Who may be asked.

        Raises:
            NoCandidateError: nobody; says who was left out and why.
        """
        who = eligible(
            self._cards(),
            self._registry.live,
            ask.task,
            budget_left_usd=ask.budget_left_usd,
            only=ask.only,
            exclude=tuple(ask.exclude),
            given=ask.given,
            chat_ready=self.chat_ready,
            now_s=time(),
        )
        if not len(who.candidates):
            hint = skill_hint(ask.task, who.candidates.cards.cards)
            raise NoCandidateError(ask.task.id, who.excluded(), hint=hint)
        return who

    async def requests(
        self, asks: Sequence[Ask], who: Sequence[Eligible], objective: Objective
    ) -> list[Request]:
        """What a router is asked about each; the prompts are embedded together."""
        if objective.cost or objective.latency:
            bounds = self._registry.live.bounds(who[0].candidates.cards)
            objective = replace(objective, bounds=bounds)
        embedded = await encoded(self._embedder, [a.task.prompt for a in asks])
        return [
            Request(
                task=ask.task,
                embedding=e,
                candidates=w.candidates,
                objective=objective,
                upstream=ask.upstream,
                stage=ask.stage,
                patience_s=ask.left_s,
                budget_usd=ask.budget_left_usd,
                keys=ask.keys,
            )
            for ask, w, e in zip(asks, who, embedded, strict=True)
        ]

    def _forced(
        self, ask: Ask, request: Request, who: Eligible, rules: Rules, run_id: str
    ) -> DecisionRecord:
        assert ask.only is not None
        decision = decision_of(
            run_id, kind="route", task_id=ask.task.id, attempt=ask.attempt, policy=ask.policy,
            chosen=(ask.only,), reason=ask.reason, seed=rules.seed,
        )  # fmt: skip
        return record_of(decision, request, who)

    async def _chosen(
        self, ask: Ask, request: Request, who: Eligible, rules: Rules, run_id: str
    ) -> DecisionRecord:
        (scores,), version = await scored([request], rules)
        if is_ranks(rules.depth):
            scores = rules.depth.ranked(scores, request.candidates)
        choice, why = self._draw(ask, request, scores, rules, run_id)
        names = tuple(str(request.candidates.names[i]) for i in choice.positions)
        nobody = nobody_fits(request, who) if choice.status == "abstained" else scores.reason
        said = "; ".join(filter(None, (ask.reason, nobody, why)))
        decision = decision_of(
            run_id, kind="route", task_id=ask.task.id, attempt=ask.attempt,
            policy=rules.policy.name, policy_version=version, status=choice.status,
            chosen=names, propensity=choice.propensity, reason=said, seed=rules.seed,
        )  # fmt: skip
        context = {"depth": {"policy": rules.depth.name, "k": len(names), "reason": why}}
        return record_of(decision, request, who, scores, choice, context)

    def _draw(
        self, ask: Ask, request: Request, scores: Scores, rules: Rules, run_id: str
    ) -> tuple[Choice, str]:
        """One choice; a second one from the same stream where the depth policy wants a team."""

        def draw(k: int) -> Choice:
            rng = keyed_rng(rules.seed, run_id, ask.task.id, "route", ask.attempt)
            return rules.policy.decide(request, scores, k=k, rng=rng)

        choice = draw(1)
        k, why = (ask.k, "") if ask.k else rules.depth.how_many(scores, choice)
        return (choice, why) if k == 1 or not choice.positions else (draw(k), why)

    async def _commit(
        self, record: DecisionRecord, history: History, *, wait: bool = True
    ) -> Decision:
        ticket = self.ledger.append(record)
        decision = record.decision
        if wait:
            decision = decision.model_copy(update={"seq": await ticket})
        history.decided(decision)
        return decision


async def scored(requests: Sequence[Request], rules: Rules) -> tuple[list[Scores], str]:
    """The opinions and their version, before the run's deadline; a failure is the tasks'.

    Raises:
        RoutingError: it was late, or raised.
    """
    name = rules.policy.name
    try:
        async with asyncio.timeout(requests[0].patience_s):
            return await rules.policy.versioned(requests)
    except TimeoutError:
        raise RoutingError(f"router '{name}' was not done by the run's deadline") from None
    except AgentRouteError:
        raise
    except Exception as e:
        raise RoutingError(f"router '{name}' failed: {words_of(e)}") from e


def record_of(
    decision: Decision,
    request: Request,
    who: Eligible,
    scores: Scores | None = None,
    choice: Choice | None = None,
    context: Mapping[str, Any] | None = None,
) -> DecisionRecord:
    """A route decision with all that was known when it was taken."""
    return DecisionRecord(
        decision=decision,
        request=request,
        scores=scores,
        propensities=None if choice is None else choice.propensities,
        context=dict(context or {}),
        excluded_rows=who.excluded_rows,
        excluded_codes=who.excluded_codes,
        reasons=who.reasons,
    )


def decision_of(run_id: str, **fields: Any) -> Decision:
    """A decision of this moment, with an id of its own."""
    return Decision(id=uuid7(), run_id=run_id, at=_now(), **fields)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
