"""Old texts and artefacts are erased; every row, hash and embedding stays.

A content goes where each row that names it is older than the limit and none of them is of a run
that has not ended: a waiting run still needs its plan. One that no row names has no age, and stays.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import orjson

from agentroute.errors import LedgerError
from agentroute.ledger.connect import FileLock, in_our_words, open_writer
from agentroute.ledger.ledger import Ledger

_NAMES = re.compile(rb"[0-9a-f]{64}")
_GROUP = 500  # erasures that wait for one another: a queue of all would fill the memory
_STORED = (
    "SELECT sha256, length(body) FROM blobs WHERE body IS NOT NULL AND kind IN ('text', 'artefact')"
)
_OPEN = (
    "SELECT DISTINCT run_id FROM events WHERE type = 'run.started' AND run_id NOT IN"
    " (SELECT run_id FROM events WHERE type = 'run.finished')"
)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was erased, or would be."""

    contents: int
    """Texts and artefacts."""
    bytes: int
    """Of them."""
    kept: int
    """Contents that stay."""
    of_open_runs: int
    """Of these, old ones that a run which has not ended still needs."""


def prune(
    ledger: Ledger, *, before: str, reason: str, dry_run: bool = False, wait_s: float = 60.0
) -> Pruned:
    """Erase the contents that only rows before a time name; each is a recorded event.

    ``before`` is ISO 8601 in UTC, as rows have it. With ``dry_run`` nothing is erased.

    Raises:
        LedgerError: an erasure could not be recorded.
    """
    sizes = {sha: int(n) for sha, n in ledger.query(_STORED)}
    last, needed = _last_named(ledger, sizes)
    old = [sha for sha, at in last.items() if at < before]
    gone = [sha for sha in old if sha not in needed]
    for start in range(0, 0 if dry_run else len(gone), _GROUP):
        tickets = [ledger.erase(sha, reason=reason) for sha in gone[start : start + _GROUP]]
        for ticket in tickets:
            ticket.wait(wait_s)
    return Pruned(
        contents=len(gone),
        bytes=sum(sizes[sha] for sha in gone),
        kept=len(sizes) - len(gone),
        of_open_runs=len(old) - len(gone),
    )


def shrink(path: Path, *, wait_s: float = 5.0) -> int:
    """Give the room of what was erased back to the disk; how many bytes. Rows stay as they are.

    Raises:
        LedgerError: the disk has no room for the copy that this takes.
        LedgerBusyError: another process works with the ledger.
    """
    before = path.stat().st_size
    try:
        with (
            closing(FileLock(path.with_name(path.name + ".lock"), wait_s)) as lock,
            closing(open_writer(path, wait_s)) as con,
            lock.held(),
        ):
            con.execute("VACUUM")
            con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except (sqlite3.Error, OSError) as e:
        raise in_our_words(e, path) from e
    return max(0, before - path.stat().st_size)


def _last_named(ledger: Ledger, stored: dict[str, int]) -> tuple[dict[str, str], set[str]]:
    """Of each stored content the time of the last row that names it; and what open runs name."""
    still = {run_id for (run_id,) in ledger.query(_OPEN)}
    open_decisions: set[str] = set()
    last: dict[str, str] = {}
    needed: set[str] = set()
    for _, table, body in ledger.raw():
        names = {m.decode() for m in _NAMES.findall(body)} & stored.keys()
        if not names and table != "decisions":
            continue
        row = orjson.loads(body)
        if not isinstance(row, dict):
            raise LedgerError("a row is not readable", hint="run: agentroute ledger verify")
        is_open = row.get("run_id") in still or row.get("decision_id") in open_decisions
        if is_open and table == "decisions":
            open_decisions.add(row["id"])
        for sha in names:
            last[sha] = max(last.get(sha, ""), row["at"])
        if is_open:
            needed |= names
    return last, needed
