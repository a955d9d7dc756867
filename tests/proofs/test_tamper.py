"""Seven ways to bend a ledger, at 200 random places each: all are found with an anchor."""

from __future__ import annotations

import shutil
import sqlite3

import numpy as np
import pytest

from agentroute.ledger import Anchor, Ledger
from agentroute.ledger.chain import TABLES, link
from agentroute.ledger.verify import UNANCHORED, _report
from agentroute.model.events import Note
from tests.ledger.sample import fill_mixed
from tests.ledger.test_verify import (
    WITHOUT_TRIGGERS,
    delete,
    duplicate,
    edit,
    restamp,
    swap,
    table_of,
    truncate,
)

N = 60


def insert(con, seq):
    """A row that follows the one before, and every later row one place on, not hashed anew."""
    prev, body = con.execute(
        f"SELECT hash, body FROM {table_of(con, seq - 1)} WHERE seq = ?", (seq - 1,)
    ).fetchone()
    for table in TABLES:
        con.execute(f"UPDATE {table} SET seq = -seq - 1 WHERE seq >= ?", (seq,))
        con.execute(f"UPDATE {table} SET seq = -seq WHERE seq < 0")
    con.execute(
        "INSERT INTO events SELECT ?, 'new', run_id, type, at, ?, ?, ? FROM events LIMIT 1",
        (seq, body, prev, link(prev, "events", seq, body)),
    )


@pytest.fixture(scope="module")
def ledger_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("tamper") / "a.db"
    with Ledger.open(str(path)) as led:
        fill_mixed(led, N // 4)
        led.append(Note(id="last", type="x")).wait(5)
        return path, led.anchor()


WAYS = {w.__name__: w for w in (edit, delete, insert, swap, duplicate, truncate, restamp)}


@pytest.mark.parametrize("how", WAYS)
def test_every_way_to_bend_a_ledger_is_found_at_200_places(ledger_file, tmp_path, how, faults):
    """Each in a transaction of its own that is undone; the triggers are off, then on again."""
    path, anchor = tmp_path / "b.db", ledger_file[1]
    shutil.copy(ledger_file[0], path)
    con = sqlite3.connect(path, isolation_level=None)
    triggers = con.execute(WITHOUT_TRIGGERS).fetchall()
    rng = np.random.default_rng([7, *how.encode()])
    for seq in rng.integers(2, N, 200).tolist():
        con.execute("BEGIN")
        for name, _ in triggers:
            con.execute(f"DROP TRIGGER {name}")
        WAYS[how](con, seq)
        for _, made in triggers:
            con.execute(made)
        plain, anchored = _report(con, None), _report(con, anchor)
        con.execute("ROLLBACK")
        faults.injected += 1
        faults.undetected += anchored.ok
        if how in ("truncate", "restamp"):  # a whole history: only what is kept elsewhere tells
            assert plain.ok and UNANCHORED in plain.words()
        else:
            faults.undetected += plain.ok
    assert _report(con, anchor).ok
    con.close()


@pytest.mark.bench
def test_verify_reads_a_hundred_thousand_rows_a_second(tmp_path):
    """On a machine that does nothing else; the best of three."""
    from time import perf_counter

    with Ledger.open(f"{tmp_path}/a.db") as led:
        tickets = [led.append(Note(id=f"n{i}", run_id="r", type="x")) for i in range(50_000)]
        tickets[-1].wait(60)
        took = []
        for _ in range(3):
            began = perf_counter()
            assert led.verify(Anchor.parse(str(led.anchor()))).ok
            took.append(perf_counter() - began)
    assert 50_000 / min(took) >= 100_000
