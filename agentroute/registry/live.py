"""What is known of the agents right now, as arrays: load, breaker, running averages.

The execution writes it, routers read a copy of it in ``Candidates``. It is never learned state:
at opening it is rebuilt from the last outcome rows, with the time taken from the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F64
from agentroute.model.candidates import CardSet
from agentroute.model.objective import Bounds

EMA = 0.2
WINDOW = 1024
MIN_OUTCOMES, STRIDE = 20, 32
_CLOCK_S = 1.0  # between a row's time and the clock's


class LiveState:
    """Arrays over all agents ever seen; a ``CardSet`` maps to slots once and is cached."""

    def __init__(self) -> None:
        self._slot: dict[str, int] = {}
        self._slots: dict[str, NDArray[np.int64]] = {}
        self.running = np.zeros(0)
        self.inflight = np.zeros(0)
        self.failures = np.zeros(0)
        self.open_until_s = np.zeros(0)
        self.cooldown_s = np.zeros(0)
        self.success = np.zeros(0)
        self.cost_usd = np.zeros(0)
        self.latency_s = np.zeros(0)
        self.calls = np.zeros(0)
        self._recent_cost = np.zeros(WINDOW)
        self._recent_latency = np.zeros(WINDOW)
        self._seen = 0
        self.known: dict[str, int] = {}  # ledger -> seq up to which its outcomes are in here
        self._bounds: tuple[int, str, Bounds] = (-2, "", Bounds())

    def slots(self, cards: CardSet) -> NDArray[np.int64]:
        """(N,) the slot of each card of the set."""
        found = self._slots.get(cards.sha256)
        if found is None:
            found = np.array([self.slot(c.name) for c in cards.cards], dtype=np.int64)
            self._slots[cards.sha256] = found
        return found

    def slot(self, agent: str) -> int:
        """The slot of one agent; a new agent gets the next one."""
        if agent not in self._slot:
            self._slot[agent] = len(self._slot)
            if len(self._slot) > len(self.running):
                self._grow(max(16, 2 * len(self._slot)))
        return self._slot[agent]

    def _grow(self, size: int) -> None:
        for name, fill in (
            ("running", 0.0), ("inflight", 0.0), ("failures", 0.0), ("open_until_s", -np.inf),
            ("cooldown_s", 0.0),
            ("success", np.nan), ("cost_usd", np.nan), ("latency_s", np.nan), ("calls", 0.0),
        ):  # fmt: skip
            old = getattr(self, name)
            new = np.full(size, fill)
            new[: len(old)] = old
            setattr(self, name, new)

    def decided(self, agent: str) -> None:
        """A decision for this agent is open: exploration widths shrink until it settles."""
        i = self.slot(agent)  # first: a new agent makes the arrays grow
        self.inflight[i] += 1

    def settled(self, agent: str) -> None:
        """The decision's outcome is known."""
        i = self.slot(agent)
        self.inflight[i] = max(0.0, self.inflight[i] - 1)

    @contextmanager
    def calling(self, agent: str) -> Iterator[None]:
        """A call goes on for as long as the block lasts, however it ends."""
        i = self.slot(agent)  # first: a new agent makes the arrays grow
        self.running[i] += 1
        try:
            yield
        finally:
            self.running[i] -= 1

    def observe(
        self,
        agent: str,
        *,
        cost_usd: float,
        latency_s: float,
        error: bool,
        at_s: float,
        cooldown_failures: int = 3,
        cooldown_s: float = 60.0,
    ) -> None:
        """Fold one outcome row: also used to rebuild from the ledger."""
        i = self.slot(agent)
        self.calls[i] += 1
        self._average(self.success, i, 0.0 if error else 1.0)
        if error:
            self.failures[i] += 1
            if self.failures[i] >= cooldown_failures:
                self.open_until_s[i], self.cooldown_s[i] = at_s + cooldown_s, cooldown_s
        else:
            self.failures[i] = 0
            self.open_until_s[i] = -np.inf
            self._average(self.cost_usd, i, cost_usd)
            self._average(self.latency_s, i, latency_s)
            at = self._seen % WINDOW
            self._recent_cost[at], self._recent_latency[at] = cost_usd, latency_s
            self._seen += 1

    def shut_for_s(self, agent: str, now_s: float) -> float:
        """Seconds that the breaker stays open; 0 where it is not."""
        i = self.slot(agent)  # first: a new agent makes the arrays grow
        return float(self.open_until_s[i]) - now_s if self.is_shut(now_s)[i] else 0.0

    def is_shut(self, now_s: float) -> NDArray[np.bool_]:
        """Whose breaker is open, by slot. More time left than a cooldown lasts means that the
        clock was set back since; such a breaker is half open, and not shut for as long.
        """
        left = self.open_until_s - now_s
        shut: NDArray[np.bool_] = (left > 0) & (left <= self.cooldown_s + _CLOCK_S)
        return shut

    def is_probed(self, agent: str) -> bool:
        """Whether the breaker is half open, and a call that tries the agent is under way."""
        return self.is_half_open(agent) and bool(self.inflight[self.slot(agent)] > 0)

    def is_half_open(self, agent: str) -> bool:
        """Whether the breaker was open and no call has answered since."""
        i = self.slot(agent)  # first: a new agent makes the arrays grow
        return bool(np.isfinite(self.open_until_s[i]))

    def reset(self, agent: str) -> None:
        """Shut the breaker and forget the failures in a row."""
        i = self.slot(agent)
        self.failures[i], self.open_until_s[i] = 0, -np.inf

    @staticmethod
    def _average(array: F64, i: int, value: float) -> None:
        old = array[i]
        array[i] = value if np.isnan(old) else (1 - EMA) * old + EMA * value

    def bounds(self, cards: CardSet) -> Bounds:
        """Clipping range of cost and latency: the last 1,024 outcomes, the cards' until 20.

        Measured anew every 32 outcomes.
        """
        key = (self._seen // STRIDE if self._seen >= MIN_OUTCOMES else -1, cards.sha256)
        if self._bounds[:2] != key:
            self._bounds = (*key, self._measure(cards))
        return self._bounds[2]

    def _measure(self, cards: CardSet) -> Bounds:
        if self._seen >= MIN_OUTCOMES:
            n = min(self._seen, WINDOW)
            cost, latency = self._recent_cost[:n], self._recent_latency[:n]
        else:
            cost = _known(c.pricing.expected_usd for c in cards.cards)
            latency = _known(c.latency_s for c in cards.cards)
        return Bounds(*_range(cost), *_range(latency))


def _known(values: Iterable[float | None]) -> F64:
    return np.array([v for v in values if v is not None], dtype=np.float64)


def _range(x: F64) -> tuple[float, float]:
    if not len(x):
        return 0.0, 0.0
    lo, hi = np.percentile(np.log1p(x), [5, 95])
    return float(lo), float(hi)
