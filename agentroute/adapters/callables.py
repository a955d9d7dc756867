"""Python functions as agents: ``async def`` on the loop, ``def`` in a thread.

A function may also be a generator (sync or async) that yields ``str`` chunks and, last, a reply.
A thread cannot be killed: at its deadline it is abandoned, counted, and its result thrown away.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import os
import sysconfig
import threading
import traceback
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

from agentroute.adapters.untrusted import words_of
from agentroute.errors import AgentFailedError, AgentRouteError
from agentroute.model.calls import AgentCall, OnChunk


def _ignore(_: str) -> None:
    """Nobody listens to the stream."""


class Threads:
    """Runs blocking functions in daemon threads and counts those that were abandoned."""

    def __init__(self) -> None:
        self.abandoned = 0
        self.running = 0

    async def run(self, fn: Callable[[], Any], *, limit_s: float) -> Any:
        """The result of ``fn()``; ``TimeoutError`` at the limit, the thread left to itself."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def settle(result: Any, error: BaseException | None) -> None:
            self.running -= 1
            if done.done():
                self.abandoned -= 1
            elif error is None:
                done.set_result(result)
            else:
                done.set_exception(_plain(error))

        def work() -> None:
            try:
                outcome: tuple[Any, BaseException | None] = (context.run(fn), None)
            except BaseException as e:
                outcome = (None, e)
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, *outcome)

        self.running += 1
        threading.Thread(target=work, daemon=True, name="agentroute-agent").start()
        try:
            async with asyncio.timeout(limit_s):
                return await done
        except (TimeoutError, asyncio.CancelledError):
            if not done.done() or done.cancelled():
                self.abandoned += 1
                done.cancel()
            raise


THREADS = Threads()


def _plain(error: BaseException) -> Exception:
    """A future cannot carry ``StopIteration`` or an exit: an agent that raises these failed."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return AgentFailedError(words_of(error))


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


async def call_function(
    fn: Callable[..., Any],
    call: AgentCall,
    *,
    limit_s: float,
    on_chunk: OnChunk = _ignore,
    threads: Threads = THREADS,
) -> Any:
    """What ``fn(call)`` returns, unchecked.

    Raises:
        TimeoutError: not done within ``limit_s`` seconds.
        Exception: whatever the function raised.
    """
    if _is_async(fn):
        async with asyncio.timeout(limit_s):
            return await _drain_async(fn(call), on_chunk)
    loop = asyncio.get_running_loop()

    def chunk(text: str) -> None:
        loop.call_soon_threadsafe(on_chunk, text)

    return await threads.run(lambda: run_to_end(fn, call, chunk), limit_s=limit_s)


def _is_async(fn: Callable[..., Any]) -> bool:
    targets = (fn, getattr(fn, "__call__", None))  # noqa: B004  (an object with async __call__)
    return any(inspect.iscoroutinefunction(f) or inspect.isasyncgenfunction(f) for f in targets)


def run_to_end(fn: Callable[..., Any], call: AgentCall, on_chunk: OnChunk = _ignore) -> Any:
    """Call a function of any kind from blocking code; async ones get a loop of their own."""
    if _is_async(fn):
        return asyncio.run(_drain_async(fn(call), on_chunk))
    result = fn(call)
    if inspect.isgenerator(result):
        return _drain(result, on_chunk)
    if inspect.isawaitable(result):
        return asyncio.run(_drain_async(result, on_chunk))
    return result


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


async def _drain_async(result: Any, on_chunk: OnChunk) -> Any:
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
