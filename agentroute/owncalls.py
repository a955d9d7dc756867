"""``decide`` and ``report``: for users who make the call themselves, with a client of their own.

And ``expected``, what the router believes of agents before anybody is called.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal, TypeVar, Unpack

import numpy as np

from agentroute.choosing.protocol import Router
from agentroute.errors import NestedLoopError, UnknownAgentError, UsageError
from agentroute.features.text import encoded
from agentroute.model.arrays import F64
from agentroute.model.candidates import Candidates, Request
from agentroute.model.decisions import Decision
from agentroute.model.plans import Spec
from agentroute.model.record import Part
from agentroute.model.runs import Said, labels_of
from agentroute.model.tasks import Task
from agentroute.planning.graphfile import plan_of_text
from agentroute.planning.work import plan_of
from agentroute.routers.parts.quiz import predicted
from agentroute.session import Session

T = TypeVar("T")


class Report(Part):
    """What stands in the ledger of a call that its caller made."""

    decision_id: str
    """The decision that it closes."""
    agent: str
    """Who was called."""
    cost_usd: float
    """As reported, else the card's expected cost."""
    latency_s: float
    """As reported, else the time from the decision to the report."""
    tokens: int
    """As reported."""
    error: str | None
    """As reported."""
    quality: float | None
    """As reported now."""
    duplicate: bool
    """It was reported before, with the same values."""
    learned: bool
    """Whether the quality moved the routers."""


class OwnCalls(ABC):
    """What an ``Orchestrator`` offers to callers who call agents themselves."""

    _session: Session

    @abstractmethod
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
        """See ``Orchestrator.feedback``."""

    @abstractmethod
    async def __aenter__(self) -> Any:
        """Open."""

    @abstractmethod
    async def __aexit__(self, *_: object) -> None:
        """Close."""

    async def decide(
        self,
        task: str | Task,
        *,
        skills: Sequence[str] = (),
        router: Spec | Router | None = None,
        seed: int | None = None,
        **labels: Unpack[Said],
    ) -> Decision:
        """Who does the task: a committed decision, with its ``id``, ``chosen``, ``propensity``.

        The decision is a run of its own. Call whom it names, then ``report`` what came of it. It
        may be ``abstained``, with nobody chosen, and counts as in flight until it is reported.
        ``labels`` are those of ``run``: tags, user, session, metadata.

        Raises:
            UsageError: it cannot be labelled so.
            NoCandidateError: nobody is eligible; says why.
            LedgerError: the decision could not be committed.
        """
        said = labels_of(**labels)
        await self._session.refresh()
        if isinstance(task, str):
            plan = plan_of_text(task, skills=tuple(skills))
        else:
            plan = plan_of(task, {}, ())
        rules = self._session.rules(plan, router=router, seed=seed)
        await rules.policy.learned.catch_up()
        return await self._session.own_calls.decide(plan, rules, said)

    async def report(
        self,
        decision_id: str,
        *,
        agent: str | None = None,
        quality: float | None = None,
        cost_usd: float | None = None,
        latency_s: float | None = None,
        tokens: int = 0,
        error: str | None = None,
        source: Literal["user", "test"] = "user",
    ) -> Report:
        """Close a decision of ``decide``: what the call cost and took, how good it was, or why not.

        ``agent`` is needed for a team, each member reporting once. ``quality`` in [0, 1] is
        feedback of ``source`` and may come with a later report. The same report again changes
        nothing. Returns after the commit; routers learn from it as from a run.

        Raises:
            UnknownDecisionError: there is no such decision.
            UsageError: it is not an open one of ``decide``, the agent was not chosen, a value is
                out of its range, or it was reported before with other values.
        """
        _check(quality, error, source)
        outcome, duplicate = await self._session.own_calls.report(
            decision_id, agent=agent, cost_usd=cost_usd, latency_s=latency_s, tokens=tokens,
            error=error,
        )  # fmt: skip
        said: dict[str, Any] = {"learned": False, "duplicate": True}
        if quality is not None:
            said = await self._judge(decision_id, outcome.agent, outcome.error, quality, source)
        await self._session.policies.catch_up()
        return Report(
            decision_id=decision_id, agent=outcome.agent, cost_usd=outcome.cost_usd,
            latency_s=outcome.latency_s, tokens=outcome.tokens, error=outcome.error,
            quality=quality, duplicate=duplicate and said["duplicate"], learned=said["learned"],
        )  # fmt: skip

    async def expected(self, tasks: Sequence[Task], agents: Sequence[str]) -> F64:
        """(m, n) quality in [0, 1] that the settings' router expects of n agents on m tasks.

        Of the answer alone, by all that was learned so far: whether an agent is free, allowed or
        dear just now does not count. Calls nobody and records nothing.

        Raises:
            UnknownAgentError: there is no such agent.
            UsageError: the router asks a model for what it expects.
        """
        s = self._session
        _, policy = s.rules_of(s.parts.router)
        if _asks_model(policy.router):
            raise UsageError(
                f"the router '{policy.name}' asks a model for what it expects of each task",
                hint="take another: router: linucb in agentroute.yaml",
            )
        cards = s.registry.cardset(s.embedder)
        for agent in agents:
            if agent not in cards.index:
                raise UnknownAgentError(agent, cards.index)
        idle = Candidates.idle(cards, np.array([cards.index[a] for a in agents], np.int64))
        embedded = await encoded(s.embedder, [t.prompt for t in tasks])
        await policy.learned.catch_up()
        requests = [Request(t, e, idle) for t, e in zip(tasks, embedded, strict=True)]
        return await predicted(policy.router, requests)

    async def _judge(
        self, decision_id: str, agent: str, failed: str | None, quality: float, source: str
    ) -> dict[str, Any]:
        if failed is not None:
            raise UsageError(
                f"decision {decision_id} was reported as failed ({failed})",
                hint="what failed has no quality",
            )
        said = await self.feedback(
            decision_id, score=quality, source=source, agent=agent, method="reported",
            idempotency_key=f"report:{decision_id}:{agent}:{source}",
        )  # fmt: skip
        if said["score"] != quality:
            raise UsageError(
                f"decision {decision_id} was reported with quality {said['score']}, not {quality}",
                hint="the first report stands; feedback of another source can correct it",
            )
        return said

    def _alone(self, name: str, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run ``ask`` in a loop of its own, with everything opened and closed round it."""
        hint = f"use: await orc.{name}(...)"
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if self._session.is_open:
                raise NestedLoopError(
                    f"{name}_sync was called on an open orchestrator", hint=hint
                ) from None
            return asyncio.run(self._opened(ask))
        raise NestedLoopError(f"{name}_sync was called inside a running event loop", hint=hint)

    async def _opened(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with self:
            return await ask()


def _asks_model(router: Router) -> bool:
    """Whether it, or a member of it, asks a model for its scores."""
    inner: Sequence[Router] = getattr(router, "members", ())
    return bool(getattr(router, "calls_model", False)) or any(map(_asks_model, inner))


def _check(quality: float | None, error: str | None, source: str) -> None:
    if source not in ("user", "test"):
        raise UsageError(f"a report is of a user or a test, not of '{source}'", hint="user, test")
    if quality is not None and (isinstance(quality, bool) or not 0.0 <= quality <= 1.0):
        raise UsageError(f"quality is between 0 and 1, not {quality}")
    if quality is not None and error is not None:
        raise UsageError("what failed has no quality", hint="give quality or error")
