"""Agents that nobody learned of: how well they are found, and what the others lose to them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agentroute.choosing.policy import Policy
from agentroute.errors import UsageError
from agentroute.evaluation.contestants import factories
from agentroute.evaluation.runner import EvalSpec, make_cuts, refuse_partial
from agentroute.evaluation.stream import Stream
from agentroute.evaluation.tables.splits import Cut
from agentroute.features.text import Embedder, make_embedder
from agentroute.model.arrays import Ints
from agentroute.model.candidates import Examples, Request
from agentroute.model.ids import keyed_rng
from agentroute.registry.cardset import build_cardset
from agentroute.routers.parts.lessons import take, teach

DRAWS = 3


@dataclass(frozen=True, slots=True)
class Onboarding:
    """Mean scores of one draw of newcomers; an abstention scores 0.

    ``newcomers`` over the rows that want one of them, ``before`` and ``after`` over the rows that
    want somebody else: without the newcomers' cards, and with them.
    """

    newcomers: float
    before: float
    after: float

    def to_json(self) -> dict[str, float]:
        """As a mapping, with ``lost``."""
        return {**asdict(self), "lost": self.before - self.after}


def onboarding(spec: EvalSpec, withhold: int) -> dict[str, list[Onboarding]]:
    """Router -> its draws (``spec.seeds``, else 3): ``withhold`` arms kept from training.

    The router learns in full mode as if they and the rows that want them did not exist, on the
    spec's first cut. Then their cards are added, and nothing is learned any more.

    Raises:
        UsageError: bandit mode, or ``withhold`` leaves no two arms; or see ``evaluate``.
    """
    cut, embedder = learned_first(spec)
    draws = range(spec.first_seed, spec.first_seed + (spec.seeds or DRAWS))
    makers = factories(spec.routers, embedder, exploration=spec.exploration)
    out: dict[str, list[Onboarding]] = {name: [] for name in makers}
    for seed in draws:
        hidden = draw_hidden(cut, withhold, seed)
        lessons = without(cut, hidden, embedder)
        for name, make in makers.items():
            policy = make(seed)
            teach(policy.router, lessons, seed=seed)
            out[name].append(asyncio.run(_met(policy, spec, cut, hidden, embedder)))
    return out


def learned_first(spec: EvalSpec) -> tuple[Cut, Embedder]:
    """The first cut and the embedder of a spec whose routers learn before they are asked.

    Raises:
        UsageError: bandit mode, or a partial table; or see ``make_cuts``.
    """
    if spec.mode != "full":
        raise UsageError("this is measured after learning, in full mode", hint="--mode full")
    embedder = make_embedder(spec.embedder) if isinstance(spec.embedder, str) else spec.embedder
    cuts = make_cuts(spec)
    refuse_partial(cuts, "sets and newcomers are measured where all outcomes are known")
    return cuts[0], embedder


def draw_hidden(cut: Cut, withhold: int, seed: int) -> Ints:
    """Columns of ``withhold`` arms, drawn by ``seed``, ascending.

    Raises:
        UsageError: fewer than two arms would stay, or train and test have other arms.
    """
    n = len(cut.test.arms)
    if cut.train.arms != cut.test.arms or not 0 <= withhold <= n - 2:
        raise UsageError(
            f"{withhold} of {n} arms cannot be withheld", hint="one table's arms, two must stay"
        )
    return np.sort(keyed_rng(seed, "withhold").permutation(n)[:withhold])


def without(cut: Cut, hidden: Ints, embedder: Embedder) -> Examples:
    """The train rows as if the hidden arms did not exist."""
    full = cut.train.examples(cut.train_rows, embedder)
    if not len(hidden):
        return full
    wants = wanted_arms(full.quality, full.abstain)
    kept = np.setdiff1d(np.arange(len(full.cards)), hidden)
    part = take(full, np.flatnonzero(~wants[:, hidden].any(axis=1)))
    cards = build_cardset([cut.train.cards[j] for j in kept], embedder)
    return replace(
        part, cards=cards, quality=part.quality[:, kept], cost_usd=None, latency_s=None
    )  # fmt: skip


def wanted_arms(quality: NDArray[np.float64], abstain: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(m, n) True for the arms with the best score of a row, if that is above 0."""
    best = quality.max(axis=1, keepdims=True)
    return np.asarray((quality >= best) & (best > 0.0) & ~abstain[:, None])


async def _met(
    policy: Policy, spec: EvalSpec, cut: Cut, hidden: Ints, embedder: Embedder
) -> Onboarding:
    """Score the test rows in scope, those of others twice."""
    stream = Stream(cut.test, embedder, spec.objective)
    known = np.setdiff1d(np.arange(len(cut.test.arms)), hidden)
    wants = wanted_arms(cut.test.scores, cut.test.abstain)
    newcomers: list[float] = []
    before: list[float] = []
    after: list[float] = []
    for i in cut.test_rows[wants[cut.test_rows].any(axis=1)]:
        request = stream.request(i)
        score = await _score(policy, request, cut.test.scores[i])
        if wants[i, hidden].any():
            newcomers.append(score)
        else:
            old = replace(request, candidates=request.candidates.take(known))
            before.append(await _score(policy, old, cut.test.scores[i, known]))
            after.append(score)
    return Onboarding(_mean(newcomers), _mean(before), _mean(after))


async def _score(policy: Policy, request: Request, truth: NDArray[np.float64]) -> float:
    scores = await policy.scores(request)
    if scores.out_of_scope >= policy.abstain_at:
        return 0.0
    return float(truth[int(np.nanargmax(scores.mean))])


def _mean(scores: Sequence[float]) -> float:
    return float(np.mean(scores)) if scores else float("nan")
