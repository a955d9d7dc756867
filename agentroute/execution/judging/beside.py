"""A judge beside what is served: it looks at some results after their runs, and nobody waits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import Literal

from agentroute.choosing.depth.protocol import Verifies
from agentroute.config.settings import JudgeSettings
from agentroute.errors import LedgerError, UnknownAgentError
from agentroute.execution.answer.deepening import depth_of
from agentroute.execution.ending import Finisher
from agentroute.execution.progress import Run
from agentroute.ledger import Ledger, Ticket
from agentroute.model.calls import AgentReply
from agentroute.model.events import JUDGED, Note
from agentroute.model.ids import keyed_rng, uuid7
from agentroute.model.plans import AgentUse
from agentroute.registry.registry import Registry

log = logging.getLogger(__name__)

Came = Literal["judged", "silent", "failed", "dropped"]


@dataclass
class JudgeCounts:
    """What became of the results offered since this was opened."""

    offered: int = 0
    skipped: int = 0
    """Not drawn: the share says so."""
    judged: int = 0
    silent: int = 0
    """The judge gave no score."""
    failed: int = 0
    dropped: int = 0
    """The buffer was full, or it was closed before their turn."""


class BackgroundJudge:
    """A bounded buffer of runs that have ended, and one at a time is judged.

    ``offer`` returns at once: it keeps a ``share`` of the runs that no verifier scored (drawn by
    the run's id, so that the same ones are judged in any order of arrival), and drops and counts
    what does not fit into ``capacity``. The judge is called as a verifier of the run would be: a
    decision of kind ``verify`` with an outcome, paid from what is left of the run's budget, within
    as long as the run itself had. Its scores are feedback rows: a verdict reaches a router by the
    ledger or not at all. Of every run that was drawn a note ``judge.done`` says what came of it;
    who was judged or dropped once is not judged again.
    """

    def __init__(
        self, settings: JudgeSettings, finisher: Finisher, registry: Registry, ledger: Ledger
    ) -> None:
        self._settings, self._use = settings, AgentUse(name=settings.name)
        self._finisher, self._registry, self._ledger = finisher, registry, ledger
        self.counts = JudgeCounts()
        self._waiting: deque[tuple[Run, AgentReply]] = deque()
        self._working: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Whether there is such an agent.

        Raises:
            UnknownAgentError: there is none.
        """
        if self._settings.name not in self._registry:
            raise UnknownAgentError(self._settings.name, self._registry.entries)

    def offer(self, run: Run, answer: AgentReply | None) -> None:
        """Take up a run that has ended, unless it has a verifier, no answer, or asked for none."""
        if answer is None or not run.verify or _verified(run):
            return
        s, self.counts.offered = self._settings, self.counts.offered + 1
        drawn = keyed_rng(run.rules.seed, run.run_id, "judge").random() < s.share
        if not drawn:
            self.counts.skipped += 1
        elif len(self._waiting) >= s.capacity:
            self._came(run, "dropped", why=f"{s.capacity} were waiting")
        else:
            self._waiting.append((run, answer))
            if self._working is None or self._working.done():
                self._working = asyncio.create_task(self._work())

    async def drain(self) -> None:
        """Return when nothing waits."""
        while self._working is not None and not self._working.done():
            await asyncio.gather(self._working, return_exceptions=True)

    async def aclose(self) -> None:
        """Judge what waits, at most ``drain_s`` seconds; the rest is dropped, and said."""
        if self._working is not None:
            await asyncio.wait([self._working], timeout=self._settings.drain_s)
            self._working.cancel()
            await self.drain()
        while self._waiting:
            self._came(self._waiting.popleft()[0], "dropped", why="closed before its turn")
        if self.counts.dropped:
            log.warning(
                "the judge '%s' dropped %d of %d results", self._settings.name,
                self.counts.dropped, self.counts.offered,
            )  # fmt: skip

    async def _work(self) -> None:
        while self._waiting:
            run, answer = self._waiting.popleft()
            try:
                await self._judge(run, answer)
            except asyncio.CancelledError:
                self._came(run, "dropped", why="closed while it was judged")
                raise
            except LedgerError:
                raise  # nothing can be written any more
            except Exception as e:
                await self._came(run, "failed", why=f"{type(e).__name__}: {e}")

    async def _judge(self, run: Run, answer: AgentReply) -> None:
        if await asyncio.to_thread(self._ledger.notes, run.run_id, JUDGED):
            return  # of an earlier life of the run
        run.listeners, run.said = [], []  # the run is over: its last event was told
        run.deadline = time.monotonic() + run.bounds.seconds
        rows = await self._finisher.verified_by(run, self._use, answer)
        await run.recorded()
        came: Came = "judged" if rows else "failed" if run.said else "silent"
        await self._came(run, came, scores=len(rows), why="; ".join(run.said))

    def _came(self, run: Run, came: Came, *, scores: int = 0, why: str = "") -> Ticket:
        """Count it and write it down; whoever serves does not wait for the row."""
        setattr(self.counts, came, getattr(self.counts, came) + 1)
        data = {"judge": self._settings.name, "came": came, "scores": scores, "why": why[:500]}
        return self._ledger.append(Note(id=uuid7(), run_id=run.run_id, type=JUDGED, data=data))


def _verified(run: Run) -> bool:
    """Whether its plan names a verifier, or one of its tasks is as deep as a verifier says."""
    rules = run.rules
    depths = (rules.depth, *(depth_of(t, rules.depth) for t in run.plan.tasks))
    return bool(run.plan.verifiers) or any(
        isinstance(d, Verifies) and d.verifier is not None for d in depths
    )
