"""Vectors that were paid for, by the SHA-256 of their text. The text itself is not kept."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from agentroute.model.arrays import F32

log = logging.getLogger(__name__)

MOST_IN_MEMORY = 4_096


class VectorCache:
    """A file (None: memory alone) from the hash of a text to its vector of ``dim`` float32.

    A file that cannot be read or written is said once in the log, and done without: what is in
    here can always be asked again. May be used from several threads and processes.
    """

    def __init__(self, file: Path | None, dim: int) -> None:
        self.dim, self._file = dim, file
        self._memory: dict[str, F32] = {}
        self._lock = threading.Lock()

    def get(self, keys: Sequence[str]) -> dict[str, F32]:
        """The vectors that are there."""
        with self._lock:
            found = {k: self._memory[k] for k in keys if k in self._memory}
            missing = [k for k in dict.fromkeys(keys) if k not in found]
            if missing:
                found |= self._read(missing)
            return found

    def put(self, vectors: Mapping[str, F32]) -> None:
        """Keep them."""
        with self._lock:
            self._remember(vectors)
            rows = [(k, np.asarray(v, "<f4").tobytes()) for k, v in vectors.items()]
            self._with_file(lambda db: db.executemany(_PUT, rows))

    def _read(self, keys: Sequence[str]) -> dict[str, F32]:
        found: dict[str, F32] = {}

        def read(db: sqlite3.Connection) -> None:
            for key in keys:
                row = db.execute("SELECT vector FROM vectors WHERE text = ?", (key,)).fetchone()
                if row and isinstance(row[0], bytes) and len(row[0]) == 4 * self.dim:
                    found[key] = np.frombuffer(row[0], "<f4").astype(np.float32)

        self._with_file(read)
        self._remember(found)
        return found

    def _remember(self, vectors: Mapping[str, F32]) -> None:
        self._memory |= vectors
        while len(self._memory) > MOST_IN_MEMORY:
            del self._memory[next(iter(self._memory))]

    def _with_file(self, work: Callable[[sqlite3.Connection], object]) -> None:
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._file, timeout=5.0)) as db, db:
                db.execute(_TABLE)
                work(db)
        except (OSError, sqlite3.Error) as e:
            log.warning("the vectors in %s are done without: %s", self._file, e)
            self._file = None


_TABLE = "CREATE TABLE IF NOT EXISTS vectors (text TEXT PRIMARY KEY, vector BLOB) WITHOUT ROWID"
_PUT = "INSERT OR REPLACE INTO vectors VALUES (?, ?)"
