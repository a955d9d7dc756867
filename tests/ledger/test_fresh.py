"""A decision that was just written is given as it would be read, or not at all."""

import sqlite3
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentroute.ledger import Ledger
from agentroute.ledger.rows.fresh import KEPT
from agentroute.model.calls import Usage
from agentroute.model.cards import CapabilityCard
from agentroute.model.tasks import Message, Task
from tests.ledger.sample import cardset, record, same_array, same_request

SECRET = "password: hunter2-hunter2-hunter2"
PLAIN = Task(id="t", prompt="do it", features={"lang": "py"}, skills=("s1",), depends_on={"a": 0.7})


def same_record(a, b):
    assert a.decision == b.decision
    assert same_request(a.request, b.request)
    assert (a.request.keys, a.request.patience_s, a.request.budget_usd) == (
        b.request.keys, b.request.patience_s, b.request.budget_usd,
    )  # fmt: skip
    assert (a.scores is None) == (b.scores is None)
    if a.scores is not None:
        for name in ("mean", "bonus"):
            assert same_array(getattr(a.scores, name), getattr(b.scores, name))
        assert list(a.scores.terms) == list(b.scores.terms)
        assert all(same_array(a.scores.terms[k], v) for k, v in b.scores.terms.items())
        for name in ("reason", "out_of_scope", "evidence", "usage"):
            assert getattr(a.scores, name) == getattr(b.scores, name)
    for name in ("propensities", "excluded_rows", "excluded_codes"):
        assert same_array(getattr(a, name), getattr(b, name))
    assert (a.context, a.reasons) == (b.context, b.reasons)


texts = st.text(max_size=30) | st.just(SECRET) | st.just("sk-proj-" + "a1" * 12)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 9), prompt=texts.filter(str.strip), turn=texts, feature=texts, why=texts,
    said=texts, reason=texts, note=texts, params=st.booleans(), patient=st.booleans(),
)  # fmt: skip
def test_what_is_given_is_what_is_read(
    tmp_path_factory, seed, prompt, turn, feature, why, said, reason, note, params, patient
):
    task = PLAIN.model_copy(update={
        "prompt": prompt, "history": (Message(role="user", text=turn),),
        "features": {"lang": feature}, "params": {"x": (1, 2)} if params else {},
    })  # fmt: skip
    made = record(seed, task=task)
    request = replace(made.request, recorded=said.encode("utf-8", "replace"), keys={"user": "u"},
                      patience_s=3.0 if patient else None, budget_usd=1.0)  # fmt: skip
    scores = replace(made.scores, reason=why, usage=Usage(input_tokens=1) if patient else None)
    decision = made.decision.model_copy(update={"reason": reason})
    made = replace(made, decision=decision, request=request, scores=scores,
                   context={"note": note, "pair": (1, 2)}, reasons=(note, "other"))  # fmt: skip
    folder = tmp_path_factory.mktemp("l")
    with Ledger.open(f"sqlite:///{folder}/l.db") as ledger:
        ledger.append(made).wait(5)
        given_, read = ledger.fresh(made.decision.id), ledger.record(made.decision.id)
    if given_ is not None:
        same_record(given_, read)
    if params or SECRET in (prompt, turn, feature, why, said):
        assert given_ is None


def test_a_plain_decision_is_given_without_reading(ledger, monkeypatch):
    made = record(1, task=PLAIN)
    ledger.append(made).wait(5)
    monkeypatch.setattr(type(ledger._reader), "fetch", lambda *_: pytest.fail("it was read"))
    found = ledger.fresh(made.decision.id)
    assert found.request is made.request and found.decision.seq == 1


def test_cards_with_a_secret_are_read(ledger):
    cards = cardset(3)
    first = CapabilityCard.model_validate({**cards.cards[0].model_dump(), "description": SECRET})
    made = record(1, task=PLAIN, cards=replace(cards, cards=(first, *cards.cards[1:])))
    ledger.append(made).wait(5)
    assert ledger.fresh(made.decision.id) is None
    assert ledger.record(made.decision.id).request is not None


def test_nothing_is_given_once_something_was_erased_also_elsewhere(ledger):
    made = record(1, task=PLAIN)
    ledger.append(made).wait(5)
    with Ledger.open(f"sqlite:///{ledger.path}") as other:
        sha = other.put_text("do it")
        other.erase(sha, reason="asked to").wait(5)
    again = replace(made, decision=made.decision.model_copy(update={"id": "d2", "run_id": "r2"}))
    ledger.append(again).wait(5)
    assert ledger.fresh("d2") is None and ledger.fresh(made.decision.id) is None
    assert ledger.record("d2").request.task.prompt == "[erased]"


def test_the_last_are_kept_and_a_refused_or_repeated_row_is_not(ledger):
    tickets = [ledger.append(record(i, task=PLAIN, run=f"r{i}")) for i in range(KEPT + 20)]
    tickets[-1].wait(20)
    kept = [ledger.fresh(f"r{i}-d{i}") is not None for i in range(KEPT + 20)]
    assert not any(kept[:20]) and all(kept[20:])
    twice = record(0, task=PLAIN, run="r0")
    assert ledger.append(twice).wait(5) and ledger.fresh("r0-d0") is None
    bad = replace(record(7, task=PLAIN), propensities=np.array(["x"]))
    with pytest.raises(Exception, match="cannot be packed"):
        ledger.append(bad).wait(5)
    assert ledger.fresh(bad.decision.id) is None


def test_a_row_that_was_committed_is_not_refused_for_what_fails_after_it(ledger):
    """Whether anything was erased cannot be asked: the decision is then read, not given."""
    writer, made = ledger._writer, record(1, task=PLAIN)

    class Failing:
        def __init__(self, con):
            self.con = con

        def execute(self, sql, *values):
            if sql.startswith("SELECT 1 FROM events WHERE type"):
                raise sqlite3.OperationalError("disk I/O error")
            return self.con.execute(sql, *values)

        def __getattr__(self, name):
            return getattr(self.con, name)

    writer._con = Failing(writer._con)
    assert ledger.append(made).wait(5) == 1
    assert ledger.fresh(made.decision.id) is None
    assert ledger.record(made.decision.id).decision.seq == 1
    assert ledger.append(record(2, task=PLAIN, run="r2")).wait(5) == 2, "the thread lives"
