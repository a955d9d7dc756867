"""One router, kept up with one ledger: the only way its state changes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from agentroute.choosing.protocol import Router
from agentroute.errors import RouterStateError
from agentroute.learning.credit import Credit, equal
from agentroute.learning.observe import TTL_S, Folding, observations
from agentroute.learning.sources import WEIGHTS
from agentroute.learning.state import Snapshot, StateStore
from agentroute.ledger import Ledger

__all__ = ["Learner", "observations"]


class Learner:
    """Folds the ledger's committed prefix, in order and each row once, into a router.

    ``folded`` is the seq up to which rows are folded; ``counts`` says how many observations were
    folded and how many were duplicate, expired or unknown. ``base`` is the SHA-256 of the artefact
    that the router started from ('' for none).
    """

    def __init__(
        self,
        router: Router,
        ledger: Ledger,
        *,
        base: str = "",
        ttl_s: float = TTL_S,
        credit: Credit = equal,
        weights: Mapping[str, float] = WEIGHTS,
    ) -> None:
        self.router, self.ledger, self.base = router, ledger, base
        self.folded = 0
        self._folding = Folding(ledger, ttl_s=ttl_s, credit=credit, weights=weights)
        self._lock = threading.Lock()
        self._broken_at = 0

    @property
    def counts(self) -> Counter[str]:
        """A copy of the counters."""
        return self._folding.counts.copy()

    def version(self) -> str:
        """``<sha256 of the base artefact>@<folded>``: what a decision records as its policy."""
        return f"{self.base}@{self.folded}"

    def fold(self, upto: int | None = None) -> int:
        """Fold all rows up to ``upto`` (default: the head); how many observations that were.

        Raises:
            RouterStateError: an update failed halfway through a row before; build anew.
        """
        with self._lock:
            if self._broken_at:
                raise RouterStateError(
                    f"row {self._broken_at} was folded halfway",
                    hint="build the router anew from the ledger",
                )
            head = self.ledger.head()[0]
            return self._fold(head if upto is None else min(upto, head))

    def _fold(self, upto: int) -> int:
        n = 0
        for seq, observed in self._folding.steps(self.folded, upto):
            self._broken_at = seq
            for observation in observed:
                self.router.update(observation)
            self._broken_at, self.folded = 0, seq
            n += len(observed)
        self.folded = max(self.folded, upto)
        return n

    def save(self, store: StateStore, name: str) -> Snapshot:
        """Save the router's state with the place in the ledger it has come to."""
        with self._lock:
            at = self.ledger.hash_at(self.folded) or ""
            return store.save(
                name, self.router.state_dict(), base=self.base, folded=self.folded, ledger_hash=at
            )

    def load(self, store: StateStore, name: str) -> Snapshot:
        """Continue from the last good snapshot instead of folding from the first row.

        Raises:
            RouterStateError: no good snapshot, or it was learned from another ledger.
        """
        found = store.load(name)
        with self._lock:
            if (self.ledger.hash_at(found.folded) or "") != found.ledger_hash:
                raise RouterStateError(
                    f"the state '{name}' was learned from another ledger",
                    hint="agentroute state reset builds it anew from this one",
                )
            self.router.load_state_dict(found.state)
            self.base, self.folded, self._broken_at = found.base, found.folded, 0
        return found
