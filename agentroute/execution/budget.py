"""Money and calls of one run: reserved before a call, settled after it."""

from __future__ import annotations

from dataclasses import dataclass

from agentroute.errors import BudgetExceededError


@dataclass(slots=True)
class Hold:
    """Money put aside for one call in flight."""

    usd: float
    open: bool = True


class Budget:
    """What a run may spend: ``usd`` and ``calls``, each None for no bound.

    Every call holds its expected cost while it runs, so concurrent calls cannot together pass the
    budget by more than what each of them costs over its own estimate.
    """

    def __init__(
        self,
        usd: float | None = None,
        calls: int | None = None,
        *,
        spent_usd: float = 0.0,
        made: int = 0,
    ) -> None:
        self.usd, self.calls = usd, calls
        self.spent_usd, self.held_usd, self.made = spent_usd, 0.0, made

    @property
    def left_usd(self) -> float | None:
        """What is neither spent nor held; None where there is no bound."""
        return None if self.usd is None else max(0.0, self.usd - self.spent_usd - self.held_usd)

    def reserve(self, estimate_usd: float) -> Hold:
        """Put the expected cost of a call aside.

        Raises:
            BudgetExceededError: the call does not fit.
        """
        if self.calls is not None and self.made >= self.calls:
            raise BudgetExceededError(f"the run's {self.calls} calls are used up")
        left = self.left_usd
        if left is not None and (estimate_usd > left or (left == 0 and self.spent_usd > 0)):
            raise BudgetExceededError(
                f"the next call is expected to cost ${estimate_usd:.4g}, ${left:.4g} are left",
                hint="raise the budget",
            )
        self.made += 1
        self.held_usd += estimate_usd
        return Hold(estimate_usd)

    def settle(self, hold: Hold, cost_usd: float) -> None:
        """The call ended and cost this much. A hold settles once."""
        if hold.open:
            hold.open = False
            self.held_usd = max(0.0, self.held_usd - hold.usd)
            self.spent_usd += cost_usd
