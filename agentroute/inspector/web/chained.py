"""One row of the chain: what it says, and whether it is what was written."""

from __future__ import annotations

from dataclasses import dataclass

from agentroute.ledger import Ledger
from agentroute.ledger.chain import GENESIS, TABLES, link

_ROW = " UNION ALL ".join(
    f"SELECT '{t}', at, body, prev, hash FROM {t} WHERE seq = ?1" for t in TABLES
)


@dataclass(frozen=True, slots=True)
class Link:
    """A row, and what its own hash and the one before it say."""

    ok: bool
    words: str
    table: str = ""
    at: str = ""
    body: bytes = b""
    hash: str = ""


def sealed(ledger: Ledger, seq: int) -> Link:
    """Check one row: its body against its hash, and that it follows the row before it.

    This says nothing of the rows around it, of arrays and of texts: ``verify`` does.
    """
    rows = ledger.query(_ROW, (seq,))
    if len(rows) != 1:
        return Link(False, "it is not there" if not rows else "it is there twice")
    table, at, body, prev, digest = rows[0]
    before = GENESIS.hex() if seq == 1 else ledger.hash_at(seq - 1)
    words = "its body and its place in the chain are as they were written"
    if link(prev, table, seq, body) != digest:
        words = "its body is NOT what was written"
    elif prev.hex() != before:
        words = "it does NOT follow the row before it"
    return Link("NOT" not in words, words, table, at, body, digest.hex())
