"""Threads for blocking agents: one cannot be killed, so at its deadline it is left to itself."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

from agentroute.adapters.untrusted import words_of
from agentroute.errors import AgentFailedError


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
