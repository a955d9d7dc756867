"""A Python function run to its end from blocking code, as a worker and a thread do.

A function may also be a generator (sync or async) that yields ``str`` chunks and, last, a reply.
Without ``asyncio`` at the top: importing it is a sixth of a worker's start, and most functions that
run in one need no loop.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sysconfig
import traceback
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any

from agentroute.errors import AgentRouteError
from agentroute.model.calls import AgentCall, OnChunk


def ignore(_: str) -> None:
    """Nobody listens to the stream."""


def with_place(text: str, error: BaseException) -> str:
    """``text`` and where in the agent's own code it was raised: the file's name and the line.

    Nothing is added for errors of ours, which say what is wrong, nor where no frame is the agent's.
    """
    if isinstance(error, AgentRouteError):
        return text
    frames = [(f.f_code.co_filename, line) for f, line in traceback.walk_tb(error.__traceback__)]
    own = [(file, line) for file, line in frames if not file.startswith(("<", *_OTHERS))]
    own = own or [(file, line) for file, line in frames if file.startswith(_BUNDLED)]
    return f"{text} ({os.path.basename(own[-1][0])}, line {own[-1][1]})" if own else text


_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_BUNDLED = os.path.join(_PACKAGE, "_bundled") + os.sep
_OTHERS = tuple({_PACKAGE + os.sep, *(p for p in sysconfig.get_paths().values() if p)})


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether it, or calling the object that it is, gives something to be awaited."""
    targets = (fn, getattr(fn, "__call__", None))  # noqa: B004  (an object with async __call__)
    return any(inspect.iscoroutinefunction(f) or inspect.isasyncgenfunction(f) for f in targets)


def run_to_end(fn: Callable[..., Any], call: AgentCall, on_chunk: OnChunk = ignore) -> Any:
    """Call a function of any kind from blocking code; async ones get a loop of their own."""
    if is_async(fn):
        return _on_a_loop(drain(fn(call), on_chunk))
    result = fn(call)
    if inspect.isgenerator(result):
        return _drain(result, on_chunk)
    if inspect.isawaitable(result):
        return _on_a_loop(drain(result, on_chunk))
    return result


def _on_a_loop(work: Coroutine[Any, Any, Any]) -> Any:
    import asyncio

    return asyncio.run(work)


def _drain(items: Iterator[Any], on_chunk: OnChunk) -> Any:
    """Chunks to ``on_chunk``; the last non-chunk is the reply, else all chunks joined."""
    texts: list[str] = []
    while True:
        try:
            item = next(items)
        except StopIteration as end:
            return "".join(texts) if end.value is None else end.value
        if not isinstance(item, str):
            return item
        texts.append(item)
        on_chunk(item)


async def drain(result: Any, on_chunk: OnChunk) -> Any:
    """What an awaitable gives; of an async generator the chunks go to ``on_chunk``."""
    if not isinstance(result, AsyncGenerator):
        return await result
    texts: list[str] = []
    async with contextlib.aclosing(result):
        async for item in result:
            if not isinstance(item, str):
                return item
            texts.append(item)
            on_chunk(item)
    return "".join(texts)
