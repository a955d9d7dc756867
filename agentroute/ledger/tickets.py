"""A receipt for an appended row, good in any event loop and any thread."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from agentroute.errors import LedgerBusyError, LedgerError

_lock = threading.Lock()  # one for all tickets: held for nanoseconds, and a ticket stays small

Waiter = tuple[asyncio.AbstractEventLoop | None, Any]


class Ticket:
    """Stands for a row until it is committed.

    ``await ticket`` or ``ticket.wait()`` give the row's ``seq`` once it is on the disk, or raise
    the ``LedgerError`` that kept it out. ``duplicate`` says that such a row was there before: the
    ``seq`` is then the older row's.
    """

    __slots__ = ("_error", "_seq", "_waiters", "_wake", "done", "duplicate")

    def __init__(self, wake: Callable[[], None]) -> None:
        self.done = False
        self.duplicate = False
        self._seq = 0
        self._error: LedgerError | None = None
        self._waiters: list[Waiter] | None = None
        self._wake = wake

    def wait(self, timeout_s: float | None = None) -> int:
        """Block this thread until the row is committed; its ``seq``.

        Raises:
            LedgerBusyError: not committed within ``timeout_s`` seconds (it still may be).
            LedgerError: the row was refused.
        """
        event = threading.Event()
        if self._register((None, event)):
            self._wake()
            if not event.wait(timeout_s):
                raise LedgerBusyError(f"the row was not committed within {timeout_s:g} s")
        return self.result()

    def __await__(self) -> Generator[Any, None, int]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        if self._register((loop, future)):
            self._wake()
            yield from future
        return self.result()

    def result(self) -> int:
        """The ``seq`` of a ticket that is ``done``.

        Raises:
            LedgerError: the row was refused, or is not committed yet.
        """
        if self._error is not None:
            raise self._error
        if not self.done:
            raise LedgerError("the row is not committed yet", hint="await the ticket")
        return self._seq

    def settle(
        self, seq: int, *, duplicate: bool = False, error: LedgerError | None = None
    ) -> None:
        """Note what became of the row; ``announce`` tells those who wait."""
        self._seq, self.duplicate, self._error = seq, duplicate, error

    def _register(self, waiter: Waiter) -> bool:
        with _lock:
            if self.done:
                return False
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(waiter)
            return True


def renew_lock() -> None:
    """In a forked child: a thread of the parent may hold the lock, which nobody gives back here."""
    global _lock
    _lock = threading.Lock()


def announce(tickets: Iterable[Ticket]) -> None:
    """Wake all who wait for these tickets: one call into each event loop, not one a ticket."""
    waiters: list[Waiter] = []
    with _lock:
        for ticket in tickets:
            ticket.done = True
            if ticket._waiters:
                waiters += ticket._waiters
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = defaultdict(list)
    for loop, waiting in waiters:
        if loop is None:
            waiting.set()
        else:
            by_loop[loop].append(waiting)
    for loop, futures in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(partial(_finish, futures))


def _finish(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
