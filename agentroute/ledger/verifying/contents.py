"""Are the texts, artefacts and card sets that rows name still what was written?"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from agentroute.ledger.verifying.report import BadRowError
from agentroute.model.ids import sha256

Refers = dict[str, tuple[int, str]]  # sha -> the first row that needs it, and its kind
_ERASED = "SELECT id FROM events WHERE id >= 'erased:' AND id < 'erased;'"


def check_contents(con: sqlite3.Connection, refers: Mapping[str, tuple[int, str]]) -> int:
    """Contents match their names and kinds, and are there unless erased; how many were erased.

    Raises:
        BadRowError: one does not, and the first row that needs it.
    """
    erased, seen = 0, set[str]()
    gone = {i.removeprefix("erased:") for (i,) in con.execute(_ERASED)}
    for sha, kind, body in con.execute("SELECT sha256, kind, body FROM blobs"):
        seen.add(sha)
        seq, wanted = refers.get(sha, (0, kind))
        if kind != wanted:
            raise BadRowError(seq, f"the content {sha} is marked {kind}, and is a {wanted}")
        if body is None:
            erased += 1
            if sha not in gone:
                raise BadRowError(seq, f"the content {sha} is gone, and no event says why")
        elif sha in gone:
            raise BadRowError(seq, f"the content {sha} was erased, and is there again")
        elif not isinstance(body, bytes) or sha256(body) != sha:
            raise BadRowError(seq, f"the content {sha} was changed")
    for sha in refers.keys() - seen:
        raise BadRowError(refers[sha][0], f"the content {sha} is missing")
    return erased
