"""The hash chain: each row carries the hash of the one before, whatever table it is in.

    hash(seq) = SHA-256( hash(seq - 1) || table || 0x00 || seq (8 bytes, big-endian) || body )

``body`` are the stored bytes (orjson, sorted keys), ``table`` is ASCII, and the first row follows
``GENESIS``. What is not in ``body`` is covered by it: the packed arrays and the content-addressed
blobs by their SHA-256, the indexed columns by being equal to it (``verify`` checks both).

A chain finds what was edited, deleted, inserted, swapped or repeated. It cannot find that the last
rows were cut off or that all was written anew: for that, keep an ``Anchor`` outside the file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from agentroute.errors import UsageError

GENESIS = bytes(32)
TABLES = ("decisions", "outcomes", "feedback", "events")
_NAMED = {table: table.encode("ascii") + b"\x00" for table in TABLES}


def link(prev: bytes, table: str, seq: int, body: bytes) -> bytes:
    """The hash of a row, 32 bytes."""
    whole = b"".join((prev, _NAMED[table], seq.to_bytes(8, "big"), body))
    return hashlib.sha256(whole).digest()


@dataclass(frozen=True, slots=True)
class Anchor:
    """Size and head of a chain at some time, to be kept outside the file: ``<seq>:<hex hash>``."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Anchor:
        """Read ``str(anchor)``.

        Raises:
            UsageError: the text is not ``<seq>:<64 hex digits>``.
        """
        seq, _, digest = text.strip().partition(":")
        hexadecimal = len(digest) == 64 and set(digest) <= set("0123456789abcdef")
        if not (seq.isascii() and seq.isdigit() and hexadecimal):
            raise UsageError(f"'{text}' is not an anchor", hint="expected <seq>:<64 hex digits>")
        return cls(int(seq), digest)
