"""A copy of a ledger in use: a consistent prefix, whole or not there at all."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from agentroute.errors import LedgerError
from agentroute.ledger.chain import Anchor
from agentroute.ledger.connect import in_our_words
from agentroute.ledger.insert import head
from agentroute.ledger.reader import Reader


def backup(reader: Reader, target: Path) -> Anchor:
    """Copy all that is committed into a new file; its size and head.

    Raises:
        LedgerError: the target exists, its folder does not, or it cannot be written.
    """
    if target.exists():
        raise LedgerError(f"{target} exists already", hint="name a new file")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        anchor = _copy(reader, part)
        part.rename(target)
    except (sqlite3.Error, OSError) as e:
        raise in_our_words(e, target) from e
    finally:
        part.unlink(missing_ok=True)
    return anchor


def _copy(reader: Reader, part: Path) -> Anchor:
    copy = sqlite3.connect(part, isolation_level=None)
    try:
        with reader.connection() as con:
            con.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, nothing beside it
        seq, digest = head(copy)
    finally:
        copy.close()
    fd = os.open(part, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    return Anchor(seq, digest.hex())
