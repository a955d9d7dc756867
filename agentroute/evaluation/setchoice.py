"""How well routers choose sets of agents, newcomers included: what ``eval --sets`` prints."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from agentroute.choosing.policy import Policy
from agentroute.choosing.sets import agent_set, recall_at, set_metrics, set_reward
from agentroute.evaluation.contestants import factories
from agentroute.evaluation.newcomers import draw_hidden, learned_first, wanted_arms, without
from agentroute.evaluation.runner import EvalSpec
from agentroute.evaluation.stream import Stream
from agentroute.evaluation.tables.splits import Cut
from agentroute.features.text import Embedder
from agentroute.model.arrays import F64, Ints
from agentroute.model.candidates import Examples
from agentroute.model.scores import Scores
from agentroute.routers.parts.lessons import teach

KEPT = (1, 5, 10, 40)  # cards that are handed on: 40 is what the reasoning router shows a model


@runtime_checkable
class ChoosesSets(Protocol):
    """A router with a rule of its own for who is called together."""

    def choose_set(self, scores: Scores) -> NDArray[np.int64]:
        """Positions of the agents to call, best first; empty for nobody."""


def set_choices(spec: EvalSpec, *, withhold: int = 0) -> dict[str, dict[str, float]]:
    """Router -> ``set_metrics`` on its first cut and seed, learned from all arms' scores.

    Beside them ``reward``, the mean of ``set_reward`` over all rows (a row for nobody, left alone,
    is worth 0), and ``recall@M`` for M of ``KEPT`` below the number of arms, and for that number:
    how often a wanted arm is among the M best by mean, as where only M are handed on.

    A router with ``choose_set`` chooses by it, another by ``agent_set`` of its means. Wanted are
    the arms with the row's best score, nobody where it is marked abstain or all score 0.
    ``withhold`` arms, drawn by the seed, and the rows that want them are kept from training: they
    are the unseen agents of ``onboarding``.

    Raises:
        UsageError: bandit mode, or ``withhold`` leaves no two arms; or see ``evaluate``.
    """
    cut, embedder = learned_first(spec)
    hidden = draw_hidden(cut, withhold, spec.first_seed)
    lessons = without(cut, hidden, embedder)
    makers = factories(spec.routers, embedder, exploration=spec.exploration)
    return {
        name: asyncio.run(_measured(make(spec.first_seed), spec, cut, lessons, hidden, embedder))
        for name, make in makers.items()
    }


async def _measured(
    policy: Policy, spec: EvalSpec, cut: Cut, lessons: Examples, hidden: Ints, embedder: Embedder
) -> dict[str, float]:
    teach(policy.router, lessons, seed=spec.first_seed)
    stream = Stream(cut.test, embedder, spec.objective)
    names, choose = stream.candidates.names, _rule(policy)
    rows = cut.test_rows
    scores = [await policy.scores(stream.request(i)) for i in rows]
    chosen = [{str(names[j]) for j in choose(s)} for s in scores]
    wants = wanted_arms(cut.test.scores[rows], cut.test.abstain[rows])
    wanted = [{str(a) for a in names[w]} for w in wants]
    found = set_metrics(chosen, wanted, unseen={str(a) for a in names[hidden]})
    found["reward"] = float(
        np.mean([set_reward(c, w) for c, w in zip(chosen, wanted, strict=True)])
    )
    return found | _recall(np.array([s.mean for s in scores]), wants)


def _recall(means: F64, wants: NDArray[np.bool_]) -> dict[str, float]:
    known = np.where(np.isnan(means), -np.inf, means)
    sizes = [*(m for m in KEPT if m < means.shape[1]), means.shape[1]]
    return {f"recall@{m}": recall_at(known, wants.astype(np.float64), m) for m in sizes}


def _rule(policy: Policy) -> Callable[[Scores], Any]:
    if isinstance(policy.router, ChoosesSets):
        return policy.router.choose_set
    return lambda s: () if s.out_of_scope >= policy.abstain_at else agent_set(s.mean, tau_in=0.0)
