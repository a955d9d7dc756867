from __future__ import annotations

import sqlite3

from sqlalchemy import create_engine

from agentroute.ledger.tables import Table


def schema(con):
    out = {}
    names = [r[0] for r in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for t in names:
        cols = {
            (c[1], c[2].replace("VARCHAR", "TEXT"), bool(c[3]), bool(c[5]))
            for c in con.execute(f"PRAGMA table_info({t})")
        }
        indexes = {
            (i[1], bool(i[2]), tuple(c[2] for c in con.execute(f"PRAGMA index_info({i[1]})")))
            for i in con.execute(f"PRAGMA index_list({t})")
            if i[3] == "c"
        }
        out[t] = (cols, indexes)
    return out


def test_the_typed_tables_are_the_migrated_schema(ledger, tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/typed.db")
    Table.metadata.create_all(engine)
    engine.dispose()
    typed, made = sqlite3.connect(tmp_path / "typed.db"), sqlite3.connect(ledger.path)
    ours, theirs = schema(typed), schema(made)
    typed.close(), made.close()
    # an INTEGER PRIMARY KEY is never NULL in SQLite, whether it says so or not
    for s in (ours, theirs):
        for t, (cols, idx) in s.items():
            s[t] = ({c if not c[3] else (c[0], c[1], True, True) for c in cols}, idx)
    assert ours == theirs
