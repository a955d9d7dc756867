"""Opening the file: URLs, the pragmas, the lock between processes, and errors in our words."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from agentroute.config.paths import database_file
from agentroute.errors import LedgerBusyError, LedgerError
from agentroute.ledger.migrations import schema_version

_POLL_S = 0.005
PAGE = 8_192  # bytes: a row among 100 agents has its arrays on one page more, not on two
CACHE_KB = 16_000  # a group of a thousand such rows is not written before its commit
CHECKPOINT_PAGES = 8_000  # 64 MB: a checkpoint costs a commit two syncs more
CLOSING_MS = 200
_FORK_WAIT_S = 5.0


class OfOneProcess:
    """Connections to a database, which a fork copies and must not use (SQLite's own rule).

    No fork happens in the middle of a ``busy`` block. In the child ``forked`` is true, ``busy`` is
    free, and the connections live on unused: closing them would let go of the parent's locks.
    """

    _all: ClassVar[weakref.WeakSet[OfOneProcess]] = weakref.WeakSet()
    _inherited: ClassVar[list[OfOneProcess]] = []
    _held: ClassVar[list[threading.Lock]] = []

    def __init__(self) -> None:
        self.forked = False
        self.busy = threading.Lock()
        self._all.add(self)

    def refuse_a_fork(self) -> None:
        """Raise ``LedgerError`` in a child of the process that opened it."""
        if self.forked:
            raise LedgerError(
                "the ledger was opened before this process was forked",
                hint="open it, or the Orchestrator, in each process after the fork",
            )

    def in_the_child(self) -> None:
        """What else a child must do at once."""

    @classmethod
    def _before(cls) -> None:
        cls._held = [o.busy for o in list(cls._all) if o.busy.acquire(timeout=_FORK_WAIT_S)]

    @classmethod
    def _in_parent(cls) -> None:
        while cls._held:
            cls._held.pop().release()

    @classmethod
    def _in_child(cls) -> None:
        for one in list(cls._all):
            one.busy, one.forked = threading.Lock(), True
            cls._inherited.append(one)
            one.in_the_child()


os.register_at_fork(
    before=OfOneProcess._before,
    after_in_parent=OfOneProcess._in_parent,
    after_in_child=OfOneProcess._in_child,
)


def ledger_path(url: str) -> Path:
    """The file of a ledger's URL, absolute.

    Raises:
        LedgerError: see ``database_file``; or a folder that is not there.
    """
    path = database_file(url).absolute()
    try:
        if not path.parent.is_dir():
            raise LedgerError(
                f"the folder {path.parent} does not exist", hint=f"mkdir -p {path.parent}"
            )
        if path.is_dir():
            raise LedgerError(f"{path} is a folder", hint="name a file in it")
    except OSError as e:  # a name that no file can have
        raise LedgerError(f"{path.name[:60]}: {e.strerror or e}", hint="check the path") from None
    return path


def open_writer(path: Path, wait_s: float) -> sqlite3.Connection:
    """A connection that commits durably (WAL, FULL) and overwrites what is erased.

    Raises:
        LedgerError: there is another database in the file, or a newer ledger; it is not changed.
    """
    con = sqlite3.connect(path, timeout=wait_s, isolation_level=None, check_same_thread=False)
    try:
        schema_version(con)  # first of all: the mode is written into the file
        con.execute(f"PRAGMA page_size = {PAGE}")  # of a new file; others stay as they are
        con.execute("PRAGMA journal_mode = WAL")
        con.execute("PRAGMA synchronous = FULL")
        con.execute("PRAGMA secure_delete = ON")
        con.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        con.execute(f"PRAGMA cache_size = -{CACHE_KB}")
    except (LedgerError, sqlite3.Error):
        con.close()
        raise
    return con


def checkpoint(con: sqlite3.Connection) -> None:
    """Move all of the WAL into the file, so that the file alone is whole.

    A reader of another process may be in the way: it is waited for a little, and then left to
    whoever closes last.
    """
    con.execute(f"PRAGMA busy_timeout = {CLOSING_MS}")
    con.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def open_reader(path: Path, wait_s: float) -> sqlite3.Connection:
    """A connection that cannot write and never checkpoints."""
    uri = f"file:{quote(str(path))}?mode=ro"
    if not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists():
        uri += "&immutable=1"  # WAL needs a shared-memory file, which cannot be made here
    con = sqlite3.connect(
        uri, uri=True, timeout=wait_s, isolation_level=None, check_same_thread=False
    )
    con.execute("PRAGMA query_only = ON")
    con.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)  # a query opens, and makes, no other file
    con.execute("PRAGMA wal_autocheckpoint = 0")
    return con


class FileLock:
    """An advisory lock beside the database, held for one group commit at a time.

    SQLite before 3.51.3 can corrupt a WAL that two connections reset at once; under this lock only
    one writer commits or checkpoints. ``flock`` ends with its process, however that ends.
    """

    def __init__(self, path: Path, wait_s: float) -> None:
        self.path, self.wait_s = path, wait_s
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            LedgerBusyError: another process kept it for ``wait_s`` seconds.
        """
        self._acquire()
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _acquire(self) -> None:
        deadline = time.monotonic() + self.wait_s
        while not try_flock(self._fd):
            if time.monotonic() >= deadline:
                raise LedgerBusyError(
                    f"another process has held {self.path.name} for {self.wait_s:g} s",
                    hint="wait for it, or give the other process a ledger of its own",
                )
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


def try_flock(fd: int) -> bool:
    """Take an exclusive ``flock`` on ``fd`` if nobody has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


_SPACE = "free some space on the disk; nothing of this batch was recorded"
_RIGHTS = "the file or its folder is read-only"
_HINTS = (
    ("full", _SPACE),
    ("No space left", _SPACE),
    ("I/O", "check the disk, then run: agentroute ledger verify"),
    ("readonly", _RIGHTS),
    ("Permission denied", _RIGHTS),
    ("Read-only file system", _RIGHTS),
    ("unable to open", "check the path and its permissions"),
    ("not a database", "choose another file with --db"),
    ("malformed", "it is damaged or cut short: restore what agentroute ledger backup made"),
)


def in_our_words(error: Exception, path: Path) -> LedgerError:
    """A database or file error as a ``LedgerError`` with a hint."""
    if isinstance(error, LedgerError):
        return error
    text = str(error)
    if "locked" in text or "busy" in text:
        return LedgerBusyError(f"{path.name}: {text}", hint="another process is writing to it")
    hint = next((h for mark, h in _HINTS if mark in text), "")
    return LedgerError(f"{path.name}: {text}", hint=hint)
