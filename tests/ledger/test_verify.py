from __future__ import annotations

import shutil
import sqlite3
import threading

import numpy as np
import pytest

from agentroute.errors import LedgerError, LedgerTamperedError, UsageError
from agentroute.ledger import Anchor, Ledger
from agentroute.ledger.chain import GENESIS, TABLES, link
from agentroute.model.events import Note
from agentroute.model.outcomes import Outcome
from tests.ledger.sample import cardset, fill_mixed, record

N = 60


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    path = tmp_path_factory.mktemp("chain") / "a.db"
    with Ledger.open(str(path)) as led:
        fill_mixed(led, N // 4)
        sha = led.put_text("to be forgotten")
        led.append(Note(id="last", type="x")).wait(5)
        led.erase(sha, reason="asked").wait(5)
        return path, led.anchor()


@pytest.fixture
def attack(original, tmp_path):
    """The file, opened by somebody who drops the triggers first and puts them back after."""

    def run(change):
        path = tmp_path / "b.db"
        shutil.copy(original[0], path)
        con = sqlite3.connect(path, isolation_level=None)
        triggers = con.execute(
            "SELECT name, sql FROM sqlite_master WHERE type='trigger'"
        ).fetchall()
        for name, _ in triggers:
            con.execute(f"DROP TRIGGER {name}")
        change(con)
        for _, sql in triggers:
            con.execute(sql)
        con.close()
        with Ledger.open(str(path), read_only=True) as led:
            return led.verify(), led.verify(original[1])

    return run


def table_of(con, seq):
    return next(
        t for t in TABLES if con.execute(f"SELECT 1 FROM {t} WHERE seq=?", (seq,)).fetchone()
    )


def edit(con, seq):
    t = table_of(con, seq)
    con.execute(
        f"UPDATE {t} SET body = CAST(replace(body, '\"', ' \"') AS BLOB) WHERE seq=?", (seq,)
    )


def edit_time(con, seq):
    con.execute(f"UPDATE {table_of(con, seq)} SET at = '2020-01-01' WHERE seq=?", (seq,))


def delete(con, seq):
    con.execute(f"DELETE FROM {table_of(con, seq)} WHERE seq=?", (seq,))


def insert(con, seq):
    con.execute(
        "INSERT INTO events SELECT ? AS seq, 'new' AS id, run_id, type, at, body, prev, hash"
        " FROM events LIMIT 1", (seq,),
    ) if table_of(con, seq) != "events" else edit(con, seq)  # fmt: skip


def swap(con, seq):
    t = table_of(con, seq)
    other = con.execute(
        f"SELECT seq FROM {t} WHERE seq != ? ORDER BY seq LIMIT 1", (seq,)
    ).fetchone()[0]
    for a, b in ((seq, -1), (other, seq), (-1, other)):
        con.execute(f"UPDATE {t} SET seq=? WHERE seq=?", (b, a))


def duplicate(con, seq):
    row = con.execute("SELECT * FROM events LIMIT 1").fetchone()
    last = max(con.execute(f"SELECT max(seq) FROM {t}").fetchone()[0] for t in TABLES)
    marks = ",".join("?" * len(row))
    con.execute(f"INSERT INTO events VALUES ({marks})", (last + 1, f"copy{seq}", *row[2:]))


def rewire(con, seq):
    t = table_of(con, seq)
    con.execute(f"UPDATE {t} SET prev = zeroblob(32) WHERE seq=?", (seq,))


SEQS = np.random.default_rng(0).integers(2, N, 5).tolist()


@pytest.mark.parametrize("how", [edit, edit_time, delete, insert, swap, duplicate, rewire])
def test_every_tampering_is_found_anywhere(attack, how):
    for seq in SEQS:
        plain, anchored = attack(lambda con, seq=seq: how(con, seq))
        assert not plain.ok and not anchored.ok
        if how in (edit, edit_time, delete, insert, rewire):
            assert plain.bad_seq == seq
        with pytest.raises(LedgerTamperedError):
            plain.raise_if_bad()


def restamp(con, seq):
    """Forge one row and write the chain anew from there: consistent, but another history."""
    rows = sorted((*r, t) for t in TABLES for r in con.execute(f"SELECT seq, body, hash FROM {t}"))
    prev = rows[seq - 2][2] if seq > 1 else GENESIS
    for s, body, _, t in rows[seq - 1 :]:
        body = body.replace(b"00:00", b"00:01") if s == seq else body
        at = body.split(b'"at":"')[1].split(b'"')[0].decode()
        digest = link(prev, t, s, body)
        con.execute(
            f"UPDATE {t} SET body=?, at=?, prev=?, hash=? WHERE seq=?", (body, at, prev, digest, s)
        )
        prev = digest


def truncate(con, seq):
    for t in TABLES:
        con.execute(f"DELETE FROM {t} WHERE seq >= ?", (seq,))
    con.execute("UPDATE blobs SET body = CAST('to be forgotten' AS BLOB) WHERE body IS NULL")


@pytest.mark.parametrize("how", [restamp, truncate])
def test_a_new_history_is_found_by_the_anchor_alone(attack, how):
    for seq in SEQS[:4]:
        plain, anchored = attack(lambda con, seq=seq: how(con, seq))
        assert plain.ok and "cannot be excluded" in plain.caveat
        assert not anchored.ok and not anchored.caveat


BEHIND = {
    "column": "UPDATE decisions SET policy = 'other' WHERE seq = 9",
    "packed": "UPDATE decisions SET packed = zeroblob(8) WHERE seq = 9",
    "packed gone": "UPDATE decisions SET packed = NULL WHERE seq = 9",
    "text": "UPDATE blobs SET body = CAST('x' AS BLOB) WHERE kind = 'text'",
    "text gone": "UPDATE blobs SET body = NULL WHERE kind = 'text'",
    "card set": "UPDATE blobs SET body = zeroblob(4) WHERE kind = 'cardset'",
    "blob deleted": "DELETE FROM blobs WHERE kind = 'cardset'",
    "hidden before the first": "UPDATE events SET seq = -seq WHERE seq = 4",
}


@pytest.mark.parametrize("sql", BEHIND.values(), ids=BEHIND.keys())
def test_what_stands_beside_the_body_is_checked_too(attack, sql):
    plain, _ = attack(lambda con: con.execute(sql))
    assert not plain.ok and plain.problem


def test_a_dropped_trigger_is_told(original, tmp_path):
    shutil.copy(original[0], tmp_path / "b.db")
    con = sqlite3.connect(tmp_path / "b.db")
    con.execute("DROP TRIGGER decisions_no_update")
    con.close()
    with Ledger.open(f"{tmp_path}/b.db", read_only=True) as led:
        assert "decisions_no_update" in led.verify().problem


def test_the_untouched_ledger_is_sound(original):
    with Ledger.open(str(original[0]), read_only=True) as led:
        report = led.verify(original[1])
        assert report.ok and report.rows == N + 2 and report.erased == 1
        assert report.head == original[1] == Anchor.parse(str(original[1]))
        assert led.verify(Anchor(0, "0" * 64)).ok
        report.raise_if_bad()
    for wrong in ("", "5", "5:zz", "x:" + "0" * 64, "5:" + "0" * 63):
        with pytest.raises(UsageError):
            Anchor.parse(wrong)


def test_a_backup_while_others_write_is_a_prefix_that_verifies(ledger, tmp_path):
    stop = threading.Event()

    def write(k):
        i = 0
        while not stop.is_set():
            ledger.append(Note(id=f"{k}-{i}", type="x")).wait(5)
            i += 1

    threads = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    ledger.append(record(0)).wait(5)
    anchors = [ledger.backup(tmp_path / f"copy{i}.db") for i in range(3)]
    stop.set()
    for t in threads:
        t.join()
    for i, anchor in enumerate(anchors):
        with Ledger.open(f"{tmp_path}/copy{i}.db", read_only=True) as copy:
            assert copy.verify(anchor).ok and copy.head() == (anchor.seq, anchor.hash)
        assert ledger.hash_at(anchor.seq) == anchor.hash
    assert ledger.verify(anchors[0]).ok
    with pytest.raises(LedgerError, match="exists"):
        ledger.backup(tmp_path / "copy0.db")
    with pytest.raises(LedgerError):
        ledger.backup(tmp_path / "none" / "copy.db")


def run_like(path):
    """A ledger as a run leaves it: plan, reply and answer are texts that rows name."""
    with Ledger.open(str(path)) as led:
        cards = cardset()
        plan, reply, answer = (led.put_text(t) for t in ("a plan", "a reply", "an answer"))
        led.append(Note(id="s", run_id="r1", type="run.started", data={"plan": plan}))
        led.append(record(0, cards=cards))
        led.append(Outcome(decision_id="r1-d0", agent="agent-001", reply=reply))
        led.append(Note(id="f", run_id="r1", type="run.finished", data={"answer": answer}))
        gone = led.put_text("to be forgotten")
        led.append(Note(id="x", type="x")).wait(5)
        led.erase(gone, reason="asked").wait(5)
        assert led.verify().ok


WITHOUT_TRIGGERS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("DELETE FROM blobs WHERE body = CAST('a plan' AS BLOB)", "is missing"),
        ("DELETE FROM blobs WHERE body = CAST('a reply' AS BLOB)", "is missing"),
        ("DELETE FROM blobs WHERE body = CAST('an answer' AS BLOB)", "is missing"),
        ("UPDATE blobs SET kind = 'text' WHERE kind = 'cardset'", "is marked text"),
        ("UPDATE blobs SET body = CAST('to be forgotten' AS BLOB) WHERE body IS NULL", "again"),
        ("DROP INDEX decisions_key", "the index decisions_key is gone"),
        ("DELETE FROM schema_version", "the schema's version is None"),
        ("UPDATE decisions SET body = CAST(body AS TEXT)", "stored as str"),
        ("UPDATE decisions SET packed = CAST('x' AS TEXT)", "stored as str"),
        ("ALTER TABLE outcomes ADD COLUMN more TEXT", "the table outcomes is not the one"),
    ],
)
def test_each_way_to_bend_a_ledger_is_found_and_named(sql, words, tmp_path):
    path = tmp_path / "a.db"
    run_like(path)
    con = sqlite3.connect(path, isolation_level=None)
    triggers = con.execute(WITHOUT_TRIGGERS).fetchall()
    for name, _ in triggers:
        con.execute(f"DROP TRIGGER {name}")
    con.execute(sql)
    for _, made in triggers:
        con.execute(made)
    con.close()
    with Ledger.open(str(path), read_only=True) as led:
        report = led.verify()
    assert not report.ok and words in report.problem
    assert report.words().startswith("NOT as it was written.")


def test_triggers_that_do_nothing_are_found(tmp_path):
    path = tmp_path / "a.db"
    run_like(path)
    con = sqlite3.connect(path, isolation_level=None)
    for name, made in con.execute(WITHOUT_TRIGGERS).fetchall():
        con.execute(f"DROP TRIGGER {name}")
        con.execute(made[: made.index("BEGIN")] + "BEGIN SELECT 1; END")
    con.close()
    with Ledger.open(str(path), read_only=True) as led:
        assert "is not the one that was made" in led.verify().problem


def test_verify_speaks_in_words(tmp_path):
    path = tmp_path / "a.db"
    run_like(path)
    with Ledger.open(str(path), read_only=True) as led:
        report = led.verify()
    assert report.words().splitlines()[0] == f"{report.rows} rows are as they were written"
    assert "1 texts were erased" in report.words() and report.head.hash in report.words()
