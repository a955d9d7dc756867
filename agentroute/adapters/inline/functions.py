"""Python functions as agents: ``async def`` on the loop, ``def`` in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from agentroute.adapters.callables import drain, ignore, is_async, run_to_end
from agentroute.adapters.inline.threads import THREADS, Threads
from agentroute.model.calls import AgentCall, OnChunk


async def call_function(
    fn: Callable[..., Any],
    call: AgentCall,
    *,
    limit_s: float,
    on_chunk: OnChunk = ignore,
    threads: Threads = THREADS,
) -> Any:
    """What ``fn(call)`` returns, unchecked.

    Raises:
        TimeoutError: not done within ``limit_s`` seconds.
        Exception: whatever the function raised.
    """
    if is_async(fn):
        async with asyncio.timeout(limit_s):
            return await drain(fn(call), on_chunk)
    loop = asyncio.get_running_loop()

    def chunk(text: str) -> None:
        loop.call_soon_threadsafe(on_chunk, text)

    return await threads.run(lambda: run_to_end(fn, call, chunk), limit_s=limit_s)
