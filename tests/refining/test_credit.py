"""Credit rules: what they add up to, who gets the same, who gets nothing, and worked numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentroute import AgentReply
from agentroute.errors import ConfigError, UsageError
from agentroute.refining.credit import (
    Credit,
    differences,
    discounted,
    in_parts,
    last_hop,
    leave_one_out,
    make_credit,
    shapley,
    worth_of_joining,
)


def said(**texts):
    return {who: AgentReply(text=t) for who, t in texts.items()}


def values_of(players):
    """A random game: a worth in [0, 1] for every set of players, 0 for nobody."""
    n = 2 ** len(players) - 1
    return st.lists(st.floats(0, 1), min_size=n, max_size=n)


@st.composite
def games(draw, most=5):
    players = [f"p{i}" for i in range(draw(st.integers(1, most)))]
    drawn = [0.0, *draw(values_of(players))]

    def worth(s):
        return drawn[sum(1 << i for i, p in enumerate(players) if p in s)]

    return players, worth


@pytest.mark.checklist("AC10")
@given(games())
def test_shapley_values_add_up_to_what_all_are_worth(game):
    players, worth = game
    phi = shapley(players, worth)
    assert sum(phi.values()) == pytest.approx(worth(frozenset(players)), abs=1e-9)


@given(games(4))
def test_players_that_add_the_same_get_the_same(game):
    players, worth = game
    twin = [*players, "twin"]

    def both(s):  # the first and the twin are the same to everybody
        one, other = worth(s - {"twin"}), worth((s - {players[0], "twin"}) | {players[0]})
        have = {players[0], "twin"} & s
        rest = worth(s - {players[0], "twin"})
        return (rest, (other + rest) / 2, one if players[0] in s else other)[len(have)]

    phi = shapley(twin, both)
    assert phi[players[0]] == pytest.approx(phi["twin"], abs=1e-9)


@given(games(4))
def test_who_adds_nothing_to_anybody_gets_nothing(game):
    players, worth = game
    phi = shapley([*players, "idle"], lambda s: worth(s - {"idle"}))
    assert phi["idle"] == 0.0
    assert phi == pytest.approx({**shapley(players, worth), "idle": 0.0}, abs=1e-9)


@given(games())
def test_left_out_parts_are_parts_of_one(game):
    players, worth = game
    parts = leave_one_out(players, worth)
    assert sum(parts.values()) == pytest.approx(1.0)
    assert min(parts.values()) >= 0.0


@pytest.mark.checklist("AC10")
def test_worked_numbers_of_a_vote():
    worth = worth_of_joining(said(a="9", b="9", c="8"), strategy="vote", weights="equal")
    assert [worth(frozenset(s)) for s in ("", "a", "c", "ac", "ca", "abc")] == [
        0,
        1,
        0,
        0.5,
        0.5,
        1,
    ]
    assert differences("abc", worth) == {"a": 0.5, "b": 0.5, "c": 0.0}
    assert leave_one_out("abc", worth) == {"a": 0.5, "b": 0.5, "c": 0.0}
    assert shapley("abc", worth) == pytest.approx({"a": 7 / 12, "b": 7 / 12, "c": -1 / 6})


@pytest.mark.checklist("AC10")
def test_who_turned_a_weighed_vote_is_missed():
    weights = {"a": 0.9, "b": 0.2, "c": 0.6}
    worth = worth_of_joining(said(a="9", b="9", c="8"), strategy="vote", weights=weights)
    assert differences("abc", worth) == {"a": 1.0, "b": 0.0, "c": 0.0}
    assert leave_one_out("abc", worth) == {"a": 1.0, "b": 0.0, "c": 0.0}
    assert shapley("abc", worth) == pytest.approx({"a": 5 / 6, "b": 1 / 3, "c": -1 / 6})


@given(st.permutations("abc"))
def test_nothing_follows_from_who_spoke_first(order):
    texts = {"a": "9", "b": "9", "c": "8"}
    replies = said(**{who: texts[who] for who in order})
    phi = shapley(order, worth_of_joining(replies, strategy="vote", weights="equal"))
    assert phi["a"] == pytest.approx(phi["b"])


def test_of_a_merged_text_it_is_the_statements_that_each_said():
    long = "The bridge over the river was built of stone in a hard winter, and it still stands. "
    replies = said(a=f"{long * 2}It is green.", b=f"{long * 2}It is narrow. It is old.")
    worth = worth_of_joining(replies, strategy="merge")
    assert worth(frozenset("a")) == pytest.approx(2 / 4)
    assert worth(frozenset("b")) == pytest.approx(3 / 4)
    assert shapley("ab", worth) == pytest.approx({"a": 1.5 / 4, "b": 2.5 / 4})


def test_who_said_nothing_gets_nothing_and_a_refusal_is_nobodys():
    worth = worth_of_joining(said(a="9", b="I do not know"))
    assert shapley("ab", worth) == {"a": 1.0, "b": 0.0}
    assert worth_of_joining(said(a="", b="unknown"))(frozenset("ab")) == 0.0


def test_hops_discount_and_the_last_takes_all():
    hops = {"a": 2, "b": 1, "c": 0, "d": 0}
    assert discounted(hops, 0.5) == pytest.approx(
        {"a": 1 / 11, "b": 2 / 11, "c": 4 / 11, "d": 4 / 11}
    )
    assert last_hop(hops) == {"a": 0.0, "b": 0.0, "c": 0.5, "d": 0.5}
    assert in_parts({"a": 0.0, "b": 0.0}) == {"a": 0.5, "b": 0.5}


def test_shapley_is_exact_for_five_and_refused_for_six():
    assert shapley("abcde", lambda s: len(s) / 5) == pytest.approx(dict.fromkeys("abcde", 0.2))
    with pytest.raises(UsageError, match="5 players, not 6"):
        shapley("abcdef", len)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("shaply", "no credit rule is called 'shaply'"),
        ({"name": "discounted", "gamma": 0}, "above 0"),
        ({"name": "shapley", "gamma": 0.5}, "has no parameter 'gamma'"),
        (7, "needs a name"),
    ],
)
def test_rules_that_are_not_there_are_refused(spec, words):
    with pytest.raises(ConfigError, match=words):
        make_credit(spec)
    assert make_credit({"name": "discounted", "gamma": 0.25}) == Credit("discounted", 0.25)
