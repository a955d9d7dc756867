import copy
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from agentroute.features.text import HashingEncoder
from agentroute.model.candidates import MOST_DERIVED, Candidates
from agentroute.model.cards import CapabilityCard, Pricing
from agentroute.registry.cardset import build_cardset


def cards():
    dear = Pricing(expected_usd=0.5)
    made = [
        CapabilityCard(name="a", description="says", pricing=dear, latency_s=2.0),
        CapabilityCard(name="b", description="silent", prior_quality=0.7),
    ]
    return build_cardset(made, HashingEncoder(16))


def test_idle_candidates_say_what_their_cards_say():
    idle = Candidates.idle(cards())
    assert list(idle.names) == ["a", "b"]
    assert idle.cost_usd[0] == 0.5
    assert idle.latency_s[0] == 2.0
    assert np.isnan([idle.cost_usd[1], idle.latency_s[1]]).all()
    assert list(idle.prior) == [0.5, 0.7]
    assert idle.explorable.all()
    assert not idle.canary.any()
    assert not idle.load.any()


def test_idle_candidates_of_some_rows_are_those_taken_from_all():
    cs, rows = cards(), np.array([1])
    some, taken = Candidates.idle(cs, rows), Candidates.idle(cs).take(rows)
    for name in Candidates.__slots__:
        if name != "cards":
            np.testing.assert_array_equal(getattr(some, name), getattr(taken, name))


def test_what_is_derived_is_made_once_even_by_many_threads():
    cs, calls = cards(), []

    def make(of):
        time.sleep(0.01)
        calls.append(of)
        return None if len(calls) == 1 else "again"

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: cs.derived("x", make), range(32)))
    assert got == [None] * 32
    assert calls == [cs]


def test_what_is_derived_is_bounded_and_the_oldest_goes_first():
    cs = cards()
    for i in range(MOST_DERIVED + 1):
        cs.derived(("n", i), lambda _, i=i: i)
    assert cs.derived(("n", 1), lambda _: "made again") == 1
    assert cs.derived(("n", 0), lambda _: "made again") == "made again"


def test_a_failure_is_not_kept_and_a_copy_starts_afresh():
    cs = cards()
    with pytest.raises(ZeroDivisionError):
        cs.derived("x", lambda _: 1 // 0)
    assert cs.derived("x", len) == 2
    assert "derived" not in repr(cs)
    for copied in (replace(cs), copy.deepcopy(cs), pickle.loads(pickle.dumps(cs))):
        assert copied.derived("x", lambda _: "own") == "own"
