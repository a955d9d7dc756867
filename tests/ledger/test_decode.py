"""A decision read back: its candidates are the rows that it names, in their order."""

from dataclasses import replace

import numpy as np
import pytest

from agentroute.errors import RowUnreadableError
from agentroute.ledger.rows.decisions import decision_entry
from agentroute.ledger.rows.decode import decode_record
from agentroute.model.candidates import Candidates
from tests.ledger.sample import cardset, record

AT = "2026-01-01T00:00:00+00:00"
CARDS = cardset()


def read_back(rows):
    made, rows = record(0, cards=CARDS), np.array(rows)
    c = replace(Candidates.idle(CARDS, rows % len(CARDS)), rows=rows)
    bare = replace(made, request=replace(made.request, candidates=c), scores=None)
    entry = decision_entry(replace(bare, propensities=None), AT)
    return decode_record(1, entry.body, entry.packed, lambda _: b"text", lambda _: CARDS)


def test_candidates_come_back_whole_in_part_and_in_another_order():
    n = len(CARDS)
    for rows in (range(n), range(n - 1, -1, -1), [0], [n - 1, 2], range(1, n)):
        found = read_back(list(rows)).request.candidates
        np.testing.assert_array_equal(found.rows, list(rows))
        np.testing.assert_array_equal(found.names, CARDS.names[list(rows)])
        np.testing.assert_array_equal(found.embedding, CARDS.embedding[list(rows)])


def test_rows_that_no_card_has_are_a_typed_error():
    n = len(CARDS)
    for rows in (range(1, n + 1), [n], [-n - 1]):
        with pytest.raises(RowUnreadableError, match="rebuilt"):
            read_back(list(rows))
