"""The places of one run's batches: who may start, and who waits for the next wave."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from agentroute.model.cards import CapabilityCard


@dataclass
class Seats:
    """Of one run: which batches are ``decided``, and which of their tasks go ``alone``, and why.

    ``lock`` is held while a batch is decided.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    decided: set[str] = field(default_factory=set)
    alone: dict[str, str] = field(default_factory=dict)
    _of: dict[str, asyncio.Semaphore] = field(default_factory=dict)

    def at(self, card: CapabilityCard) -> asyncio.Semaphore:
        """A place of an agent, for ``async with``: first come, first served.

        An item waits for it before it takes one of the run's own places, so that whoever waits for
        a busy agent keeps nobody from a free one.
        """
        if card.name not in self._of:
            self._of[card.name] = asyncio.Semaphore(card.limits.max_concurrency)
        return self._of[card.name]
