"""A depth policy played on recorded outcomes, step by step as a run plays it.

A table says who was right, not what was written. Right answers (quality from 0.5) are one class.
Of the wrong ones either all say the same (``alike``) or no two do (``differ``): the truth is
between. What is joined is the largest class, the most expected of two as large; of a class the
answer of its most expected agent is taken, and its quality counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agentroute.choosing.decide import Choice
from agentroute.choosing.depth.protocol import (
    Accept,
    Answer,
    AskMore,
    Depth,
    Ranks,
    Seen,
    Stepwise,
    bounded,
)
from agentroute.choosing.policy import Policy
from agentroute.evaluation.stream import Stream
from agentroute.model.arrays import F64, Ints
from agentroute.model.candidates import Candidates
from agentroute.model.ids import keyed_rng
from agentroute.model.scores import Scores
from agentroute.refining.agreement import sigma

World = Literal["alike", "differ"]
WORLDS: tuple[World, ...] = ("alike", "differ")
RIGHT_AT = 0.5


@dataclass(frozen=True, eq=False)
class Questions:
    """m rows of a table with what a router expects of its n arms, and what came of them.

    Shapes: ``rows`` (m,) positions in the table; ``quality``, ``cost_usd`` (m, n), cost as
    measured, else the arm's expected price, NaN where neither is known; ``verified`` (m, n) what a
    verifier would say of each answer, or None.
    """

    rows: Ints
    scores: tuple[Scores, ...]
    choices: tuple[Choice, ...]
    candidates: Candidates
    quality: F64
    cost_usd: F64
    verified: F64 | None = None

    @property
    def expected(self) -> F64:
        """(m, n) what the router expects, in [0, 1]."""
        means = np.array([s.mean for s in self.scores]).reshape(len(self.rows), -1)
        return np.asarray(np.clip(np.nan_to_num(means), 0.0, 1.0))

    def right(self) -> NDArray[np.bool_]:
        """(m, n) whose answer counts as right."""
        return np.asarray(self.quality >= RIGHT_AT)


@dataclass(frozen=True, eq=False)
class Played:
    """What a policy came to: ``quality``, ``calls``, ``cost_usd`` (m,); ``agreed`` (m,) whether two
    answers or more stood and all were of one class, ``right`` (m,) whether what stood was right.
    """

    quality: F64
    calls: Ints
    cost_usd: F64
    agreed: NDArray[np.bool_]
    right: NDArray[np.bool_]


async def questions(
    policy: Policy, stream: Stream, rows: Ints, *, seed: int = 0, verifier: float | None = None
) -> Questions:
    """Score ``rows``, without what a router adds to explore: all is frozen here.

    ``verifier`` is how often a verifier says rightly whether an answer is.
    """
    requests = [stream.request(i) for i in rows]
    said = await policy.scores_many(requests)
    scores = [replace(s, bonus=np.zeros_like(s.mean)) for s in said]
    rng = keyed_rng(seed, "ties")
    choices = [policy.decide(r, s, rng=rng) for r, s in zip(requests, scores, strict=True)]
    quality, cards = stream.table.scores[rows], stream.candidates.cost_usd
    cost = np.broadcast_to(cards, quality.shape)
    if stream.table.cost_usd is not None:
        known = stream.table.cost_usd[rows]
        cost = np.where(np.isnan(known), cost, known)
    verified = None
    if verifier is not None:
        says = keyed_rng(seed, "verifier").random(quality.shape) < verifier
        verified = np.where(says, quality >= RIGHT_AT, quality < RIGHT_AT).astype(np.float64)
    return Questions(
        rows, tuple(scores), tuple(choices), stream.candidates, quality, cost, verified
    )


def play(depth: Depth, q: Questions, world: World, *, seed: int = 0) -> Played:
    """Each row by itself; rows of which the router abstains cost nothing and earn nothing."""
    m = len(q.rows)
    quality, cost = np.zeros(m), np.zeros(m)
    calls = np.zeros(m, np.int64)
    agreed, right = np.zeros(m, bool), np.zeros(m, bool)
    for t in range(m):
        if not q.choices[t].positions:
            continue
        asked, stands, n_classes = _row(depth, q, t, world, seed)
        calls[t], cost[t] = len(asked), q.cost_usd[t, asked].sum()
        quality[t], right[t] = q.quality[t, stands], q.quality[t, stands] >= RIGHT_AT
        agreed[t] = len(asked) > 1 and n_classes == 1
    return Played(quality, calls, cost, agreed, right)


def _row(depth: Depth, q: Questions, t: int, world: World, seed: int) -> tuple[list[int], int, int]:
    """(who was asked, whose answer stands, how many classes there were)."""
    scores, n = q.scores[t], len(q.candidates)
    if isinstance(depth, Ranks):
        scores = depth.ranked(scores, q.candidates)
    order = np.argsort(-np.nan_to_num(scores.mean + scores.bonus, nan=-np.inf), kind="stable")
    k, _ = depth.how_many(scores, q.choices[t])
    if not isinstance(depth, Stepwise):
        seen = _seen(q, t, order[: min(k, n)], world)
        return order[: seen.asked].tolist(), _stands(seen, None), len(seen.groups)
    asked, step_no = min(k, n), 0
    while True:
        seen, step_no = _seen(q, t, order[:asked], world), step_no + 1
        rng = keyed_rng(seed, int(q.rows[t]), "depth", step_no)
        step = bounded(depth.next(seen, rng), depth, seen)
        if not isinstance(step, AskMore):
            agents = step.agents if isinstance(step, Accept) else None
            return order[:asked].tolist(), _stands(seen, agents), len(seen.groups)
        asked += step.k


def _seen(q: Questions, t: int, arms: Ints, world: World) -> Seen:
    p, verified = np.clip(np.nan_to_num(q.scores[t].mean), 0.0, 1.0), q.verified
    answers = tuple(
        Answer(
            str(j), _key(q.quality[t, j], int(j), world), float(p[j]),
            verified=None if verified is None else float(verified[t, j]),
        )
        for j in arms
    )  # fmt: skip
    return Seen(answers, sigma([a.key for a in answers], key=str), len(arms), len(p) - len(arms))


def _key(quality: float, arm: int, world: World) -> str:
    if quality >= RIGHT_AT:
        return "right"
    return "wrong" if world == "alike" else f"wrong {arm}"


def _stands(seen: Seen, agents: tuple[str, ...] | None) -> int:
    """The arm whose answer is given."""
    group = [a for a in seen.answers if a.agent in agents] if agents else seen.groups[0]
    return int(max(group, key=lambda a: a.expected).agent)
