"""A judge beside the router: it looks at some results later, and never makes a choice wait."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from agentroute.errors import UsageError
from agentroute.model.ids import keyed_rng

log = logging.getLogger(__name__)

T = TypeVar("T")
Judge = Callable[[T], Awaitable[float | None] | float | None]
Sink = Callable[[T, float], None]


@dataclass
class JudgeCounts:
    """What became of the results offered."""

    offered: int = 0
    skipped: int = 0
    dropped: int = 0
    judged: int = 0
    abstained: int = 0
    failed: int = 0


class BackgroundJudge(Generic[T]):
    """A bounded queue, one worker task, and a ``sink`` for verdicts.

    ``offer`` returns at once: it keeps a ``share`` of the results (by a generator keyed with the
    result's id, so that the same results are judged in any order of arrival), and drops and counts
    what does not fit into ``capacity``. The judge returns a score in [0, 1] or None for "cannot
    say"; a plain function runs in a thread. ``sink(item, score)`` is to write a feedback row: state
    is folded from rows, so a verdict reaches the trails by the ledger or not at all.

    Use as ``async with``: leaving waits for what is queued, at most ``drain_s`` seconds.
    """

    def __init__(
        self,
        judge: Judge[T],
        sink: Sink[T],
        *,
        capacity: int = 256,
        share: float = 1.0,
        seed: int = 0,
        drain_s: float = 5.0,
    ) -> None:
        if capacity < 1 or not 0.0 <= share <= 1.0:
            raise UsageError("a judge needs capacity >= 1 and a share from 0 to 1")
        self.judge, self.sink, self.share, self.seed = judge, sink, share, seed
        self.drain_s = drain_s
        self.counts = JudgeCounts()
        self._queue: asyncio.Queue[T] = asyncio.Queue(capacity)
        self._worker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> BackgroundJudge[T]:
        self._worker = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await asyncio.wait_for(self._queue.join(), self.drain_s)
        except TimeoutError:
            log.warning("the judge left %d results unjudged", self._queue.qsize())
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)

    def offer(self, item: T, key: str) -> bool:
        """Queue a result named ``key``; False where it was not sampled or did not fit."""
        self.counts.offered += 1
        if self.share < 1.0 and keyed_rng(self.seed, "judge", key).random() >= self.share:
            self.counts.skipped += 1
            return False
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            self.counts.dropped += 1
            return False
        return True

    async def _run(self) -> None:
        while True:
            item = await self._queue.get()
            try:
                await self._judge(item)
            except Exception:
                self.counts.failed += 1
                log.exception("the judge failed on a result")
            finally:
                self._queue.task_done()

    async def _judge(self, item: T) -> None:
        score = await self._ask(item)
        if score is None:
            self.counts.abstained += 1
        elif not 0.0 <= score <= 1.0:
            raise ValueError(f"a judge returned {score}, which is not in [0, 1]")
        else:
            self.counts.judged += 1
            self.sink(item, score)

    async def _ask(self, item: T) -> float | None:
        if inspect.iscoroutinefunction(self.judge):
            said: float | None = await self.judge(item)
            return said
        result = await asyncio.to_thread(self.judge, item)
        return await result if inspect.isawaitable(result) else result
