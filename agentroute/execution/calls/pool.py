"""The pool of worker processes: warm ones are used again, late ones are killed.

A process is bound to one card from its first call on. One spare stands ready, so that a killed
worker costs the next call nothing. A card never has more than ``limits.max_concurrency`` calls in
the pool (a bulkhead), the pool never more than ``max_workers``.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections import OrderedDict
from typing import Any

from agentroute.adapters.replies import MAX_REPLY, as_reply, dump_call
from agentroute.errors import AgentFailedError, AgentTimeoutError
from agentroute.execution.calls.bulkhead import Bulkheads
from agentroute.execution.calls.worker import Worker
from agentroute.model.calls import AgentCall, AgentReply, OnChunk, Usage
from agentroute.model.cards import CapabilityCard

Key = tuple[str, int, tuple[int, ...]]


class WorkerPool:
    """Killable processes for agents with ``isolation: process``; used by one event loop.

    ``max_workers`` calls at a time, ``max_idle`` warm processes kept, ``spare`` unbound ones.
    """

    def __init__(self, *, max_workers: int = 8, max_idle: int = 16, spare: int = 1) -> None:
        self._busy = asyncio.Semaphore(max_workers)
        self._bulkheads = Bulkheads()
        self._idle: OrderedDict[Worker, Key] = OrderedDict()
        self._spares: list[asyncio.Task[Worker]] = []
        self._live: set[Worker] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._max_idle, self._spare = max_idle, spare
        self._closed = False

    async def call(
        self,
        card: CapabilityCard,
        entry: dict[str, str],
        call: AgentCall,
        *,
        limit_s: float,
        on_chunk: OnChunk | None = None,
    ) -> AgentReply:
        """Run one call in a process of this card; ``limit_s`` counts from when it has one.

        Raises:
            AgentTimeoutError: not done in time; the process is dead and reaped.
            AgentFailedError: it raised, exited, or returned something that is not a reply.
        """
        async with self._bulkheads.of(card), self._busy:
            worker = await self._take(_key(card, entry))
            try:
                async with asyncio.timeout(limit_s):
                    limits = card.limits.of_process()
                    frame = await worker.call(entry, dump_call(call), on_chunk, limits)
            except TimeoutError:
                await self._end(worker)
                raise AgentTimeoutError(f"no answer within {limit_s:.3g} s") from None
            except BaseException:
                await self._end(worker)
                raise
            if worker.left_behind():  # a call's processes end with it, and so does its worker
                await self._end(worker)
            else:
                self._give_back(worker, _key(card, entry))
        return _reply(frame, call)

    async def _take(self, key: Key) -> Worker:
        for worker, bound_to in reversed(self._idle.items()):
            if bound_to == key and worker.alive:
                del self._idle[worker]
                return worker
        started = self._spares.pop() if self._spares else asyncio.create_task(Worker.start())
        try:
            worker = await started
        except asyncio.CancelledError:
            self._later(_end_started(started))
            raise
        self._live.add(worker)
        self._fill()
        return worker

    def _fill(self, n: int = 0) -> None:
        while not self._closed and len(self._spares) < max(n, self._spare):
            self._spares.append(asyncio.create_task(Worker.start()))

    def _give_back(self, worker: Worker, key: Key) -> None:
        self._idle[worker] = key
        while len(self._idle) > self._max_idle:
            oldest, _ = self._idle.popitem(last=False)
            self._later(self._end(oldest))

    def _later(self, ending: Any) -> None:
        task = asyncio.create_task(ending)
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def _end(self, worker: Worker) -> None:
        self._live.discard(worker)
        await worker.end()

    def ahead(self, n: int) -> None:
        """Start processes now, so that ``n`` calls find one; those that stand idle count."""
        if (wanted := n - len(self._idle)) > 0:
            self._fill(wanted)

    async def aclose(self) -> None:
        """Kill and reap every process."""
        self._closed = True
        spares, self._spares = self._spares, []
        self._idle.clear()
        await asyncio.gather(
            *(_end_started(t) for t in spares),
            *(self._end(w) for w in list(self._live)),
            *self._endings,
        )


async def _end_started(started: asyncio.Task[Worker]) -> None:
    started.cancel()
    try:
        worker = await started
    except (asyncio.CancelledError, AgentFailedError):
        return
    await worker.end()


def _key(card: CapabilityCard, entry: dict[str, str]) -> Key:
    """A changed file, or other limits, is another key: its old workers are never used again."""
    try:
        changed = os.stat(entry["file"]).st_mtime_ns if "file" in entry else 0
    except OSError:
        changed = 0
    return card.name, changed, tuple(card.limits.of_process().values())


def _reply(frame: dict[str, Any], call: AgentCall) -> AgentReply:
    """The checked reply of a frame; whatever is wrong with it is the agent's own failure."""
    if frame.get("op") != "reply":
        message = str(frame.get("message", "the agent failed"))
        spent = _spent(frame)
        raise AgentFailedError(message, retryable=bool(frame.get("retryable", True)), spent=spent)
    try:
        reply = as_reply(frame.get("reply"), call.workdir, cap=MAX_REPLY)
        cpu_s = max(reply.usage.cpu_s, _finite(frame.get("cpu_s", 0.0)))
        usage = Usage.model_validate(reply.usage.model_dump() | {"cpu_s": cpu_s})
    except (ValueError, TypeError, ArithmeticError, RecursionError, OSError) as e:
        raise AgentFailedError(f"the reply cannot be used: {type(e).__name__}: {e}") from None
    return reply.model_copy(update={"usage": usage})


def _spent(frame: dict[str, Any]) -> Usage:
    """What a failed call used, as far as its frame can be believed."""
    try:
        said = frame.get("spent") or {}
        return Usage.model_validate({**said, "cpu_s": _finite(frame.get("cpu_s", 0.0))})
    except (ValueError, TypeError):
        return Usage()


def _finite(value: Any) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("cpu_s is not a number of seconds")
    return float(value)
