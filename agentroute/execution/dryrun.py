"""A choice that is only looked at: the same eligibility, scores and draw, and no row."""

from __future__ import annotations

from dataclasses import replace
from time import time

from agentroute.adapters.client import endpoint_configured
from agentroute.choosing.policy import Policy
from agentroute.errors import NoCandidateError
from agentroute.execution.decider import Rules
from agentroute.execution.found import RouteFound, route_found
from agentroute.model.arrays import Embedder
from agentroute.model.candidates import Request
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.ids import keyed_rng, uuid7
from agentroute.model.tasks import Task
from agentroute.registry.eligibility import Eligible, eligible
from agentroute.registry.registry import Registry


async def dry_run(
    task: Task, registry: Registry, embedder: Embedder, policy: Policy, rules: Rules, *, k: int = 1
) -> RouteFound:
    """Who would be asked for ``task``; calls and records nothing.

    Raises:
        NoCandidateError: nobody is eligible; says why.
    """
    who = eligible(
        registry.cardset(embedder),
        registry.live,
        task,
        only=task.agent,
        chat_ready=endpoint_configured(),
        now_s=time(),
    )
    if not len(who.candidates):
        raise NoCandidateError(task.id, who.excluded())
    request = _request(task, who, registry, embedder, rules)
    rng = keyed_rng(rules.seed, "dry run", task.id, "route", 1)
    await policy.learned.catch_up()
    scores, version = await policy.versioned(request)
    choice = policy.decide(request, scores, k=k, rng=rng)
    decision = Decision(
        id=uuid7(),
        run_id="dry run",
        task_id=task.id,
        kind="route",
        policy=policy.name,
        policy_version=version,
        status=choice.status,
        chosen=tuple(str(request.candidates.names[i]) for i in choice.positions),
        propensity=choice.propensity,
        reason=scores.reason,
        seed=rules.seed,
    )
    record = DecisionRecord(decision, request, scores, choice.propensities)
    return route_found(record, who.excluded())


def _request(
    task: Task, who: Eligible, registry: Registry, embedder: Embedder, rules: Rules
) -> Request:
    bounds = registry.live.bounds(who.candidates.cards)
    return Request(
        task=task,
        embedding=embedder.encode([task.prompt])[0],
        candidates=who.candidates,
        objective=replace(rules.objective, bounds=bounds),
    )
