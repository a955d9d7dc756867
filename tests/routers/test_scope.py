"""What cards say is believed, in order; the default router says when nobody speaks of a prompt."""

import asyncio
import itertools

import numpy as np
import pytest

from agentroute.choosing.catalog import make_policy
from agentroute.model.candidates import Candidates, Request
from agentroute.model.cards import CapabilityCard
from agentroute.model.outcomes import Observation
from agentroute.model.tasks import Task
from agentroute.registry.cardset import build_cardset
from agentroute.routers.linucb.priors.sayings import CardWords, Examples
from agentroute.routers.linucb.priors.scope import LEAST, PROVEN, Scope
from agentroute.routers.linucb.router import LinUCB


def cards(embedder, *said):
    made = [
        {"name": n, "description": d, "skills": [{"id": "s", "examples": list(e)}] if e else []}
        for n, d, *e in said
    ]
    return build_cardset([CapabilityCard.model_validate(c) for c in made], embedder)


def request(embedder, cardset, text, **task):
    one = Task(prompt=text, **task)
    return Request(one, embedder.encode([text])[0], Candidates.idle(cardset))


def asked(embedder, cardset, text, **task):
    """The scores and the choice of a fresh default router."""
    policy = make_policy("default", embedder=embedder, seed=0)
    r = request(embedder, cardset, text, **task)
    return asyncio.run(policy.choose(r, rng=np.random.default_rng(0)))


DESKS = (
    ("billing", "Answers questions about invoices, payments and refunds."),
    ("tech", "Helps with crashes, errors and login problems of the app."),
    ("sales", "Tells new customers about plans and discounts."),
)


@pytest.mark.parametrize(
    ("text", "best"),
    [
        ("I was charged twice", "billing"),
        ("The app crashes when I log in", "tech"),
        ("Do you have a discount for students?", "sales"),
    ],
)
def test_the_default_router_cold_ranks_by_what_cards_say(embedder, text, best):
    cs = cards(embedder, *DESKS)
    scores, choice = asked(embedder, cs, text)
    assert cs.names[scores.mean.argmax()] == best
    assert len(set(scores.mean.tolist())) == 3, "far cards are not all alike"
    assert choice.status != "abstained"


def test_far_from_all_cards_the_nearer_one_is_chosen_with_near_certainty(embedder):
    cs = cards(
        embedder, ("sums", "Does arithmetic: adds and multiplies."), ("rm", "Deletes things.")
    )
    scores, choice = asked(embedder, cs, "add 1 and 1")
    assert cs.names[scores.mean.argmax()] == "sums"
    assert choice.propensities[list(cs.names).index("rm")] <= 0.05


def test_nobody_is_refused_where_cards_give_no_examples(embedder):
    for text in ("hi", "do it", "book me a flight to Oslo", "2+2", "日本"):
        scores, _ = asked(embedder, cards(embedder, *DESKS), text)
        assert scores.out_of_scope == 0.0


SUMS = ("sums", "Calculates.", "What is 12 * 7?", "How much is 20 percent of 350?")
UNITS = ("units", "Converts units.", "How many metres are 3 feet?", "5 miles to km")


def test_cards_with_examples_delimit_what_they_are_for_and_a_card_without_claims_its_words(
    embedder,
):
    both = cards(embedder, SUMS, UNITS)
    assert asked(embedder, both, "How many feet are 12 metres?")[0].out_of_scope < 0.5
    flight = "book me a flight to Oslo"
    scores, choice = asked(embedder, both, flight)
    assert scores.out_of_scope >= 0.5 and choice.status == "abstained"
    _, named = asked(embedder, both, flight, skills=("s",))
    assert named.status != "abstained", "who names a skill has said who fits"
    travel = cards(embedder, SUMS, UNITS, ("travel", "Books a flight or a train."))
    assert asked(embedder, travel, flight)[0].out_of_scope < 0.5
    assert asked(embedder, travel, "tell me a joke")[0].out_of_scope >= 0.5
    assert asked(embedder, both, "x")[0].out_of_scope == asked(embedder, both, "x")[0].out_of_scope


def test_examples_lift_by_half_the_gap_and_words_share_by_their_rarity(embedder):
    cs = cards(embedder, SUMS, UNITS)
    r = request(embedder, cs, "5 miles to km")
    lift = Examples(embedder).lift(r, np.array([0.2, 0.2]))
    assert lift[1] == pytest.approx(0.5 * (1.0 - 0.2), abs=1e-5) and lift[0] < lift[1]
    assert not Examples(None).lift(r, np.array([0.2, 0.2])).any()
    words = CardWords.of(cs)
    assert words.shares("5 miles to km", np.array([0, 1, -1])).round(6).tolist()[1:] == [1.0, 0.0]
    assert words.shares("", np.array([0, 1])).tolist() == [0.0, 0.0]
    # "units" is in one card of two (idf ln 3/2), "zebra" in none (ln 3)
    a, b = np.log(1.5), np.log(3.0)
    share = words.shares("units", np.array([1]))[0], words.shares("units zebra", np.array([1]))[0]
    assert share[0] == pytest.approx(1.0, abs=1e-6)
    assert share[1] == pytest.approx((a * a / (a * a + b * b + b * b)) ** 0.5, abs=1e-6)


def test_successes_set_the_bar_and_hard_work_near_them_is_never_refused(embedder):
    cs, scope = cards(embedder, *DESKS), Scope()
    r, rng = request(embedder, cs, "anything at all here"), np.random.default_rng(0)

    def out(fit, quality, successes=PROVEN):
        three = np.ones(3)
        return scope.out_of_scope(r, fit * three, None, quality * three, successes * three)

    assert out(-1.0, 0.0) == 0.0, "nothing has been seen"
    for fit in rng.normal(0.7, 0.1, 3 * int(LEAST)):
        scope.fold(float(fit), 1.0)
    assert out(0.3, 0.0) >= 0.5, "far from all successes, and not expected to go well"
    assert out(0.3, 0.99) < 0.5, "far, and expected to go well"
    assert out(0.65, 0.0) < 0.5, "near, and never yet done well"
    assert out(0.3, 0.0, PROVEN - 1) < 0.5, "too little is known of them to judge by"
    grid = [out(f, 0.2) for f in np.linspace(-0.5, 1.0, 30)]
    assert all(a >= b for a, b in itertools.pairwise(grid))


def test_what_was_learned_of_scope_survives_saving(embedder):
    cs = cards(embedder, SUMS, UNITS)
    router = LinUCB(embedder=embedder)
    for seq in range(30):
        r = request(embedder, cs, f"How many feet are {seq} metres?")
        router.update(Observation(seq + 1, f"d{seq}", r, "units", 1.0, None, None))
    again = LinUCB(embedder=embedder)
    again.load_state_dict(router.state_dict())
    assert again.prior.scope.sums.tolist() == router.prior.scope.sums.tolist()
    assert again.prior.scope.sums[0] > 25
    r = request(embedder, cs, "book me a flight")
    a, b = asyncio.run(router.score(r)), asyncio.run(again.score(r))
    assert a.out_of_scope == b.out_of_scope and a.mean.tolist() == b.mean.tolist()
