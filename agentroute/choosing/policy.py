"""A policy: screening, a router, and how it explores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from agentroute.choosing.decide import Choice, decide
from agentroute.choosing.exploration import DEFAULT, Exploration
from agentroute.choosing.protocol import BatchRouter, Router
from agentroute.choosing.screening import Screening
from agentroute.model.arrays import F64
from agentroute.model.candidates import Request
from agentroute.model.scores import Scores


class Policy:
    """Screening -> router -> ``decide``. All arrays that it returns are over all n candidates."""

    def __init__(
        self,
        router: Router,
        *,
        name: str | None = None,
        screening: Screening | None = None,
        exploration: Exploration = DEFAULT,
        abstain_at: float = 0.5,
        margin: float = 0.02,
    ) -> None:
        self.router = router
        self.name = name or router.name
        self.screening = screening
        self.exploration = exploration
        self.abstain_at, self.margin = abstain_at, margin

    async def scores(self, request: Request) -> Scores:
        """Scores of all n candidates; NaN where screening kept one from the router."""
        keep = self.screening.keep_rows(request) if self.screening else None
        if keep is None:
            return await self.router.score(request)
        n = len(request.candidates)
        some = await self.router.score(replace(request, candidates=request.candidates.take(keep)))
        terms = {name: _spread(t, keep, n) for name, t in some.terms.items()}
        return replace(
            some, mean=_spread(some.mean, keep, n), bonus=_spread(some.bonus, keep, n), terms=terms
        )

    async def scores_many(self, requests: Sequence[Request]) -> list[Scores]:
        """``scores`` of each; together where the router can and nothing is screened."""
        if self.screening is None and isinstance(self.router, BatchRouter):
            return await self.router.score_many(requests)
        return [await self.scores(r) for r in requests]

    async def choose(
        self, request: Request, *, k: int = 1, rng: np.random.Generator
    ) -> tuple[Scores, Choice]:
        """Score and decide.

        Raises:
            RouterStateError, NotFittedError: see ``Router.score``.
        """
        scores = await self.scores(request)
        return scores, self.decide(request, scores, k=k, rng=rng)

    def decide(
        self, request: Request, scores: Scores, *, k: int = 1, rng: np.random.Generator
    ) -> Choice:
        """Choose from scores that are already there (a replay, a depth policy)."""
        return decide(
            scores,
            k=k,
            exploration=self.exploration,
            abstain_at=self.abstain_at,
            margin=self.margin,
            rng=rng,
            explorable=request.candidates.explorable,
            canary=request.candidates.canary,
        )


def _spread(values: F64, keep: np.ndarray[tuple[int], np.dtype[np.int64]], n: int) -> F64:
    out = np.full(n, np.nan)
    out[keep] = values
    return out
