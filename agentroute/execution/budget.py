"""Money and calls of one run: reserved before a call, settled after it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from agentroute.errors import BudgetExceededError

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Price:
    """What a call is expected to cost, None if nothing says; ``measured``: calls showed it."""

    usd: float | None = None
    measured: bool = False


@dataclass(slots=True)
class Hold:
    """Money put aside for one call in flight; ``left_usd`` is what that call may use at most."""

    agent: str
    usd: float
    left_usd: float | None
    open: bool = True


class Budget:
    """What a run may spend: ``usd`` and ``calls``, each None for no bound.

    Every call holds what it is expected to cost while it runs; one that does not fit beside those
    in flight waits for them. An agent is not believed before it is measured: it has one call in
    flight until what that cost is known, and later ones hold at least the most that one of its
    calls came to. So a budget is overrun by at most the calls in flight when it is used up, each
    worker's one, whatever the estimates were. Where nothing is left, only calls known to be free
    are made.

    A ``within`` budget (a task's in its run's) binds as well, and is charged for the same calls.
    """

    def __init__(
        self,
        usd: float | None = None,
        calls: int | None = None,
        *,
        spent_usd: float = 0.0,
        made: int = 0,
        within: Budget | None = None,
    ) -> None:
        self.usd, self.calls, self.within = usd, calls, within
        self.spent_usd, self.held_usd, self.made = spent_usd, 0.0, made
        self._dearest: dict[str, float] = {}
        self._flying: Counter[str] = Counter()
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def left_usd(self) -> float | None:
        """What is not spent, here and in the budget around; None where there is no bound."""
        left = [max(0.0, b.usd - b.spent_usd) for b in self._chain() if b.usd is not None]
        return min(left, default=None)

    def _chain(self) -> Iterator[Self | Budget]:
        at: Budget | None = self
        while at is not None:
            yield at
            at = at.within

    async def reserve(self, agent: str, price: Price) -> Hold:
        """Put the expected cost of a call aside, when it fits beside the calls in flight.

        Raises:
            BudgetExceededError: the call does not fit, whatever those cost.
        """
        while (hold := self.reserve_now(agent, price)) is None:
            await self._next_settlement()
        return hold

    def reserve_now(self, agent: str, price: Price) -> Hold | None:
        """The same without waiting; None where it must wait for a call in flight.

        Raises:
            BudgetExceededError: the call does not fit, whatever those cost.
        """
        for b in self._chain():
            b._check(agent, price)
        fits = all(b._fits_now(agent, price) for b in self._chain())
        return self._take(agent, price) if fits else None

    def _check(self, agent: str, price: Price) -> None:
        if self.calls is not None and self.made >= self.calls:
            raise BudgetExceededError(f"the run's {self.calls} calls are used up")
        if self.usd is None:
            return
        left, need = max(0.0, self.usd - self.spent_usd), self._need(agent, price)
        if need > left + ROUNDING * self.usd:
            raise BudgetExceededError(
                f"the next call is expected to cost ${need:.4g}, ${left:.4g} are left",
                hint="raise the budget",
            )
        if left == 0 and (price.usd is None or need > 0):
            raise BudgetExceededError(
                "nothing is left of the budget, and what the next call costs is not known",
                hint="raise the budget, or state the agent's pricing",
            )

    def _fits_now(self, agent: str, price: Price) -> bool:
        if self.usd is None:
            return True
        if not price.measured and agent not in self._dearest and self._flying[agent]:
            return False
        free, need = self.usd - self.spent_usd - self.held_usd, self._need(agent, price)
        known_free = price.usd == 0 and need == 0
        return known_free or (free > 0 and need <= free + ROUNDING * self.usd)

    def _need(self, agent: str, price: Price) -> float:
        return max(price.usd or 0.0, self._dearest.get(agent, 0.0))

    def _take(self, agent: str, price: Price) -> Hold:
        need = max(b._need(agent, price) for b in self._chain())
        free = [b.usd - b.spent_usd - b.held_usd for b in self._chain() if b.usd is not None]
        for b in self._chain():
            b.made += 1
            b.held_usd += need
            b._flying[agent] += 1
        return Hold(agent, need, min(free, default=None))

    def settle(self, hold: Hold, cost_usd: float, *, failed: bool = False) -> None:
        """The call ended and cost this much. A hold settles once; a failure for nothing shows
        nothing of what a call costs.
        """
        if not hold.open:
            return
        hold.open = False
        for b in self._chain():
            b.held_usd = max(0.0, b.held_usd - hold.usd)
            b._flying[hold.agent] -= 1
            if cost_usd > 0 or not failed:
                b._dearest[hold.agent] = max(cost_usd, b._dearest.get(hold.agent, 0.0))
        self.spend(cost_usd)

    def spend(self, cost_usd: float) -> None:
        """Money that was used without a hold, such as a router's model call."""
        for b in self._chain():
            b.spent_usd += cost_usd
            waiting, b._waiting = b._waiting, []
            for one in waiting:
                if not one.done():
                    one.set_result(None)

    async def _next_settlement(self) -> None:
        """Until a call in flight ends; it may be one of another task, so the outermost tells."""
        outermost = list(self._chain())[-1]
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        outermost._waiting.append(told)
        await told
