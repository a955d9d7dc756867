"""The way from blocking code to the event loop that a run's processes belong to."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from agentroute.errors import NestedLoopError

T = TypeVar("T")


class HomeLoop:
    """Runs coroutines for threads that have no loop, in one loop that stays the same.

    That is the loop the executor was first used in, while it runs; else one in a thread of the
    home_loop's own. Context variables (a host graph's configuration) go along.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def adopt(self) -> None:
        """The running loop is home, unless there is one already."""
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.get_running_loop()

    @property
    def own(self) -> bool:
        """Whether home is the home_loop's own thread."""
        return self._thread is not None

    def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of ``make()`` run at home; blocks the calling thread.

        Raises:
            NestedLoopError: called from the home loop itself, which would wait for itself.
        """
        loop = self._home()
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is loop:
            raise NestedLoopError(
                "a sync call inside the running event loop", hint="use ainvoke or astream"
            )
        context = contextvars.copy_context()
        result: Future[T] = Future()

        def start() -> None:
            task = loop.create_task(make(), context=context)
            task.add_done_callback(lambda t: _hand_over(t, result))

        loop.call_soon_threadsafe(start)
        return result.result()

    def _home(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None or not self._loop.is_running():
                loop, runs = asyncio.new_event_loop(), threading.Event()
                self._thread = threading.Thread(
                    target=loop.run_forever, daemon=True, name="agentroute-home_loop"
                )
                loop.call_soon(runs.set)
                self._thread.start()
                runs.wait()  # before that, the next caller would take it for one that ended
                self._loop = loop
            return self._loop

    def close(self) -> None:
        """End the home_loop's own loop and thread, if it has one."""
        if self._thread is None or self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None


def _hand_over(task: asyncio.Task[T], result: Future[T]) -> None:
    if task.cancelled():
        result.set_exception(asyncio.CancelledError())
    elif (error := task.exception()) is not None:
        result.set_exception(error)
    else:
        result.set_result(task.result())
