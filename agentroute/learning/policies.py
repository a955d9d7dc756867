"""The policies in use, each with a learner that folds the ledger into its router."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from agentroute.choosing.catalog import FIELD
from agentroute.choosing.policy import Policy
from agentroute.learning.base import start_policy
from agentroute.learning.fold import Learner
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
    ) -> None:
        self._ledger, self._embedder, self._seed = ledger, embedder, seed
        self._defaults = {k: v for k, v in (defaults or {}).items() if v is not None}
        self._weights, self._states = weights, states
        self._made: dict[bytes, tuple[Policy, Learner | None, str]] = {}

    def get(
        self, spec: Spec, *, exploration: float | None = None, trusted: bool = False
    ) -> tuple[Policy, str]:
        """The policy of a spec, folded to the head, and its version.

        Only a ``trusted`` spec, from the user's own settings or Python, may name ``module:Class``.

        Raises:
            ConfigError: an unknown router or parameter, code named by a spec that may not, or a
                router that must be fitted without a state.
            RouterStateError: the state that is named does not fit.
        """
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
