"""Somebody with the file and a text editor for SQLite: what an anchor finds, wherever it was done.

Each forgery drops the triggers, changes the file at one place and puts the triggers back. Edit,
delete, insert, swap and duplicate are found without an anchor too, or leave a shorter chain that
is whole; truncating and writing the chain anew leave one that only an anchor can tell.
"""

from __future__ import annotations

import shutil
import sqlite3

import numpy as np
import pytest
from typer.testing import CliRunner

from agentroute.cli.app import app
from agentroute.ledger import Ledger
from agentroute.ledger.chain import GENESIS, TABLES, link
from agentroute.model.events import Note
from agentroute.model.outcomes import Feedback, Outcome
from tests.ledger.sample import cardset, record

DECISIONS = 100
ROWS = 4 * DECISIONS
PLACES = 200


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A ledger, and the file that `ledger anchor --out` made of it."""
    folder = tmp_path_factory.mktemp("forgery")
    cards = cardset()
    with Ledger.open(f"{folder}/a.db") as led:
        for i in range(DECISIONS):
            led.append(record(i, cards=cards))
            led.append(Outcome(decision_id=f"r1-d{i}", agent="agent-001", cost_usd=0.1 * i))
            led.append(Feedback(id=f"f{i}", target="decision", target_id=f"r1-d{i}", score=0.5))
            ticket = led.append(Note(id=f"n{i}", run_id="r1", type="x", data={"i": i}))
        assert ticket.wait(30) == ROWS
    verify(folder / "a.db", "anchor", "--out", str(folder / "anchor"))
    return folder / "a.db", folder / "anchor"


def verify(db, command="verify", *args):
    return CliRunner().invoke(app, ["ledger", command, "--db", f"sqlite:///{db}", *args])


def all_rows(con):
    found = [
        (seq, table, body, prev, digest)
        for table in TABLES
        for seq, body, prev, digest in con.execute(f"SELECT seq, body, prev, hash FROM {table}")
    ]
    return sorted(found)


def table_of(con, seq):
    return next(
        t for t in TABLES if con.execute(f"SELECT 1 FROM {t} WHERE seq = ?", (seq,)).fetchone()
    )


def columns(con, table):
    return [c[1] for c in con.execute(f"PRAGMA table_info({table})")]


def edit(con, seq, rng):
    """One byte of a body."""
    table = table_of(con, seq)
    (body,) = con.execute(f"SELECT body FROM {table} WHERE seq = ?", (seq,)).fetchone()
    at = int(rng.integers(len(body)))
    changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
    con.execute(f"UPDATE {table} SET body = ? WHERE seq = ?", (changed, seq))


def delete(con, seq, rng):
    """A row gone, the later ones moved up, and their prev and hash left as they were."""
    con.execute(f"DELETE FROM {table_of(con, seq)} WHERE seq = ?", (seq,))
    if rng.random() < 0.5:
        for table in TABLES:  # from below up: no two rows share a seq on the way
            con.execute(f"UPDATE {table} SET seq = -seq WHERE seq > ?", (seq,))
            con.execute(f"UPDATE {table} SET seq = -seq - 1 WHERE seq < 0")


def insert(con, seq, rng):
    """A new note in the middle, chained to the row before it; the later ones moved down."""
    for table in TABLES:
        con.execute(f"UPDATE {table} SET seq = -seq WHERE seq >= ?", (seq,))
        con.execute(f"UPDATE {table} SET seq = 1 - seq WHERE seq < 0")
    before = [r for r in all_rows(con) if r[0] < seq]
    prev = before[-1][4] if before else GENESIS
    body = b'{"at":"2026-01-01T00:00:00+00:00","data":{},"id":"new","run_id":"r1","type":"x"}'
    con.execute(
        "INSERT INTO events (seq, id, run_id, type, at, body, prev, hash) VALUES (?,?,?,?,?,?,?,?)",
        (seq, "new", "r1", "x", "2026-01-01T00:00:00+00:00", body, prev,
         link(prev, "events", seq, body)),
    )  # fmt: skip


def swap(con, seq, rng):
    """Two rows of one table change places."""
    table = table_of(con, seq)
    others = [s for (s,) in con.execute(f"SELECT seq FROM {table} WHERE seq != ?", (seq,))]
    other = int(rng.choice(others))
    for a, b in ((seq, -1), (other, seq), (-1, other)):
        con.execute(f"UPDATE {table} SET seq = ? WHERE seq = ?", (b, a))


def duplicate(con, seq, rng):
    """A row once more at the end, under another id where ids are unique, chained by the rules."""
    table = "events" if table_of(con, seq) != "feedback" else "feedback"
    names = columns(con, table)
    row = dict(zip(names, con.execute(
        f"SELECT * FROM {table} WHERE seq <= ? ORDER BY seq DESC LIMIT 1", (max(seq, 4),)
    ).fetchone(), strict=True))  # fmt: skip
    last, _, _, _, prev = all_rows(con)[-1]
    again = last + 1
    row |= {"seq": again, "id": f"{row['id']}-again", "prev": prev}
    row["hash"] = link(prev, table, again, row["body"])
    marks = ", ".join("?" * len(row))
    con.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))


def truncate(con, seq, rng):
    """The end cut off from a row on."""
    for table in TABLES:
        con.execute(f"DELETE FROM {table} WHERE seq >= ?", (seq,))


def restamp(con, seq, rng):
    """One row's time forged, and the chain written anew from there: whole, and another history."""
    rows = all_rows(con)
    prev = rows[seq - 2][4] if seq > 1 else GENESIS
    for s, table, body, _, _ in rows[seq - 1 :]:
        body = body.replace(b"+00:00", b"+00:01", 1) if s == seq else body
        at = body.split(b'"at":"')[1].split(b'"')[0].decode()
        digest = link(prev, table, s, body)
        con.execute(
            f"UPDATE {table} SET body = ?, at = ?, prev = ?, hash = ? WHERE seq = ?",
            (body, at, prev, digest, s),
        )
        prev = digest


