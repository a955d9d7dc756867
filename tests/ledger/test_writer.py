from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import sqlite3
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from agentroute.errors import (
    LedgerBusyError,
    LedgerError,
    RowRefusedError,
    SchemaVersionError,
    UnknownDecisionError,
    UnknownRunError,
)
from agentroute.ledger import Ledger, migrations, writer
from agentroute.ledger.chain import TABLES
from agentroute.model.decisions import DecisionRecord
from agentroute.model.events import Note
from agentroute.model.outcomes import Feedback, Outcome
from tests.ledger.sample import record


def test_rows_cannot_be_changed_or_deleted(ledger):
    ledger.append(record(0))
    ledger.append(Outcome(decision_id="r1-d0", agent="a"))
    ledger.append(Feedback(id="f", target="run", target_id="r1", score=1))
    ledger.append(Note(id="n", type="x")).wait(5)
    con = sqlite3.connect(ledger.path)
    for table in (*TABLES, "blobs"):
        for sql in (f"UPDATE {table} SET body = NULL", f"DELETE FROM {table}"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                con.execute(sql)
    con.close()
    assert ledger.verify().ok and ledger.verify().rows == 4


def test_a_repeated_row_is_the_older_row(ledger):
    rec = record(0)
    out = Outcome(decision_id="r1-d0", agent="a", cost_usd=0.5)
    fb = Feedback(id="f", target="run", target_id="r1", score=1, idempotency_key="k")
    rows = [rec, out, fb, Note(id="n", type="x")]
    first = [ledger.append(r) for r in rows]
    assert [t.wait(5) for t in first] == [1, 2, 3, 4] and not any(t.duplicate for t in first)
    renamed = replace(rec, decision=rec.decision.model_copy(update={"id": "other"}))
    again = [
        *rows,
        renamed,
        out.model_copy(update={"cost_usd": 9.0}),
        fb.model_copy(update={"id": "g", "score": 0.1}),
        fb.model_copy(update={"idempotency_key": None}),
    ]
    tickets = [ledger.append(r) for r in again]
    assert [t.wait(5) for t in tickets] == [1, 2, 3, 4, 1, 2, 3, 3]
    assert all(t.duplicate for t in tickets)
    assert ledger.outcomes("r1") == [out] and ledger.feedback("r1") == [fb]
    assert ledger.head()[0] == 4 and ledger.verify().ok


def test_feedback_and_outcomes_need_something_to_be_about(ledger):
    ledger.append(record(0))
    bad = [
        (Outcome(decision_id="x", agent="a"), UnknownDecisionError),
        (Feedback(id="1", target="decision", target_id="x", score=1), UnknownDecisionError),
        (Feedback(id="2", target="run", target_id="x", score=1), UnknownRunError),
    ]
    for row, error in bad:
        with pytest.raises(error):
            ledger.append(row).wait(5)
    ledger.append(Note(id="n", run_id="x", type="run.started"))
    assert ledger.append(bad[2][0]).wait(5) == 3


def test_a_row_that_cannot_be_stored_harms_no_other(ledger):
    rec = record(0)
    short = replace(rec.request.candidates, load=np.zeros(1))
    bad = [
        Note(id="a", type="x", data={"f": object()}),
        Note(id="b", type="x", data={"big": 1 << 70}),
        replace(rec, context={"x": {1: 2}}),
        replace(rec, request=replace(rec.request, candidates=short)),
        replace(rec, excluded_codes=np.array([9], np.uint8)),
        "not a row",
    ]
    tickets = [ledger.append(r) for r in bad]
    good = ledger.append(Note(id="c", type="x"))
    assert good.wait(5) == 1
    for t in tickets:
        with pytest.raises(LedgerError):
            t.wait(5)


def in_one_group(ledger, rows):
    """Append while the lock is held elsewhere, so that the rows are committed as one group."""
    fd = os.open(f"{ledger.path}.lock", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    tickets = [ledger.append(r) for r in rows]
    os.close(fd)
    return tickets


@pytest.mark.parametrize(
    "bad",
    [
        Outcome(decision_id="r1-d0", agent="b", tokens=2**63),
        Note(id="b", type="x", data={"f": "\ud800"}),
        Feedback.model_construct(
            id="b", target="run", target_id=2**64 - 1, agent=None, score=1.0, source="u",
            method="", derived_from=None, idempotency_key=None,
        ),
        Note.model_construct(id={"not": "text"}, run_id="", type="x", data={}),
        Note.model_construct(id=None, run_id="", type="x", data={}),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_inserted_is_refused_alone(ledger, bad):
    ledger.append(record(0)).wait(5)
    before, refused, after = in_one_group(
        ledger, [Note(id="n1", type="x"), bad, Outcome(decision_id="r1-d0", agent="a")]
    )
    with pytest.raises(RowRefusedError, match="cannot be recorded") as e:
        refused.wait(5)
    assert e.value.hint
    assert (before.wait(5), after.wait(5)) == (2, 3)
    assert ledger.append(Note(id="n2", type="x")).wait(5) == 4
    assert ledger.verify().ok and ledger.verify().rows == 4


@pytest.mark.parametrize("where", ["encode", "insert_entries", "_insert_all"])
def test_no_exception_ends_the_writer(ledger, monkeypatch, where):
    def broken(*args):
        raise ZeroDivisionError("not foreseen")

    owner = writer
    with monkeypatch.context() as patched:
        patched.setattr(owner, where, broken)
        if where == "_insert_all":
            patched.setattr(owner, "insert_each", broken)
        ticket = ledger.append(Note(id="a", type="x"))
        if where == "insert_entries":
            assert ticket.wait(5) == 1  # one by one it is stored
        else:
            with pytest.raises(LedgerError, match="not foreseen"):
                ticket.wait(5)
    assert ledger.append(Note(id="b", type="x")).wait(5) == ledger.head()[0]
    assert ledger.verify().ok


def test_a_text_too_large_for_the_file_harms_no_later_row(ledger):
    ledger._writer._con.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 50_000)
    ledger.put_text("large " * 20_000)
    kept = ledger.put_text("small")
    assert ledger.append(Note(id="a", type="x")).wait(5) == 1
    assert ledger.append(Note(id="b", type="x")).wait(5) == 2
    assert ledger.text(kept) == "small" and ledger.verify().ok


def test_a_ticket_serves_loops_and_threads_at_once(ledger):
    ticket = ledger.append(record(0))
    got = []

    async def wait():
        got.append(await ticket)

    threads = [threading.Thread(target=lambda: asyncio.run(wait())) for _ in range(3)]
    threads.append(threading.Thread(target=lambda: got.append(ticket.wait(5))))
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == [1] * 4 and ticket.result() == 1


async def test_a_cancelled_wait_does_not_disturb_the_others(ledger):
    ticket = ledger.append(record(0))

    async def wait():
        return await ticket

    one, two = asyncio.create_task(wait()), asyncio.create_task(wait())
    await asyncio.sleep(0)
    one.cancel()
    assert await two == 1
    assert ledger.head()[0] == 1


def test_at_is_the_callers_or_the_clock(ledger):
    ledger.append(Note(id="a", type="x"), at="2026-01-02T03:04:05+01:00")
    ledger.append(Note(id="b", type="x")).wait(5)
    a, b = ledger.rows()
    assert a.at == "2026-01-02T02:04:05.000000+00:00"
    assert b.at.endswith("+00:00") and b.at > a.at
    for wrong, says in (("yesterday", "isoformat"), ("2026-01-02T03:04:05", "zone")):
        with pytest.raises(LedgerError, match=says):
            ledger.append(Note(id="c", type="x"), at=wrong).wait(5)


def test_close_drains_and_then_refuses(tmp_path):
    led = Ledger.open(f"{tmp_path}/a.db")
    tickets = [led.append(Note(id=str(i), type="x")) for i in range(500)]
    led.close()
    led.close()
    assert [t.result() for t in tickets] == list(range(1, 501))
    with pytest.raises(LedgerError, match="closed"):
        led.append(Note(id="x", type="x")).wait(5)


def test_a_second_process_waits_for_the_lock_and_then_gives_up(ledger):
    fd = os.open(f"{ledger.path}.lock", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(LedgerBusyError):
        Ledger.open(str(ledger.path), wait_s=0.1)
    late = ledger.append(Note(id="n", type="x"))
    with pytest.raises(LedgerBusyError, match="not committed within"):
        late.wait(0.05)
    fcntl.flock(fd, fcntl.LOCK_UN)
    assert late.wait(5) == 1
    os.close(fd)


def test_a_held_lock_is_an_error_of_the_row(tmp_path):
    with Ledger.open(f"{tmp_path}/a.db", wait_s=0.05) as led:
        con = sqlite3.connect(led.path, isolation_level=None)
        con.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerBusyError):
            led.append(Note(id="n", type="x")).wait(5)
        con.execute("ROLLBACK")
        con.close()
        assert led.append(Note(id="n", type="x")).wait(5) == 1


def test_a_full_disk_refuses_the_group_and_recovers(ledger):
    ledger.append(Note(id="0", type="x")).wait(5)
    con = ledger._writer._con
    pages = con.execute("PRAGMA page_count").fetchone()[0]
    con.execute(f"PRAGMA max_page_count = {pages}")
    sha = ledger.put_text("kept for later " * 500)
    with pytest.raises(LedgerError, match="full") as e:
        ledger.append(Note(id="1", type="x", data={"big": "x" * 100_000})).wait(5)
    assert "free some space" in e.value.hint and ledger.head()[0] == 1
    con.execute("PRAGMA max_page_count = 1000000")
    assert ledger.append(Note(id="2", type="x")).wait(5) == 2
    assert ledger.text(sha) == "kept for later " * 500
    assert ledger.verify().ok


def test_places_where_no_ledger_can_be(tmp_path):
    other = tmp_path / "other.db"
    con = sqlite3.connect(other)
    con.execute("CREATE TABLE t (x)")
    con.close()
    (tmp_path / "text.db").write_text("this is not a database, it is a text " * 50)
    for url, says in (
        (f"sqlite:///{tmp_path}/none/a.db", "does not exist"),
        (f"sqlite:///{tmp_path}", "folder"),
        (str(other), "not a ledger"),
        (f"{tmp_path}/text.db", "not a database"),
        ("postgresql://h/d", "not a ledger's URL"),
        ("sqlite://", "URL|file"),
        ("sqlite:///:memory:", "file"),
    ):
        with pytest.raises(LedgerError, match=says) as e:
            Ledger.open(url)
        assert e.value.hint
    with pytest.raises(LedgerError, match="no ledger"):
        Ledger.open(f"{tmp_path}/a.db", read_only=True)
    with pytest.raises(LedgerError, match="not a ledger"):
        Ledger.open(str(other), read_only=True)
    assert con is not None and other.stat().st_size == 8192


def test_a_newer_schema_is_refused(ledger):
    ledger.close()
    con = sqlite3.connect(ledger.path)
    con.execute("INSERT INTO schema_version VALUES (99, 'future', '')")
    con.commit()
    con.close()
    for read_only in (False, True):
        with pytest.raises(SchemaVersionError, match="99"):
            Ledger.open(str(ledger.path), read_only=read_only)


def test_a_migration_is_done_or_not_begun(ledger, monkeypatch):
    ledger.append(record(0)).wait(5)
    ledger.close()

    def adds(con):
        con.execute("CREATE TABLE extra (x INTEGER)")

    def breaks(con):
        adds(con)
        raise sqlite3.OperationalError("disk I/O error")

    first = migrations.MIGRATIONS
    monkeypatch.setattr(migrations, "LATEST", 2)
    monkeypatch.setattr(migrations, "MIGRATIONS", (*first, breaks))
    with pytest.raises(LedgerError, match="I/O"):
        Ledger.open(str(ledger.path))
    monkeypatch.setattr(migrations, "MIGRATIONS", (*first, adds))
    with Ledger.open(str(ledger.path)) as led:
        assert led.verify().ok and led.head()[0] == 1
        names = led._reader.fetch("SELECT version, name FROM schema_version")
    assert names == [(1, "first_schema"), (2, "adds")]


def test_two_writers_share_one_chain(tmp_path):
    with Ledger.open(f"{tmp_path}/a.db") as a, Ledger.open(f"{tmp_path}/a.db") as b:
        tickets = []
        for i in range(200):
            tickets += [a.append(Note(id=f"a{i}", type="x")), b.append(Note(id=f"b{i}", type="x"))]
        assert sorted(t.wait(10) for t in tickets) == list(range(1, 401))
        assert a.head() == b.head() and a.verify().ok


def test_records_without_arrays(ledger):
    rec = record(0)
    plain = DecisionRecord(rec.decision, context={"topology": "parallel"})
    ledger.append(plain).wait(5)
    got = ledger.record(rec.decision.id)
    assert got.request is got.scores is got.propensities is got.excluded_rows is None
    assert got.context == plain.context


def test_a_closed_ledger_is_one_file_that_can_be_copied(tmp_path):
    with Ledger.open(f"sqlite:///{tmp_path}/l.db") as ledger:
        for i in range(30):
            ledger.append(record(i))
        ledger.append(record(30)).wait()
        assert len(ledger.decisions("r1")) == 31  # a reader is open too
    shutil.copyfile(tmp_path / "l.db", tmp_path / "copy.db")
    with Ledger.open(f"sqlite:///{tmp_path}/copy.db", read_only=True) as copy:
        assert len(copy.decisions("r1")) == 31 and copy.verify().ok


def test_a_reader_in_the_middle_does_not_keep_a_ledger_from_closing(tmp_path):
    ledger = Ledger.open(f"sqlite:///{tmp_path}/l.db")
    ledger.append(record(0)).wait()
    other = sqlite3.connect(f"file:{tmp_path}/l.db?mode=ro", uri=True, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM decisions").fetchone()
    ledger.append(record(1)).wait()
    began = time.monotonic()
    ledger.close()
    assert time.monotonic() - began < 3.0
    other.close()
    with Ledger.open(f"sqlite:///{tmp_path}/l.db") as again:
        assert len(again.decisions("r1")) == 2


def test_a_row_that_nobody_waits_for_shares_the_commit_of_one_that_is(tmp_path, monkeypatch):
    commits = []
    real = writer.Writer._commit
    monkeypatch.setattr(
        writer.Writer,
        "_commit",
        lambda self, batch: (commits.append(len(batch)), real(self, batch)),
    )
    with Ledger.open(f"sqlite:///{tmp_path}/l.db") as ledger:
        ledger.append(record(0)).wait()
        commits.clear()
        monkeypatch.setattr(writer, "PATIENCE_TICKS", 1_000)  # a busy machine proves nothing
        monkeypatch.setattr(writer, "IDLE_TICKS", 1_000)
        ledger.append(record(1))
        time.sleep(1.5 * writer.TICK_S)  # the thread has looked in
        ledger.append(record(2)).wait()
        assert commits == [2]
        monkeypatch.setattr(writer, "PATIENCE_TICKS", 4)
        ledger.append(record(3))
        deadline = time.monotonic() + 5
        while len(ledger.decisions("r1")) < 4 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert len(ledger.decisions("r1")) == 4
