"""Leases: only one live process works on a run.

A lease is a ``flock`` on a small file beside the database, so it lives exactly as long as its
holder: a killed process leaves nothing behind, and no clock is asked. Taking and giving it back
are rows of the ledger.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from agentroute.errors import LedgerBusyError, LedgerError
from agentroute.ledger.connect import try_flock
from agentroute.ledger.tickets import Ticket
from agentroute.model.events import Note
from agentroute.model.ids import sha256, uuid7

log = logging.getLogger(__name__)

Append = Callable[[Note], Ticket]


class Lease:
    """The right to work on a run, until ``release`` or the end of the process."""

    def __init__(self, run_id: str, fd: int, path: Path, append: Append) -> None:
        self.run_id, self._fd, self._path, self._append = run_id, fd, path, append
        self._held = True

    def release(self) -> None:
        """Say in the ledger that the run is given back (waits for the commit), then give it.

        May be called twice. A row that cannot be written is a warning: the run is given back.
        """
        if self._held:
            self._held = False
            try:
                self._append(lease_note(self.run_id, "lease.released")).wait()
            except LedgerError as e:
                log.warning("the end of the lease on run %s was not recorded: %s", self.run_id, e)
            _give_back(self._path, self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def take_lease(database: Path, run_id: str, append: Append) -> Lease:
    """The lease of a run, once the row about it is committed; ``append`` writes it.

    Raises:
        LedgerBusyError: a live process (or another part of this one) has it.
        LedgerError: the row could not be written.
    """
    folder = database.with_name(database.name + "-leases")
    folder.mkdir(exist_ok=True)
    path = folder / f"{sha256(run_id.encode())[:32]}.lock"
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not try_flock(fd):
            holder = os.pread(fd, 200, 0).decode(errors="replace")
            os.close(fd)
            raise LedgerBusyError(
                f"run {run_id} is being worked on by {holder or 'another process'}",
                hint="wait for it to end, or stop it; then resume",
            )
        if _is_still(path, fd):
            break
        os.close(fd)  # released, and its file removed, between our open and our lock: again
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    try:
        append(lease_note(run_id, "lease.taken")).wait()
    except LedgerError:
        _give_back(path, fd)
        raise
    return Lease(run_id, fd, path, append)


def lease_note(run_id: str, what: str) -> Note:
    """The row that says who took or gave back a lease."""
    who = {"pid": os.getpid(), "host": socket.gethostname()}
    return Note(id=uuid7(), run_id=run_id, type=what, data=who)


def _give_back(path: Path, fd: int) -> None:
    path.unlink(missing_ok=True)
    os.close(fd)


def _is_still(path: Path, fd: int) -> bool:
    try:
        return os.stat(path).st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False
