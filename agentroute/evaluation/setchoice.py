"""How well routers choose sets of agents, newcomers included: what ``eval --sets`` prints."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from agentroute.choosing.policy import Policy
from agentroute.choosing.sets import agent_set, set_metrics
from agentroute.evaluation.contestants import factories
from agentroute.evaluation.newcomers import draw_hidden, learned_first, wanted_arms, without
from agentroute.evaluation.runner import EvalSpec
from agentroute.evaluation.stream import Stream
from agentroute.evaluation.tables.splits import Cut
from agentroute.features.text import Embedder
from agentroute.model.arrays import Ints
from agentroute.model.candidates import Examples
from agentroute.model.scores import Scores
from agentroute.routers.parts.lessons import teach


@runtime_checkable
class ChoosesSets(Protocol):
    """A router with a rule of its own for who is called together."""

    def choose_set(self, scores: Scores) -> NDArray[np.int64]:
        """Positions of the agents to call, best first; empty for nobody."""


def set_choices(spec: EvalSpec, *, withhold: int = 0) -> dict[str, dict[str, float]]:
    """Router -> ``set_metrics`` on its first cut and seed, learned from all arms' scores.

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
    chosen = [{str(names[j]) for j in choose(await policy.scores(stream.request(i)))} for i in rows]
    wants = wanted_arms(cut.test.scores[rows], cut.test.abstain[rows])
    wanted = [{str(a) for a in names[w]} for w in wants]
    return set_metrics(chosen, wanted, unseen={str(a) for a in names[hidden]})


def _rule(policy: Policy) -> Callable[[Scores], Any]:
    if isinstance(policy.router, ChoosesSets):
        return policy.router.choose_set
    return lambda s: () if s.out_of_scope >= policy.abstain_at else agent_set(s.mean, tau_in=0.0)
