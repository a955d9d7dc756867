"""One agent of a request, as a request with a single candidate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agentroute.model.arrays import F32
from agentroute.model.candidates import Candidates, Request


def only(request: Request, agent: str) -> Request:
    """The request with ``agent`` as its only candidate.

    An agent that ran without having been a candidate (a fallback, a shadow) gets its card's
    values; one that is not in the card set either says nothing: prior 0.5, no embedding.
    """
    c = request.candidates
    row = c.cards.index.get(agent, -1)
    at = np.flatnonzero(c.rows == row)
    if row >= 0 and len(at):
        return replace(request, candidates=c.take(at[:1]))
    return replace(request, candidates=_stranger(c, agent, row))


def _stranger(c: Candidates, agent: str, row: int) -> Candidates:
    card = c.cards.cards[row] if row >= 0 else None
    empty: F32 = np.zeros((1, c.embedding.shape[1]), np.float32)
    latency = card.latency_s if card else None
    cost = card.pricing.expected_usd if card else None
    return Candidates(
        cards=c.cards,
        rows=np.array([row]),
        names=np.array([agent], object),
        embedding=c.cards.embedding[row : row + 1] if card else empty,
        prior=np.array([card.prior_quality if card else 0.5]),
        load=np.zeros(1),
        latency_s=np.array([np.nan if latency is None else latency]),
        cost_usd=np.array([np.nan if cost is None else cost]),
        success=np.ones(1),
        inflight=np.zeros(1),
        explorable=np.ones(1, np.bool_),
        canary=np.zeros(1, np.bool_),
    )
