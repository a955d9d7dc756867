"""A disk whose power can be cut: an SQLite VFS that remembers what was never synced.

Everything is also written through, so the program runs on. ``Disk.cut`` is what a machine could
find after the power came back: all that was synced, and of every later write nothing, all, or its
first sectors, drawn at random (writes may so survive out of order). A file's deletion that was not
synced may be undone. The ledger's own writer runs on it, with its own pragmas: ``on_disk`` puts it
under the module ``sqlite3`` as the ledger sees it.

What it does not model: a sector half written (SQLite's checksums are by page), a disk that lies
about syncs, several connections (a VFS in Python has no shared memory, so locking is exclusive).
"""

from __future__ import annotations

import sqlite3
import types
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw

from agentroute.ledger import connect

SECTOR = 512


class Disk:
    """Files as they were last synced, and what was done to them since, in order.

    ``before(n, op)`` is called before the ``n``-th change (write, truncate, sync, delete), from
    the thread that makes it; what it raises is the answer of the disk.
    """

    def __init__(self, before=lambda n, op: None) -> None:
        self.synced: dict[str, bytearray | None] = {}
        self.pending: list[tuple] = []
        self.before, self.n = before, 0

    def act(self, op, path, *what) -> None:
        self.n += 1
        self.before(self.n, op)
        if op == "sync":
            self._settle(path)
        else:
            self.pending.append((op, path, *what))

    def sync_folder(self) -> None:
        """Deletions so far are for good."""
        self.pending = [(*one[:2], True) if one[0] == "delete" else one for one in self.pending]

    def _settle(self, path) -> None:
        for one in self.pending:
            if one[1] == path:
                _apply(self.synced, one)
        self.pending = [one for one in self.pending if one[1] != path]

    def cut(self, rng) -> dict[str, bytes]:
        """File name to content, after the power was cut now."""
        files = {p: None if b is None else bytearray(b) for p, b in self.synced.items()}
        for one in self.pending:
            if one[0] == "delete" and one[2]:  # synced with its folder
                _apply(files, one)
                continue
            fate = rng.integers(3)
            if fate == 0:
                continue
            if fate == 1 and one[0] == "write":
                sectors = -(-len(one[3]) // SECTOR)
                one = (*one[:3], one[3][: SECTOR * int(rng.integers(sectors + 1))])
            _apply(files, one)
        return {Path(p).name: bytes(b) for p, b in files.items() if b is not None}


def _apply(files, one) -> None:
    op, path, *what = one
    if op == "delete":
        files[path] = None
        return
    data = files.get(path)
    if data is None:
        data = files[path] = bytearray()
    if op == "truncate":
        del data[what[0] :]
    else:
        offset, new = what
        data.extend(bytes(max(0, offset - len(data))))
        data[offset : offset + len(new)] = new


class _File(apsw.VFSFile):
    def __init__(self, disk, name, flags) -> None:
        self._disk = disk
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else name
        # SQLite's VFS for Unix syncs the folder with the first sync of a journal or WAL it made.
        journals = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL
        self._new = bool(flags[0] & journals and flags[0] & apsw.SQLITE_OPEN_CREATE)
        super().__init__("", name, flags)

    def xWrite(self, data, offset):
        self._disk.act("write", self._path, offset, bytes(data))
        super().xWrite(data, offset)

    def xTruncate(self, size):
        self._disk.act("truncate", self._path, size)
        super().xTruncate(size)

    def xSync(self, flags):
        self._disk.act("sync", self._path)
        super().xSync(flags)
        if self._new:
            self._new = False
            self._disk.sync_folder()


class _Vfs(apsw.VFS):
    def __init__(self, disk) -> None:
        self.disk, self.name = disk, f"powercut-{id(self)}"
        super().__init__(self.name, base="")

    def xOpen(self, name, flags):
        return _File(self.disk, name, flags)

    def xDelete(self, name, syncdir):
        self.disk.act("delete", name, bool(syncdir))
        super().xDelete(name, syncdir)


class Connection:
    """As much of ``sqlite3.Connection`` as the writer asks for, over the disk."""

    def __init__(self, path, disk, change=lambda sql: sql) -> None:
        self._vfs, self._change = _Vfs(disk), change
        self._con = apsw.Connection(str(path), vfs=self._vfs.name)
        self._con.execute("PRAGMA locking_mode = EXCLUSIVE")

    def execute(self, sql, values=()):
        with _errors():
            rows = list(self._con.execute(self._change(sql), tuple(values)))
        return _Rows(rows, self._con.changes())

    def executemany(self, sql, many):
        with _errors():
            self._con.executemany(sql, many)

    @property
    def in_transaction(self) -> bool:
        return self._con.in_transaction

    def close(self) -> None:
        with suppress(apsw.Error):  # as ``sqlite3`` does: what cannot be moved stays in the WAL
            self._con.close()
        self._vfs.unregister()


class _Rows(list):
    def __init__(self, rows, rowcount) -> None:
        super().__init__(rows)
        self.rowcount = rowcount
        self._left = iter(rows)

    def fetchone(self):
        return next(self._left, None)

    def fetchall(self):
        return list(self._left)


@contextmanager
def _errors():
    """Errors under the names that ``sqlite3`` gives them."""
    try:
        yield
    except apsw.ConstraintError as e:
        raise sqlite3.IntegrityError(str(e)) from e
    except apsw.Error as e:
        raise sqlite3.OperationalError(str(e)) from e


def on_disk(monkeypatch, disk, change=lambda sql: sql) -> None:
    """Let writers that are opened from now on write to ``disk``; ``change`` rewrites their SQL."""

    def open_there(path, **_):
        return Connection(path, disk, change)

    there = types.SimpleNamespace(**{**vars(sqlite3), "connect": open_there})
    monkeypatch.setattr(connect, "sqlite3", there)
