"""A bound on the calls of one agent at a time, so that a slow one cannot take every slot."""

from __future__ import annotations

import asyncio

from agentroute.model.cards import CapabilityCard


class Bulkheads:
    """One semaphore a card, of ``limits.max_concurrency``; a changed limit is a new semaphore."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, int], asyncio.Semaphore] = {}

    def of(self, card: CapabilityCard) -> asyncio.Semaphore:
        """The card's semaphore, for ``async with``."""
        key = (card.name, card.limits.max_concurrency)
        if key not in self._of:
            self._of[key] = asyncio.Semaphore(key[1])
        return self._of[key]
