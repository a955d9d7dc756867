"""Is the file still built as the migrations built it? Tables, indexes, triggers, version."""

from __future__ import annotations

import sqlite3
from functools import cache

from agentroute.ledger import migrations

Parts = dict[tuple[str, str], str]  # (type, name) -> SQL, blanks folded


def structure_problem(con: sqlite3.Connection) -> str:
    """What is not as the migrations made it, in words; '' where nothing is."""
    expected, there = _expected(migrations.MIGRATIONS), _parts(con)
    for (kind, name), sql in sorted(expected.items()):
        if (kind, name) not in there:
            why = ", which keeps rows from being changed," if kind == "trigger" else ""
            return f"the {kind} {name}{why} is gone"
        if there[kind, name] != sql:
            return f"the {kind} {name} is not the one that was made"
    version = con.execute("SELECT max(version) FROM schema_version").fetchone()[0]
    if version != migrations.LATEST:
        return f"the schema's version is {version}, not {migrations.LATEST}"
    return ""


@cache
def _expected(_steps: tuple[object, ...]) -> Parts:
    con = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrations.migrate(con)
        return _parts(con)
    finally:
        con.close()


def _parts(con: sqlite3.Connection) -> Parts:
    rows = con.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {(kind, name): " ".join(sql.split()) for kind, name, sql in rows}
