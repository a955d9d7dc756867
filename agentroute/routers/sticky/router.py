"""Affinity: a session or a user stays with the agent that served it, within a margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from agentroute.choosing.protocol import BatchRouter, Router
from agentroute.choosing.state import StateDict
from agentroute.errors import ConfigError, RouterStateError
from agentroute.model.arrays import F64, Embedder
from agentroute.model.candidates import Examples, Request
from agentroute.model.outcomes import Observation
from agentroute.model.scores import Scores, Taxonomy
from agentroute.routers.parts.binding import check_kind
from agentroute.routers.parts.lessons import teach
from agentroute.routers.sticky.bonds import Bonds
from agentroute.routers.sticky.placing import full, placed

TERM = "stability"
HALF = 0.5  # of the margin: what a replica gets that a new key is placed on
RIGHT = 0.5  # quality below which an agent is no longer kept
MARGIN = 0.02
PREFIX = "inner."

Key = Literal["session", "user"]


class Sticky:
    """Scores of another router, and ``margin`` more for whoever served the key before.

    The key is the run's label ``session`` or ``user`` (``Request.keys``); a request without one is
    scored by the inner router alone. Mean = the inner mean plus the term ``stability``:

    - ``margin`` for the agent that served the key last in tasks of that kind (skills and features
      alike), so that it is chosen again unless a rival is better by more;
    - where nobody is kept, half of the margin for one of each group of replicas (cards that say
      the same), by rendezvous hashing of key and name;
    - nothing for an agent that has as many calls as its card allows; one whose breaker is open is
      no candidate.

    Where that would pass 1, everybody's term is lower by the excess: differences stay as they are.
    An agent that failed, or was judged below 0.5, is no longer kept. Means of 0.50 and 0.53, the
    first one kept by a margin of 0.05:

    >>> stability(np.array([0.50, 0.53]), np.array([0.05, 0.0])).round(3).tolist()
    [0.05, 0.0]
    >>> stability(np.array([0.99, 1.0]), np.array([0.05, 0.0])).round(3).tolist()
    [0.01, -0.04]
    """

    name = "sticky"

    def __init__(
        self,
        *,
        inner: str | Mapping[str, Any] = "default",
        key: Key = "session",
        margin: float = MARGIN,
        embedder: Embedder | None = None,
        seed: int = 0,
    ) -> None:
        if key not in get_args(Key):
            raise ConfigError(
                f"the key of a sticky router is {key!r}", field="router.key",
                hint=" or ".join(get_args(Key)),
            )  # fmt: skip
        number = isinstance(margin, (int, float)) and not isinstance(margin, bool)
        if not number or not 0.0 <= margin <= 1.0:
            raise ConfigError(f"margin is {margin!r}", field="router.margin", hint="from 0 to 1")
        self.key, self.margin = key, float(margin)
        self._spec = inner if isinstance(inner, str) else dict(inner)
        self._embedder, self._seed = embedder, seed
        self.bonds = Bonds()
        self.inner = self._make()

    def _make(self) -> Router:
        from agentroute.choosing.catalog import make_router

        return make_router(self._spec, embedder=self._embedder, seed=self._seed)

    @property
    def members(self) -> tuple[Router, ...]:
        """The inner router, as an ensemble has its own."""
        return (self.inner,)

    @property
    def taxonomy(self) -> Taxonomy:
        """The inner router's, which also sees the key."""
        t = self.inner.taxonomy
        return Taxonomy(t.when, (*t.info, "key"), t.compute)

    @property
    def calls_model(self) -> bool:
        """Whether the inner router asks a model for its scores."""
        return bool(getattr(self.inner, "calls_model", False))

    @property
    def is_fitted(self) -> bool:
        """Whether the inner router can score."""
        return bool(getattr(self.inner, "is_fitted", True))

    async def score(self, request: Request) -> Scores:
        """See ``Router.score``. Terms: the inner router's, and stability where there is a key."""
        return self._steadied(request, await self.inner.score(request))

    async def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """``score`` of each; together where the inner router can."""
        if isinstance(self.inner, BatchRouter):
            pairs = zip(requests, await self.inner.score_many(requests), strict=True)
            return [self._steadied(r, s) for r, s in pairs]
        return [await self.score(r) for r in requests]

    def fit(self, examples: Examples, *, seed: int = 0) -> None:
        """Teach the inner router by labels, from scratch; they have no key, so nobody is kept.

        Raises:
            MissingExtraError, ConfigError: from the inner router.
        """
        self.inner, self.bonds = self._make(), Bonds()
        teach(self.inner, examples, seed=seed)

    def update(self, observation: Observation) -> None:
        """Let the inner router learn; a call that did not fail binds, a failure releases.

        A row with quality alone is a word about a call: a bad one releases, a good one says nothing
        new. A shadow agent, which is no candidate, served nobody.
        """
        o = observation
        if getattr(self.inner, "learns", True):
            self.inner.update(o)
        key, c = self._key(o.request), o.request.candidates
        if not key or not (c.rows == c.cards.index.get(o.agent, -1)).any():
            return
        if o.quality is not None and o.quality < RIGHT:
            self.bonds.release(key, o.request.task, o.agent)
        elif o.cost_usd is not None or o.latency_s is not None:
            self.bonds.serve(key, o.request.task, o.decision_id, o.agent)

    def state_dict(self) -> StateDict:
        """The inner router's state, and who is kept."""
        s = self.inner.state_dict()
        meta: dict[str, Any] = {
            "key": self.key, "bonds": self.bonds.meta(), "inner": [s.kind, s.version, s.meta],
        }  # fmt: skip
        if "may_be_nan" in s.meta:  # what a store looks for at the top
            meta["may_be_nan"] = [PREFIX + name for name in s.meta["may_be_nan"]]
        return StateDict(self.name, 1, meta, {PREFIX + k: v for k, v in s.arrays.items()})

    def load_state_dict(self, state: StateDict) -> None:
        """See ``Router.load_state_dict``."""
        check_kind(state, self.name, 1)
        if state.meta["key"] != self.key:
            raise RouterStateError(
                f"the state is of a router that keeps by {state.meta['key']}, not by {self.key}",
                hint=f"key: {state.meta['key']}",
            )
        kind, version, meta = state.meta["inner"]
        own = {k[len(PREFIX) :]: v for k, v in state.arrays.items()}
        self.inner.load_state_dict(StateDict(kind, version, meta, own))
        self.bonds.load(state.meta["bonds"])

    def _key(self, request: Request) -> str:
        return request.keys.get(self.key, "")

    def _steadied(self, request: Request, s: Scores) -> Scores:
        key = self._key(request)
        if not key:
            return s
        added, why = self._added(key, request)
        term = stability(s.mean, added)
        terms = {**s.terms, TERM: s.terms.get(TERM, 0.0) + term}  # the inner one may be sticky too
        reason = "; ".join(filter(None, (s.reason, why)))
        return Scores(
            np.clip(s.mean + term, 0.0, 1.0), s.bonus, terms, reason, s.out_of_scope, s.evidence,
            s.usage,
        )  # fmt: skip

    def _added(self, key: str, request: Request) -> tuple[F64, str]:
        """What each candidate gets (n,), and why, in words."""
        c = request.candidates
        usable = ~full(c)
        rows = [c.cards.index.get(a, -1) for a in self.bonds.of(key, request.task)]
        kept = np.isin(c.rows, rows) & usable
        if kept.any():
            names = ", ".join(map(str, c.names[kept]))
            return np.where(
                kept, self.margin, 0.0
            ), f"{self.key} kept with {names} within {self.margin:g}"
        here = placed(key, c, usable)
        words = f"{self.key} placed among replicas" if here.any() else ""
        return np.where(here, HALF * self.margin, 0.0), words


def stability(mean: F64, added: F64) -> F64:
    """The term (n,): ``added``, less for all alike by what would pass 1, and never below 0 - mean.

    ``mean`` (n,) is the inner router's, in [0, 1]; ``added`` (n,) is not negative.
    """
    raised = mean + added
    excess = max(float(raised.max()) - 1.0, 0.0)
    return np.asarray(np.clip(raised - excess, 0.0, 1.0) - mean)
