import numpy as np

from agentroute.features.text import HashingEncoder
from agentroute.model.candidates import Candidates
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
