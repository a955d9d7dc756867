"""One router, kept up with one ledger: the only way its state changes."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter

from agentroute.choosing.protocol import Router
from agentroute.config.settings import FeedbackQuota
from agentroute.errors import RouterStateError
from agentroute.learning.observe import TTL_S, Folding, observations
from agentroute.learning.respace import Respace
from agentroute.learning.snapshots import Snapshots
from agentroute.learning.sources import QUOTA, WEIGHTS, Tally
from agentroute.learning.state import Snapshot
from agentroute.ledger import Ledger
from agentroute.model.arrays import Embedder
from agentroute.model.outcomes import Observation

__all__ = ["Learner", "observations"]

log = logging.getLogger(__name__)

SLICE_S = 0.004  # a row more, and the loop was held for less than 5 ms
SAVE_EVERY, WORTH_SAVING = 2_000, 100
Steps = Iterator[tuple[int, list[Observation]]]


class Learner:
    """Folds the ledger's committed prefix, in order and each row once, into a router.

    ``folded`` is the seq up to which rows are folded; ``counts`` says how many observations were
    folded and how many were duplicate, expired, beyond the quota, unknown or skipped. ``base`` is
    the SHA-256 of the artefact that the router started from ('' for none). Rows that were recorded
    with another embedder are embedded anew by ``embedder``; without one they are folded as they
    are.

    With ``snapshots`` the first fold goes on from the newest one that fits, and one is written
    every ``SAVE_EVERY`` rows and by ``close``. A router with ``learns`` False folds nothing.

    What cannot be read, and what a router's ``update`` raises on, is counted, logged and skipped.
    """

    def __init__(
        self,
        router: Router,
        ledger: Ledger,
        *,
        base: str = "",
        ttl_s: float = TTL_S,
        weights: Mapping[str, float] = WEIGHTS,
        quota: FeedbackQuota | None = QUOTA,
        embedder: Embedder | None = None,
        snapshots: Snapshots | None = None,
    ) -> None:
        self.router, self.ledger, self.base = router, ledger, base
        self.learns = bool(getattr(router, "learns", True))
        self.folded = 0
        self._folding = Folding(ledger, ttl_s=ttl_s, weights=weights, quota=quota)
        self._respace = Respace(embedder) if embedder is not None else None
        self._snapshots, self._saved, self._opened = snapshots, 0, False
        self._lock, self._holds = threading.RLock(), 0
        self._driving = threading.Lock()  # so that many runs that wait are one load on the loop
        self._steps: Steps | None = None
        self._limit = self._within = 0

    @property
    def counts(self) -> Counter[str]:
        """A copy of the counters."""
        return self._folding.counts.copy()

    @property
    def skipped(self) -> dict[int, str]:
        """Rows that taught nothing since they could not be read or learned from; the last ones."""
        return self._folding.skipped

    @property
    def tally(self) -> Tally | None:
        """What the quota of a named source is measured by; None where nothing is folded."""
        return self._folding.tally if self.learns else None

    def version(self) -> str:
        """``<sha256 of the base artefact>@<folded>``: what a decision records as its policy."""
        with self._lock:  # never in the middle of a row that another thread folds
            return f"{self.base}@{self.folded}"

    @contextmanager
    def hold(self) -> Iterator[None]:
        """``catch_up`` folds nothing for as long as the block lasts."""
        with self._lock:
            self._holds += 1
        try:
            yield
        finally:
            with self._lock:
                self._holds -= 1

    # -- folding -----------------------------------------------------------------------------

    def fold(self, upto: int | None = None) -> int:
        """Fold all rows up to ``upto`` (default: the head) at once; how many observations.

        Raises:
            RouterStateError: an earlier fold was interrupted in the middle of a row.
        """
        self.open()
        head = self.ledger.head()[0]
        upto, before = head if upto is None else min(upto, head), self.counts
        while self.learns and self.folded < upto:
            self._slice(upto, None)
            self._save_if(SAVE_EVERY)
        self._tell(before)
        return self.counts["folded"] - before["folded"]

    async def catch_up(self) -> None:
        """Fold to the head as it is now; the loop is held for at most 5 ms at once.

        Raises:
            RouterStateError: an earlier fold was interrupted in the middle of a row.
        """
        if not self.learns:
            return
        if not self._opened:
            await asyncio.to_thread(self.open)
        upto = self.ledger.head()[0]
        while self.folded < upto:
            if not self._driving.acquire(blocking=False):
                await asyncio.sleep(SLICE_S)  # whoever drives folds these rows too
                continue
            try:
                await self._drive(upto)
            finally:
                self._driving.release()

    def read_ahead(self, decision_id: str) -> None:
        """Read a decision that an outcome will follow, so that folding that is short."""
        if self.learns and self._opened:
            self._folding.read_ahead(decision_id)

    async def _drive(self, upto: int) -> None:
        before = self.counts
        while self.folded < upto:
            self._slice(upto, SLICE_S)
            if self.folded - self._saved >= SAVE_EVERY:
                await asyncio.to_thread(self._save_if, SAVE_EVERY)
            if self.folded < upto:
                await asyncio.sleep(SLICE_S if self._holds else 0)
        self._tell(before)

    def _slice(self, upto: int, seconds: float | None) -> None:
        """Fold for so long, or to ``upto``. Whoever folds next goes on with the same rows."""
        end = None if seconds is None else perf_counter() + seconds
        with self._lock:
            if self._holds and seconds is not None:
                return
            if self._within:
                raise RouterStateError(
                    f"folding row {self._within} was interrupted", hint="open the ledger again"
                )
            while (row := self._next(upto)) is not None:
                self._within, observed = row
                for observation in observed:
                    self._teach(observation)
                self._within, self.folded = 0, row[0]
                if self.folded - self._saved >= SAVE_EVERY and self._snapshots is not None:
                    return
                if end is not None and perf_counter() >= end:
                    return
            self.folded, self._steps = max(self.folded, self._limit), None

    def _next(self, upto: int) -> tuple[int, list[Observation]] | None:
        """The next row that may teach something; None where they are at an end.

        What cannot be read for the moment (a full disk, an embedder that does not answer) is raised
        and nothing has happened: the next fold begins with the same row.
        """
        counts = self._folding.counts.copy()
        try:
            if self._steps is None or self._limit > upto:
                self._steps, self._limit = self._folding.steps(self.folded, upto), upto
            row = next(self._steps, None)
            return row and (row[0], [o for told in row[1] if (o := self._here(told))])
        except BaseException:
            self._steps, self._folding.counts = None, counts
            raise

    def _here(self, observation: Observation) -> Observation | None:
        """In the space of our embedder; None where its text was erased."""
        if self._respace is None:
            return observation
        try:
            return replace(observation, request=self._respace.of(observation.request))
        except RouterStateError as e:
            self._skip(observation, e)
            return None

    def _teach(self, observation: Observation) -> None:
        try:
            self.router.update(observation)
        except Exception as e:  # whatever it is, the rows after it are folded
            self._skip(observation, e)

    def _skip(self, observation: Observation, error: Exception) -> None:
        self._folding.counts["folded"] -= 1
        self._folding.skip(observation.seq, error)

    def _tell(self, before: Mapping[str, int]) -> None:
        n = self.counts["skipped"] - before.get("skipped", 0)
        if n:
            seq, reason = next(reversed(self.skipped.items()))
            log.warning(
                "'%s' could not learn from %d of the rows up to %d, which are skipped; row %d: %s",
                self.router.name, n, self.folded, seq, reason,
            )  # fmt: skip

    # -- snapshots ---------------------------------------------------------------------------

    def open(self) -> None:
        """Go on from the newest snapshot that fits; once, and before the first row."""
        with self._lock:
            if self._opened:
                return
            found = self._snapshots.newest() if self._snapshots and self.learns else None
            if found is not None:
                self._load(found)
            self._opened = True

    def _load(self, found: Snapshot) -> None:
        made = self.router.state_dict()
        try:
            self.router.load_state_dict(found.state)
        except Exception as e:  # of a router's own code: whatever it is, there is the ledger
            assert self._snapshots is not None
            self._snapshots.set_aside(f"{type(e).__name__}: {e}")
            self.router.load_state_dict(made)
            return
        self.folded = self._saved = found.folded
        self._folding.counts = Counter(found.provenance["counts"])
        if (tally := found.provenance.get("tally")) is not None:  # an older one fits without quota
            self._folding.tally.load(tally)
        self._folding.skipped = {int(seq): why for seq, why in found.provenance["skipped"]}

    def close(self) -> None:
        """Write a snapshot where enough was folded since the last."""
        self._save_if(WORTH_SAVING)

    def _save_if(self, rows: int) -> None:
        """Write a snapshot of so many new rows or more: scoring goes on, ``catch_up`` waits."""
        with self.hold():
            new = self.folded - self._saved
            if self._snapshots is None or self._within or new < rows:
                return
            self._saved = self.folded
            notes = {"counts": dict(self.counts), "skipped": list(self.skipped.items()),
                     "tally": self._folding.tally.state()}  # fmt: skip
            self._snapshots.save(
                self.router.state_dict(), base=self.base, folded=self.folded, notes=notes
            )
