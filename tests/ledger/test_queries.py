from __future__ import annotations

import subprocess
import sys

import pytest

from agentroute.errors import LedgerBusyError, LedgerError, UnknownRunError
from agentroute.ledger import ERASED, Ledger, queries
from agentroute.model.events import Note
from agentroute.model.ids import sha256
from agentroute.model.outcomes import Feedback, Outcome
from tests.ledger.sample import record


def a_run(ledger, run="r1", *, n=2, status="completed"):
    ledger.append(Note(id=f"{run}-s", run_id=run, type="run.started", data={"name": "demo"}))
    for i in range(n):
        rec = record(i, run=run)
        ledger.append(rec)
        error = "boom" if i == 1 else None
        ledger.append(
            Outcome(
                decision_id=rec.decision.id, agent="agent-001", cost_usd=0.25, tokens=3, error=error
            )
        )
    if status:
        ledger.append(Note(id=f"{run}-f", run_id=run, type="run.finished", data={"status": status}))
    fb = Feedback(id=f"{run}-fb", target="decision", target_id=f"{run}-d0", score=0.5)
    ledger.append(fb)
    return ledger.append(fb.model_copy(update={"id": f"{run}-fc", "score": 1.0})).wait(5)


def test_runs_newest_first_with_sums(ledger):
    a_run(ledger, "r1")
    a_run(ledger, "r2", status=None)
    new, old = ledger.runs()
    assert (new.run_id, new.status, old.run_id, old.status) == (
        "r2", "unfinished", "r1", "completed"
    )  # fmt: skip
    assert (old.decisions, old.calls, old.failed, old.cost_usd, old.tokens) == (2, 2, 1, 0.5, 6)
    assert old.score == 0.75 and old.agents == {"agent-001": 2} and old.about == {"name": "demo"}
    assert ledger.runs(status="completed") == [old]
    assert ledger.runs(limit=1, before_seq=new.seq) == [old]
    assert ledger.run("r1") == old
    with pytest.raises(UnknownRunError):
        ledger.run("r9")


def test_lists_of_a_run(ledger):
    a_run(ledger)
    assert [o.error for o in ledger.outcomes("r1")] == [None, "boom"]
    assert [o.error for o in ledger.outcomes(decision_id="r1-d1")] == ["boom"]
    assert [f.score for f in ledger.feedback("r1")] == [0.5, 1.0] == [
        f.score for f in ledger.feedback("r1-d0")
    ]  # fmt: skip
    assert [n.type for n in ledger.notes("r1")] == ["run.started", "run.finished"]
    assert [n.id for n in ledger.notes("r1", "run.finished")] == ["r1-f"]
    rows = ledger.run_rows("r1")
    assert [r.seq for r in rows] == list(range(1, 9))
    assert ledger.last_outcomes(1)[0].value.error == "boom"


def test_text_and_artefact_are_stored_once_and_can_be_erased(ledger):
    rec = record(0)
    ledger.append(rec).wait(5)
    sha = ledger.put_text(rec.request.task.prompt)
    art = ledger.put_artefact(b"\x00PDF")
    assert sha == sha256(rec.request.task.prompt.encode())
    seq = ledger.erase(sha, reason="the user asked").wait(5)
    assert ledger.text(sha) is None
    assert ledger.erase(sha, reason="again").wait(5) == seq
    assert ledger.erase(art, reason="x").wait(5) == seq + 1
    got = ledger.record(rec.decision.id).request
    assert got.task.prompt == ERASED
    assert got.embedding.tobytes() == rec.request.embedding.tobytes()
    (event,) = ledger.rows(seq - 1, seq)
    assert event.value.type == "blob.erased" and event.value.data["reason"] == "the user asked"
    assert rec.request.task.prompt.encode() not in _all_bytes(ledger)
    ledger.put_text(rec.request.task.prompt)
    ledger.append(record(1)).wait(5)
    assert ledger.text(sha) is None


def _all_bytes(ledger):
    return b"".join(p.read_bytes() for p in ledger.path.parent.glob(ledger.path.name + "*"))


def test_a_card_set_or_nothing_cannot_be_erased(ledger):
    ledger.append(record(0)).wait(5)
    sha = ledger._reader.fetch("SELECT sha256 FROM blobs WHERE kind = 'cardset'")[0][0]
    for wrong in (sha, "0" * 64):
        with pytest.raises(LedgerError):
            ledger.erase(wrong, reason="x").wait(5)
    with pytest.raises(LedgerError, match="only an erasure"):
        ledger.append(Note(id=f"erased:{sha}", type="x")).wait(5)


def test_one_live_holder_of_a_run(ledger):
    with Ledger.open(str(ledger.path)) as other:
        with ledger.take_lease("r1") as lease:
            with pytest.raises(LedgerBusyError, match="process"):
                other.take_lease("r1")
            other.take_lease("r2").release()
        lease.release()
        other.take_lease("r1").release()
        other.append(Note(id="n", type="x")).wait(5)
    types = [n.type for n in ledger.notes("r1")]
    assert types == ["lease.taken", "lease.released"] * 2


def test_pages_meet_every_run_once(ledger):
    """Also those that were written down without a start, and those that started twice."""
    ids = [f"r{i:03d}" for i in range(130)]
    for i, run in enumerate(ids):
        ledger.append(Note(id=f"{run}-l", run_id=run, type="lease.taken"))
        if i % 10 != 3:
            ledger.append(Note(id=f"{run}-s", run_id=run, type="run.started", data={"i": i}))
        if i % 7 == 0:
            ledger.append(Note(id=f"{run}-t", run_id=run, type="run.started", data={"i": i}))
        ledger.append(record(0, run=run))
    ledger.append(record(1, run=ids[3])).wait(5)
    assert [r.run_id for r in ledger.runs(500)] == ids[::-1]
    met, before = [], None
    while page := ledger.runs(7, before_seq=before):
        met += [r.run_id for r in page]
        before = page[-1].seq
    assert met == ids[::-1]
    assert [ledger.run(i) for i in ids[::-1]] == ledger.runs(500)
    assert ledger.runs(5, status="completed") == []


def test_a_page_is_found_by_an_index(ledger):
    a_run(ledger)
    with ledger._reader.connection() as con:
        plan = [row[3] for row in con.execute(f"EXPLAIN QUERY PLAN {queries._STARTED}", (9, 9))]
    assert any("events_type" in step for step in plan)
    assert not any(step.startswith("SCAN") or "TEMP B-TREE" in step for step in plan), plan


def test_runs_are_listed_without_an_orm(tmp_path):
    code = (
        "import sys; from agentroute.ledger import Ledger\n"
        f"with Ledger.open('sqlite:///{tmp_path}/l.db') as ledger: assert ledger.runs() == []\n"
        "assert not {'sqlalchemy', 'sqlmodel'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_query_of_a_page_reads_every_runs_start(ledger):
    """Of two indexes that begin with an equality SQLite may take the worse one."""
    from agentroute.inspector.web import listing
    from agentroute.ledger import queries

    asked = {
        queries._START: ("r",),
        queries._STARTED: (9, 50),
        queries._UNSTARTED: (1, 9),
        queries._FIRST_ROW: ("r",),
        listing._STARTED: (9, 1, 50),
        listing._ALONE: (9, 1),
        listing._EARLIER: ("r", 9),
        listing._FINISHED.format("?"): ("r",),
    }
    for sql, values in asked.items():
        steps = [row[3] for row in ledger.query(f"EXPLAIN QUERY PLAN {sql}", values)]
        whole = [s for s in steps if s.endswith("events_type (type=?)") or s == "SCAN events"]
        assert not whole, sql
