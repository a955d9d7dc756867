"""One agent of a request, as a request with a single candidate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

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
    known = Candidates.idle(c.cards, np.array([row])) if row >= 0 else _stranger(c, agent)
    return replace(request, candidates=known)


def _stranger(c: Candidates, agent: str) -> Candidates:
    return Candidates(
        cards=c.cards,
        rows=np.array([-1]),
        names=np.array([agent], object),
        embedding=np.zeros((1, c.embedding.shape[1]), np.float32),
        prior=np.full(1, 0.5),
        load=np.zeros(1),
        latency_s=np.full(1, np.nan),
        cost_usd=np.full(1, np.nan),
        success=np.ones(1),
        inflight=np.zeros(1),
        explorable=np.ones(1, np.bool_),
        canary=np.zeros(1, np.bool_),
    )
