"""What runs one task to its end: in rounds, or by attempts that are decided one after another."""

from __future__ import annotations

import asyncio

from agentroute.execution.answer.refiners import Refiners
from agentroute.execution.answer.turns import Taking, turnwise
from agentroute.execution.calls.asking import Asking
from agentroute.execution.calls.caller import Caller
from agentroute.execution.decider import Decider
from agentroute.execution.progress import Assignment, Run
from agentroute.execution.results import TaskOutcome
from agentroute.execution.trying.approving import Waiting
from agentroute.execution.trying.attempt import Hands, Trying
from agentroute.registry.registry import Registry


class Attempts:
    """Runs one task to its end. Agents' failures come back as outcomes, never as exceptions."""

    def __init__(
        self, decider: Decider, caller: Caller, registry: Registry,
        refiners: Refiners | None = None,
    ) -> None:  # fmt: skip
        self.decider, self.refiners = decider, refiners or Refiners(registry)
        ask = Asking(caller, registry, decider.ledger)
        self._hands = Hands(decider, registry, ask, self.refiners, self)

    @property
    def beside(self) -> set[asyncio.Task[None]]:
        """Calls of shadows that go on; their results serve nobody."""
        return self._hands.beside

    async def __call__(self, run: Run, work: Assignment) -> TaskOutcome | Waiting:
        """The task's outcome, or ``Waiting`` for a human.

        Raises:
            LedgerError: a row could not be committed; nobody was called after that.
        """
        h = self._hands
        if (depth := turnwise(run, work)) is not None:
            out: TaskOutcome | Waiting = await Taking(
                self, h.decider, h.registry, run, work, depth
            )()
            return out
        return await Trying(h, run, work)()
