"""The policies in use, each with a learner that folds the ledger into its router."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from agentroute.choosing.catalog import FIELD, own_router, policy_of
from agentroute.choosing.policy import Policy
from agentroute.choosing.protocol import Router
from agentroute.config.plugins import is_object
from agentroute.learning.base import start_policy, take_base
from agentroute.learning.fold import Learner
from agentroute.learning.own import OwnRouters
from agentroute.learning.sources import WEIGHTS
from agentroute.learning.state import StateStore
from agentroute.ledger import Ledger
from agentroute.model.arrays import Embedder
from agentroute.model.plans import AgentUse, Spec


class Policies:
    """Policies by their spec, made when first asked for and folded to the ledger's head.

    ``defaults`` are the settings' ``exploration``, ``abstain_at``, ``margin`` and ``screening``;
    a spec's own keys stand over them. Without a ledger (nothing recorded yet) a policy starts
    from its prior, or from the base in ``states`` that its spec names.
    """

    def __init__(
        self,
        ledger: Ledger | None,
        embedder: Embedder,
        *,
        seed: int = 0,
        defaults: Mapping[str, Any] | None = None,
        weights: Mapping[str, float] = WEIGHTS,
        states: StateStore | None = None,
        own: OwnRouters | None = None,
    ) -> None:
        self._own, self._of_objects = own or OwnRouters(), dict[int, Learner]()
        self._ledger, self._embedder, self._seed = ledger, embedder, seed
        self._defaults = {k: v for k, v in (defaults or {}).items() if v is not None}
        self._weights, self._states = weights, states
        self._made: dict[bytes, tuple[Policy, Learner | None, str]] = {}

    def get(
        self, spec: Spec | Router, *, exploration: float | None = None, trusted: bool = False
    ) -> tuple[Policy, str]:
        """The policy of a spec or of a router object, folded to the head, and its version.

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
        policy, learner, base = self._made[key]
        if learner is None:
            return policy, f"{base}@0"
        learner.fold()
        return policy, learner.version()

    def _of_object(self, router: Router, exploration: float | None) -> tuple[Policy, str]:
        """One learner an object, however many policies explore with it."""
        key = b"object %d %r" % (id(router), exploration)
        if key not in self._made:
            take_base(router, router.name, {}, None, self._embedder.id)  # unfitted: said now
            learner = self._of_objects.get(id(router))
            if learner is None and self._ledger is not None:
                base = self._own.start(router).sha256
                learner = Learner(router, self._ledger, base=base, weights=self._weights)
                self._of_objects[id(router)] = learner
            policy = policy_of(router, self._defaults, exploration=exploration)
            self._made[key] = (policy, learner, "")
        policy, learner, _ = self._made[key]
        if learner is None:
            return policy, "@0"
        learner.fold()
        return policy, learner.version()

    def _make(
        self, spec: Mapping[str, Any], *, trusted: bool
    ) -> tuple[Policy, Learner | None, str]:
        policy, base = start_policy(
            spec, embedder=self._embedder, states=self._states, seed=self._seed, trusted=trusted
        )
        if self._ledger is None:
            return policy, None, base
        learner = Learner(policy.router, self._ledger, base=base, weights=self._weights)
        return policy, learner, base

    def fold(self) -> None:
        """Fold every policy in use to the ledger's head."""
        for _, learner, _ in self._made.values():
            if learner is not None:
                learner.fold()
