"""A page of rows at a time, column by column: the same questions as ``check_row``, asked at once.

A page is read table by table, and each of its columns is compared as a whole. This says only
whether all is well; where it is not, the rows of the page are looked at one by one, which finds the
first bad one and names it. Whatever ``check_row`` refuses is refused here too (a test bends rows
in every way that the other tests know, and compares the two).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import repeat
from operator import itemgetter
from typing import Any

import orjson

from agentroute.ledger.chain import NAMED, TABLES
from agentroute.ledger.rows.entries import COLUMNS, stated_columns
from agentroute.ledger.verifying.row import Stored, references

PAGE = 500  # rows; what is read stays in the processor's cache until it is checked
Page = dict[str, list[Stored]]
Link = tuple[int, bytes, bytes]  # seq, prev, hash
Reference = tuple[int, str, str]  # seq, sha, kind
_FIRST = itemgetter(0)
_LINK = itemgetter(0, 2, 3)
_LOWEST = " UNION ALL ".join(
    f"SELECT * FROM (SELECT seq FROM {t} ORDER BY seq LIMIT 1)" for t in TABLES
)


def pages(con: sqlite3.Connection, last: int) -> Iterator[Page]:
    """All rows, a page at a time; from below 1 to the end: nothing may hide outside of 1..last."""
    low = min((r[0] for r in con.execute(_LOWEST)), default=1)
    for start in range(min(low, 1) - 1, last, PAGE):
        span = (start, start + PAGE)
        yield {t: con.execute(_SQL[t], span).fetchall() for t in TABLES}


def in_order(page: Page) -> list[tuple[str, Stored]]:
    """The rows of a page, each with its table, as the chain has them."""
    rows = [pair for table, found in page.items() for pair in zip(repeat(table), found)]
    rows.sort(key=lambda pair: pair[1][0])
    return rows


def sound(page: Page, seq: int, prev: bytes) -> tuple[list[Link], list[Reference]] | None:
    """The links and references of a page that follows row ``seq``, whose hash is ``prev``.

    None where anything is not as it was written: then look row by row.
    """
    links = sorted((_LINK(row) for found in page.values() for row in found), key=_FIRST)
    if not links:
        return [], []
    seqs, before, after = zip(*links, strict=True)
    follows = before == (prev, *after[:-1])
    if not (follows and seqs == tuple(range(seq + 1, seq + 1 + len(links)))):
        return None
    needed: list[Reference] = []
    for table, rows in page.items():
        if rows:
            try:
                bodies = _bodies(table, rows)
                if bodies is None:
                    return None
                for row, body in zip(rows, bodies, strict=True):
                    needed += [(row[0], sha, kind) for sha, kind in references(table, body)]
            except (ValueError, KeyError, TypeError, AttributeError):
                return None
    return links, needed


def _bodies(table: str, rows: Sequence[Stored]) -> list[dict[str, Any]] | None:
    """The bodies of one table's rows; None where a hash, a column or an array is another."""
    seqs, raws, before, after, packed, *stored = zip(*rows, strict=True)
    if {*map(type, raws), *map(type, before), *map(type, after)} != {bytes}:
        return None
    name = NAMED[table]
    whole = [
        b"".join((p, name, s.to_bytes(8, "big"), r))
        for p, s, r in zip(before, seqs, raws, strict=True)
    ]
    if tuple(sha256(w).digest() for w in whole) != after:
        return None
    bodies = list(map(orjson.loads, raws))
    arrays = [body.get("packed_sha256") for body in bodies]
    if arrays != [p if p is None else sha256(p).hexdigest() for p in packed]:
        return None
    return bodies if stated_columns(table, bodies) == stored else None


_SQL = {
    t: f"SELECT seq, body, prev, hash, {'packed' if t == 'decisions' else 'NULL'}, "
    f"{', '.join(COLUMNS[t])} FROM {t} WHERE seq > ? AND seq <= ?"
    for t in TABLES
}
