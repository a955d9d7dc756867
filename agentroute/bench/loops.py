"""An event loop that knows its longest block: CPU time of one callback, in its own thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

Ts = TypeVarTuple("Ts")
T = TypeVar("T")


class WatchedLoop(asyncio.SelectorEventLoop):
    """Times every callback, a task's step included; ``longest_s`` is the longest so far."""

    longest_s = 0.0

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """As in ``asyncio``, and timed."""
        return super().call_soon(self._timed, callback, args, context=context)

    def _timed(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        began = time.thread_time()
        try:
            callback(*args)
        finally:
            self.longest_s = max(self.longest_s, time.thread_time() - began)


def longest_block_s(work: Coroutine[Any, Any, T]) -> float:
    """Run ``work`` on a loop of its own; CPU seconds of the longest callback."""
    loop = WatchedLoop()
    try:
        loop.run_until_complete(work)
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
    return loop.longest_s
