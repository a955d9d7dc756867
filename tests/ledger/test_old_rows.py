"""A ledger of an earlier release is read, verified and continued as it is."""

import gzip
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from agentroute.ledger import Anchor, Ledger
from agentroute.ledger.rows.pack import MAGIC, MAGIC_1
from tests.ledger.sample import cardset, record, same_array, same_request

FIXTURE = Path(__file__).with_name("fixtures") / "pack1.db.gz"
HEAD = "a998147977f74340457ca3ec3b03f73fa636f2d8139614587511379881daf573"


@pytest.fixture
def old(tmp_path):
    """Three decisions with their best in the body and dense arrays, three outcomes, feedback."""
    path = tmp_path / "old.db"
    path.write_bytes(gzip.decompress(FIXTURE.read_bytes()))
    return path


def same(a, b):
    """Whether two records are of one decision, but for its time and place."""
    scores = ("mean", "bonus")
    return (
        same_request(a.request, b.request)
        and all(same_array(getattr(a.scores, f), getattr(b.scores, f)) for f in scores)
        and all(same_array(t, b.scores.terms[name]) for name, t in a.scores.terms.items())
        and same_array(a.propensities, b.propensities)
        and a.scores.evidence == b.scores.evidence
        and a.decision == b.decision.model_copy(update={"seq": a.decision.seq, "at": a.decision.at})
    )


def test_old_rows_are_read_bit_equal_and_verified(old):
    with Ledger.open(f"sqlite:///{old}") as ledger:
        assert ledger.verify(Anchor(7, HEAD)).ok
        for i in range(3):
            old_row = ledger.record(f"r1-d{i}")
            sha = old_row.request.candidates.cards.sha256  # of cards with fewer fields than today's
            cards = replace(cardset(), sha256=sha)
            assert same(old_row, record(i, k=1 + i % 2, cards=cards))


def test_old_and_new_rows_stand_in_one_chain(old):
    new = record(3)
    with Ledger.open(f"sqlite:///{old}") as ledger:
        ledger.append(new).wait()
        assert ledger.verify(Anchor(7, HEAD)).ok
        assert same(ledger.record("r1-d3"), new)
    rows = sqlite3.connect(old).execute("SELECT body, packed FROM decisions ORDER BY seq")
    marks, best = zip(*((p[:6], "best" in json.loads(b)) for b, p in rows), strict=True)
    assert marks == (MAGIC_1, MAGIC_1, MAGIC_1, MAGIC) and best == (True, True, True, False)
