"""A choice that is only looked at: the same eligibility, scores and draw, and no row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import time

from agentroute.adapters.client import endpoint_configured
from agentroute.choosing.decide import Choice
from agentroute.choosing.depth.protocol import Ranks
from agentroute.choosing.policy import Policy
from agentroute.errors import NoCandidateError
from agentroute.execution.answer.deepening import depth_of
from agentroute.execution.found import RouteFound, route_found
from agentroute.execution.ruling import Rules
from agentroute.features.text import encoded
from agentroute.model.arrays import Embedder
from agentroute.model.candidates import Request
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.ids import keyed_rng, uuid7
from agentroute.model.scores import Scores
from agentroute.model.tasks import Task
from agentroute.registry.eligibility import Eligible, eligible
from agentroute.registry.nobody import nobody_fits, skill_hint
from agentroute.registry.registry import Registry


async def dry_runs(
    tasks: Sequence[Task],
    registry: Registry,
    embedder: Embedder,
    rules: Rules,
    *,
    k: int | None = None,
    top: int | None = None,
    keys: Mapping[str, str] | None = None,
) -> list[RouteFound]:
    """Who would be asked for each task, scored together; calls and records nothing.

    ``k`` agents each, None as ``rules.depth`` says. ``top`` of the ranked are listed, None for all.
    ``keys`` are those of a run's labels.

    Raises:
        NoCandidateError: nobody is eligible for one of them; says why.
    """
    chat_ready, cards = endpoint_configured(), registry.cardset(embedder)
    who = [
        eligible(cards, registry.live, task, only=task.agent, chat_ready=chat_ready, now_s=time())
        for task in tasks
    ]
    for task, w in zip(tasks, who, strict=True):
        if not len(w.candidates):
            hint = skill_hint(task, w.candidates.cards.cards)
            raise NoCandidateError(task.id, w.excluded(), hint=hint)
    embedded = await encoded(embedder, [t.prompt for t in tasks])
    objective = rules.objective
    if objective.cost or objective.latency:
        objective = replace(objective, bounds=registry.live.bounds(cards))
    requests = [
        Request(task, e, w.candidates, objective, keys=keys or {})
        for task, e, w in zip(tasks, embedded, who, strict=True)
    ]
    policy = rules.policy
    await policy.learned.catch_up()
    scores, version = await policy.versioned(requests)
    return [
        _found(request, s, version, policy, rules, w, k, top)
        for request, s, w in zip(requests, scores, who, strict=True)
    ]


def _found(
    request: Request,
    scores: Scores,
    version: str,
    policy: Policy,
    rules: Rules,
    who: Eligible,
    k: int | None,
    top: int | None,
) -> RouteFound:
    task = request.task
    depth = depth_of(task, rules.depth)
    if k is None and isinstance(depth, Ranks):
        scores = depth.ranked(scores, request.candidates)

    def draw(k: int) -> Choice:
        rng = keyed_rng(rules.seed, "dry run", task.id, "route", 1)
        return policy.decide(request, scores, k=k, rng=rng)

    choice, why = draw(k or 1), ""
    if k is None:
        k, why = depth.how_many(scores, choice)
        choice = choice if k == 1 or not choice.positions else draw(k)
    said = nobody_fits(request, who) if choice.status == "abstained" else scores.reason
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
        reason="; ".join(filter(None, (said, why))),
        seed=rules.seed,
    )
    record = DecisionRecord(decision, request, scores, choice.propensities)
    return route_found(record, who.excluded(), top=top)
