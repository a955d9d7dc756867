from __future__ import annotations

import asyncio

import pytest

from agentroute.errors import LedgerError, UnknownDecisionError
from agentroute.ledger import Ledger
from agentroute.model.events import Note
from agentroute.model.outcomes import Feedback, Outcome
from tests.ledger.sample import record, same_array, same_request


def test_a_record_comes_back_bit_equal(ledger):
    rec = record(3, k=2)
    assert ledger.append(rec).wait(5) == 1
    got = ledger.record(rec.decision.id)
    assert same_request(got.request, rec.request)
    for name in ("mean", "bonus"):
        assert same_array(getattr(got.scores, name), getattr(rec.scores, name))
    assert list(got.scores.terms) == list(rec.scores.terms)
    assert all(same_array(got.scores.terms[k], v) for k, v in rec.scores.terms.items())
    assert got.scores.evidence == rec.scores.evidence
    assert same_array(got.propensities, rec.propensities)
    assert same_array(got.excluded_rows, rec.excluded_rows)
    assert same_array(got.excluded_codes, rec.excluded_codes)
    assert (got.reasons, got.context) == (rec.reasons, rec.context)
    kept = {"seq", "at"}
    assert got.decision.model_dump(exclude=kept) == rec.decision.model_dump(exclude=kept)
    assert got.decision.seq == 1 and got.decision.at


def test_rows_come_in_seq_order_over_all_tables(ledger):
    rec = record(0)
    ledger.append(rec)
    ledger.append(Outcome(decision_id=rec.decision.id, agent="agent-001", cost_usd=0.5))
    ledger.append(Note(id="n1", run_id="r1", type="run.started", data={"a": 1}))
    last = Feedback(id="f1", target="run", target_id="r1", score=0.9)
    assert ledger.append(last, at="2026-01-01T00:00:00+00:00").wait(5) == 4
    rows = list(ledger.rows())
    assert [(r.seq, r.table) for r in rows] == [
        (1, "decisions"), (2, "outcomes"), (3, "events"), (4, "feedback")
    ]  # fmt: skip
    assert rows[3].value == last and rows[3].at == "2026-01-01T00:00:00+00:00"
    assert rows[1].id == f"{rec.decision.id}:agent-001"
    assert [r.seq for r in ledger.rows(1, 3)] == [2, 3]


async def test_a_ticket_can_be_awaited_by_many(ledger):
    tickets = [ledger.append(record(i)) for i in range(20)]
    seqs = await asyncio.gather(*(_seq(t) for t in tickets), _seq(tickets[0]))
    assert seqs == [*range(1, 21), 1]


async def _seq(ticket):
    return await ticket


def test_find_and_unknown(ledger):
    ledger.append(record(0)).wait(5)
    assert ledger.find("r1", "t0", "route", 1).id == "r1-d0"
    assert ledger.find("r1", "t0", "route", 2) is None
    with pytest.raises(UnknownDecisionError):
        ledger.record("nope")
    outcome = Outcome(decision_id="nope", agent="a")
    with pytest.raises(UnknownDecisionError):
        ledger.append(outcome).wait(5)


def test_read_only(tmp_path, ledger):
    ledger.append(record(0)).wait(5)
    with Ledger.open(str(ledger.path), read_only=True) as ro:
        assert ro.head() == ledger.head()
        with pytest.raises(LedgerError, match="read-only"):
            ro.append(record(1)).wait(5)
