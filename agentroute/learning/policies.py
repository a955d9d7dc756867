"""The policies in use, each with a learner that folds the ledger into its router."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from agentroute.choosing.catalog import FIELD, own_router, policy_of
from agentroute.choosing.policy import Policy, Unlearned
from agentroute.choosing.protocol import Router
from agentroute.config.plugins import is_object
from agentroute.config.settings import FeedbackQuota
from agentroute.learning.base import start_policy, take_base
from agentroute.learning.fold import Learner
from agentroute.learning.own import OwnRouters
from agentroute.learning.snapshots import Snapshots
from agentroute.learning.sources import QUOTA, WEIGHTS
from agentroute.learning.state import StateStore
from agentroute.learning.teaching import Taught, taught_by
from agentroute.ledger import Ledger
from agentroute.model.arrays import Embedder
from agentroute.model.plans import AgentUse, Spec


@dataclass(frozen=True, slots=True)
class Learned:
    """What one policy in use has learned."""

    policy: str
    """Its name."""
    version: str
    """``<sha256 of the base artefact>@<folded up to seq>``."""
    counts: Mapping[str, int]
    """Observations folded; and duplicate, expired, muted, quota, unknown, skipped."""
    skipped: Mapping[int, str]
    """The last rows that its router could not learn from: seq to reason."""


class Policies:
    """Policies by their spec, made when first asked for; ``Policy.learned`` keeps each up.

    ``defaults`` are the settings' ``exploration``, ``abstain_at``, ``margin`` and ``screening``;
    a spec's own keys stand over them. Without a ledger (nothing recorded yet) a policy starts
    from its prior, or from the base in ``states`` that its spec names. Snapshots are kept in the
    folder of ``states``; without one there are none.
    """

    def __init__(
        self,
        ledger: Ledger | None,
        embedder: Embedder,
        *,
        seed: int = 0,
        defaults: Mapping[str, Any] | None = None,
        weights: Mapping[str, float] = WEIGHTS,
        quota: FeedbackQuota | None = QUOTA,
        states: StateStore | None = None,
        own: OwnRouters | None = None,
    ) -> None:
        self._own, self._of_objects = own or OwnRouters(), dict[int, Learner]()
        self._ledger, self._embedder, self._seed = ledger, embedder, seed
        self._defaults = {k: v for k, v in (defaults or {}).items() if v is not None}
        self._weights, self._quota, self._states = weights, quota, states
        self._made: dict[bytes, tuple[Policy, Learner | None]] = {}

    def get(
        self, spec: Spec | Router, *, exploration: float | None = None, trusted: bool = False
    ) -> Policy:
        """The policy of a spec or of a router object, as far as it has come.

        ``learned.catch_up`` folds to the head.

        Only a ``trusted`` spec, from the user's own settings or Python, may name ``module:Class``.

        Raises:
            ConfigError: an unknown router or parameter, code named by a spec that may not, or a
                router that must be fitted without a state.
            RouterStateError: the state that is named does not fit.
        """
        if is_object(spec):
            return self._of_object(own_router(spec), exploration)
        full = {**self._defaults, **AgentUse.of(spec, field=FIELD).written()}
        if exploration is not None:
            full["exploration"] = exploration
        key = orjson.dumps(full, option=orjson.OPT_SORT_KEYS)
        names_code = ":" in full["name"]
        if key not in self._made or (names_code and not trusted):
            self._made[key] = self._make(full, trusted=trusted)
        return self._made[key][0]

    def _of_object(self, router: Router, exploration: float | None) -> Policy:
        """One learner an object, however many policies explore with it; no snapshots of it.

        What it was made with is its maker's, so that nobody could say whether a snapshot fits.
        """
        key = b"object %d %r" % (id(router), exploration)
        if key not in self._made:
            take_base(router, router.name, {}, None, self._embedder.id)  # unfitted: said now
            learner = self._of_objects.get(id(router))
            if learner is None and self._ledger is not None:
                base = self._own.start(router).sha256
                learner = self._learner(self._ledger, router, base)
                self._of_objects[id(router)] = learner
            policy = policy_of(router, self._defaults, exploration=exploration)
            policy.learned = learner or Unlearned()
            self._made[key] = (policy, learner)
        return self._made[key][0]

    def _make(self, spec: Mapping[str, Any], *, trusted: bool) -> tuple[Policy, Learner | None]:
        policy, base = start_policy(
            spec, embedder=self._embedder, states=self._states, seed=self._seed, trusted=trusted
        )
        policy.made_of = {
            "router": dict(spec), "seed": self._seed, "weights": dict(self._weights),
            "quota": self._quota and self._quota.model_dump(),
        }  # fmt: skip
        if self._ledger is None:
            policy.learned = Unlearned(base)
            return policy, None
        kept = self._snapshots(self._ledger, policy, spec, base)
        policy.learned = learner = self._learner(self._ledger, policy.router, base, kept)
        return policy, learner

    def _learner(
        self, ledger: Ledger, router: Router, base: str, kept: Snapshots | None = None
    ) -> Learner:
        return Learner(
            router, ledger, base=base, weights=self._weights, quota=self._quota,
            embedder=self._embedder, snapshots=kept,
        )  # fmt: skip

    def _snapshots(
        self, ledger: Ledger, policy: Policy, spec: Mapping[str, Any], base: str
    ) -> Snapshots | None:
        if self._states is None:
            return None
        depends_on = {
            "embedder": self._embedder.id,
            "seed": self._seed,
            "weights": dict(self._weights),
            "quota": self._quota and self._quota.model_dump(),
            "base": base,
        }
        return Snapshots(self._states.folder, ledger, spec, policy.router, depends_on)

    @property
    def _learners(self) -> list[tuple[Policy, Learner]]:
        return [(p, learner) for p, learner in self._made.values() if learner is not None]

    async def catch_up(self) -> None:
        """Fold every policy in use to the ledger's head, in slices of at most 5 ms."""
        for _, learner in self._learners:
            await learner.catch_up()

    def learned(self) -> list[Learned]:
        """What each policy in use has learned, in the order in which they were asked for."""
        return [
            Learned(p.name, learner.version(), learner.counts, dict(learner.skipped))
            for p, learner in self._learners
        ]

    def refused(self, policy: Policy, seq: int) -> str:
        """Why a policy's router could not learn from one of the last rows; '' where it did."""
        return next((x.skipped.get(seq, "") for p, x in self._learners if p is policy), "")

    def taught(self, policy: Policy, seq: int) -> Taught:
        """What a row of feedback taught: of what a policy has folded, else of all rows before."""
        assert self._ledger is not None  # who has a row has a ledger
        tally = next((x.tally for p, x in self._learners if p is policy), None)
        return taught_by(self._ledger, seq, self._weights, self._quota, tally)

    async def aclose(self) -> None:
        """Write a snapshot of each policy that has folded enough since its last."""
        for _, learner in self._learners:
            await asyncio.to_thread(learner.close)