ALONE = (truncate, restamp)  # what only an anchor finds
FORGERIES = (edit, delete, insert, swap, duplicate, *ALONE)


def forged(written, target, forge, seq, rng):
    shutil.copy(written, target)
    con = sqlite3.connect(target, isolation_level=None)
    triggers = con.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    con.execute("PRAGMA synchronous = OFF")
    con.execute("BEGIN")
    for name, _ in triggers:
        con.execute(f"DROP TRIGGER {name}")
    forge(con, seq, rng)
    for _, sql in triggers:
        con.execute(sql)
    con.execute("COMMIT")
    con.close()


def undetected(written, folder, forge, places, seed):
    """At how many of so many random places ``verify --anchor FILE`` says that all is well."""
    db, anchor = written
    rng = np.random.default_rng([seed, FORGERIES.index(forge)])
    missed = []
    for _ in range(places):
        seq = int(rng.integers(1, ROWS + 1))
        forged(db, folder / "b.db", forge, seq, rng)
        found = verify(folder / "b.db", "verify", "--anchor", str(anchor))
        if found.exit_code != 4 or "NOT as it was written" not in found.stdout:
            missed.append((seq, found.output))
    return missed


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda f: f.__name__)
def test_an_anchor_in_a_file_finds_it(written, tmp_path, forge):
    assert undetected(written, tmp_path, forge, 6, seed=1) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("forge", FORGERIES, ids=lambda f: f.__name__)
def test_an_anchor_in_a_file_finds_it_at_two_hundred_places(written, tmp_path, forge, seed):
    assert undetected(written, tmp_path, forge, PLACES, seed=seed) == []


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda f: f.__name__)
def test_without_an_anchor_it_says_what_cannot_be_excluded(written, tmp_path, forge):
    forged(written[0], tmp_path / "b.db", forge, 201, np.random.default_rng(5))
    found = verify(tmp_path / "b.db")
    if forge in ALONE:
        assert found.exit_code == 0
        assert "it cannot be excluded that the last rows were cut off" in found.stdout
        assert "or that everything was written anew" in found.stdout
    else:
        assert found.exit_code == 4


def test_the_untouched_file_is_sound_by_the_file_and_by_the_line(written):
    db, anchor = written
    for given in (str(anchor), anchor.read_text().strip()):
        found = verify(db, "verify", "--anchor", given)
        assert found.exit_code == 0 and "cannot be excluded" not in found.stdout
        assert f"{ROWS} rows in " in found.stdout and " a second" in found.stdout


def test_rows_after_the_anchor_are_said_to_be_without_one(written, tmp_path):
    db, anchor = written
    shutil.copy(db, tmp_path / "b.db")
    with Ledger.open(f"{tmp_path}/b.db") as led:
        led.append(Note(id="later", run_id="r1", type="x")).wait(5)
    found = verify(tmp_path / "b.db", "verify", "--anchor", str(anchor))
    assert found.exit_code == 0
    assert "the 1 rows after the anchor are known by no anchor" in found.stdout
