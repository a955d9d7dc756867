"""A policy: screening, a router, and how it explores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from agentroute.adapters.structured import add_usage
from agentroute.choosing.decide import Choice, decide, team_probability
from agentroute.choosing.exploration import DEFAULT, Exploration
from agentroute.choosing.protocol import BatchRouter, Router
from agentroute.choosing.screening import Screening
from agentroute.model.arrays import F64
from agentroute.model.calls import Usage
from agentroute.model.candidates import Request
from agentroute.model.scores import Scores

NEVER = 2.0  # out-of-scope is in [0, 1]
RESCORES = 3


class Learned(Protocol):
    """Which state a policy's router is in, and who keeps it up with what is recorded."""

    def version(self) -> str:
        """``<sha256 of the base artefact or ''>@<folded up to seq>``."""

    def hold(self) -> AbstractContextManager[None]:
        """Nothing is folded for as long as the block lasts."""

    async def catch_up(self) -> None:
        """Fold what was recorded since."""

    def read_ahead(self, decision_id: str) -> None:
        """Read a recorded decision that an outcome will follow, while its agents are at work."""


class Unlearned:
    """A router that nobody keeps up with anything: it stays what it was made."""

    def __init__(self, base: str = "") -> None:
        self._base = base

    def version(self) -> str:
        """The base, and no row."""
        return f"{self._base}@0"

    def hold(self) -> AbstractContextManager[None]:
        """There is nothing to hold."""
        return nullcontext()

    async def catch_up(self) -> None:
        """There is nothing to fold."""

    def read_ahead(self, decision_id: str) -> None:
        """There is nothing to read."""


class Policy:
    """Screening -> router -> ``decide``. All arrays that it returns are over all n candidates.

    ``learned`` is set by who folds rows into the router. ``made_of`` is what it can be made of
    again (``router``, ``seed``, ``weights``); empty where the router is an object of the caller's.
    """

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
        self.learned: Learned = Unlearned()
        self.made_of: Mapping[str, Any] = {}

    async def versioned(self, requests: Sequence[Request]) -> tuple[list[Scores], str]:
        """Scores of each request, and the version of the one state that all of them are of.

        A router that waits (for a model, say) may be overtaken by rows that are folded meanwhile:
        its scores are of no one state then. It is asked again with its own evidence as the record,
        which calls nobody; one that leaves no evidence is asked once more while nothing is folded.
        """
        spent: list[Usage | None] = [None] * len(requests)
        for _ in range(RESCORES):
            version = self.learned.version()
            scores = await self._paid(requests, spent)
            if self.learned.version() == version:
                return scores, version
            if any(s.evidence is None for s in scores):
                break
            pairs = zip(requests, scores, strict=True)
            requests = [replace(r, recorded=s.evidence) for r, s in pairs]
        with self.learned.hold():
            return await self._paid(requests, spent), self.learned.version()

    async def _paid(self, requests: Sequence[Request], spent: list[Usage | None]) -> list[Scores]:
        """The scores, each with all that was spent on its request so far."""
        scores = await self.scores_many(requests)
        for i, s in enumerate(scores):
            before, now = spent[i], s.usage
            spent[i] = now if before is None else before if now is None else add_usage(before, now)
        pairs = zip(scores, spent, strict=True)
        return [s if s.usage is u else replace(s, usage=u) for s, u in pairs]

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
        if len(requests) > 1 and self.screening is None and isinstance(self.router, BatchRouter):
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
        """Choose from scores that are already there (a replay, a depth policy).

        Where a task names skills its author has said who fits: nobody abstains from it.
        """
        return decide(
            scores,
            k=k,
            exploration=self.exploration,
            abstain_at=self._abstain_at(request),
            margin=self.margin,
            rng=rng,
            explorable=request.candidates.explorable,
            canary=request.candidates.canary,
        )

    def abstains(self, request: Request, scores: Scores) -> bool:
        """Whether ``decide`` would call nobody."""
        return scores.out_of_scope >= self._abstain_at(request)

    def _abstain_at(self, request: Request) -> float:
        return NEVER if request.task.skills else self.abstain_at

    def of_team(self, request: Request, scores: Scores, team: Sequence[str], k: int) -> float:
        """How probable it is that ``decide`` draws these agents, in this order."""
        names = [str(n) for n in request.candidates.names]
        if any(a not in names for a in team):
            return 0.0
        return team_probability(
            scores, [names.index(a) for a in team], k=k, exploration=self.exploration,
            explorable=request.candidates.explorable, canary=request.candidates.canary,
        )  # fmt: skip


def _spread(values: F64, keep: np.ndarray[tuple[int], np.dtype[np.int64]], n: int) -> F64:
    out = np.full(n, np.nan)
    out[keep] = values
    return out
