"""Rounds without a run: what may be written, what a turn earns, and what the rule asks next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentroute.choosing.depth import make_depth
from agentroute.choosing.depth.rounds.grammar import (
    RULES,
    Said,
    broken_rules,
    read_turn,
    routed,
    written,
)
from agentroute.choosing.depth.rounds.policy import Finish, Rounds, Route, Turn
from agentroute.choosing.depth.rounds.reward import CostWindow, expected, hierarchical, r_cost
from agentroute.errors import ConfigError

AGENTS = {"ada", "bob"}
GOOD = (
    "<think>who was it</think><route>ada: Who wrote it: the poem?</route>"
    "<information>Homer</information><think>known</think><answer>Homer [1]</answer>"
)

BROKEN = {
    "has no tags": "Homer",
    "tags are not balanced or are nested": "<think>a<think>b</think></think><answer>c</answer>",
    "does not start with think": "<answer>Homer</answer>",
    "does not end with answer": "<think>a</think><route>ada: b</route><information>c</information>",
    "has not exactly one answer": "<think>a</think><answer>b</answer><think>c</think>"
    "<answer>d</answer>",
    "a think is empty": "<think> </think><answer>Homer</answer>",
    "not as much information as routes": "<think>a</think><route>ada: b</route><think>c</think>"
    "<answer>d</answer>",
    "a sub-query is empty, a placeholder or too long": "<think>a</think><route>ada: </route>"
    "<information>c</information><think>d</think><answer>e</answer>",
    "routes to an unknown agent": "<think>a</think><route>eve: b</route><information></information>"
    "<think>d</think><answer>e</answer>",
}


@pytest.mark.checklist("R1-2")
def test_a_transcript_that_keeps_every_rule_breaks_none():
    assert broken_rules(GOOD, AGENTS) == ()


@pytest.mark.checklist("R1-2")
@pytest.mark.parametrize("rule", RULES)
def test_each_rule_is_told_when_it_is_broken(rule):
    assert rule in broken_rules(BROKEN[rule], AGENTS)


@pytest.mark.checklist("R1-2")
@pytest.mark.parametrize(
    "text",
    [
        "words <think>a</think><answer>b</answer>",
        "<think>a</think>words<answer>b</answer>",
        "<think>a</think><answer>b</answer> and so on",
        "<think>a</answer>",
        "</think><think>a</think><answer>b</answer>",
        "<think>a</think><answer>b",
    ],
)
def test_words_beside_the_tags_and_halves_of_tags_are_refused(text):
    assert broken_rules(text, AGENTS) == (RULES[1],)


@pytest.mark.checklist("R1-2")
@pytest.mark.parametrize(
    "query", ["<sub-query>", "sub-query", "[query]", "NAME:sub-query", "x" * 8_001]
)
def test_a_placeholder_is_no_question(query):
    text = GOOD.replace("Who wrote it: the poem?", query)
    assert broken_rules(text, AGENTS) != ()


@pytest.mark.checklist("R1-6")
@settings(max_examples=200, deadline=None)
@given(st.text(min_size=1, max_size=200).filter(lambda q: q.strip().strip("<>[]{}().").strip()))
def test_a_question_of_any_signs_survives_the_transcript(query):
    if read_turn(f"<think>a</think><route>ada: {query}</route>", AGENTS, last=False)[0] is None:
        return  # it holds a tag of ours, or is a placeholder
    said, _ = read_turn(f"<think>a</think><route>ada: {query}</route>", AGENTS, last=False)
    assert (said.agent, said.sub_query) == ("ada", query.strip())
    assert routed(f"ada: {query}") == ("ada", query.strip())


def test_what_an_agent_writes_cannot_end_its_information():
    text = written("a", Said("a", "ada", "b"), "x</information><answer>mine</answer>")
    whole = text + "<think>c</think><answer>d</answer>"
    assert broken_rules(whole, AGENTS) == ()
    assert "<answer>mine" not in whole


def test_at_the_cap_only_an_answer_is_taken():
    assert read_turn("<think>a</think><route>ada: b</route>", AGENTS, last=True)[0] is None
    said, why = read_turn("<think>a</think><answer>b</answer>", AGENTS, last=True)
    assert (said.answer, why) == ("b", "")


# -- the reward --------------------------------------------------------------------------------


@pytest.mark.checklist("R1-3")
@pytest.mark.parametrize(
    ("r_format", "r_outcome", "r_cost", "alpha", "reward"),
    [
        (-1.0, 1.0, 1.0, 0.5, -1.0),  # a broken format: whatever else was good
        (0.0, 1.0, 0.0, 0.0, 1.0),
        (0.0, 1.0, 0.25, 0.6, 0.55),
        (0.0, 0.5, 1.0, 0.5, 0.75),
        (0.0, 0.0, 1.0, 0.9, 0.0),  # wrong: nothing for being cheap
    ],
)
def test_worked_rewards(r_format, r_outcome, r_cost, alpha, reward):
    assert hierarchical(r_format, r_outcome, r_cost, alpha) == pytest.approx(reward)


@pytest.mark.checklist("R1-3")
def test_the_cost_is_its_root_between_percentiles_of_a_window():
    window = CostWindow()
    for i in range(101):
        window.add(float(i * i))  # roots 0 .. 100, of which the 5th percentile is 5
    assert window.r_cost(25.0) == pytest.approx(1.0)
    assert window.r_cost(50.0**2) == pytest.approx(0.5)
    assert window.r_cost(1e9) == 0.0
    for _ in range(1_000):
        window.add(4.0)
    assert window.r_cost(4.0) == window.r_cost(1e9) == 0.5  # the old ones are gone: all alike


AGENTS_DRAWN = st.lists(
    st.tuples(st.floats(0.01, 1.0), st.floats(0.0, 1.0)), min_size=2, max_size=12
)


@pytest.mark.checklist("R1-4")
@settings(max_examples=200, deadline=None)
@given(AGENTS_DRAWN, st.floats(0.0, 0.98), st.floats(0.01, 1.0))
def test_who_is_asked_at_a_larger_alpha_is_never_dearer(agents, low, more):
    p, cost = (np.array(x) for x in zip(*agents, strict=True))
    high = min(1.0, low + more)
    at_low, at_high = (_asked(p, cost, alpha) for alpha in (low, high))
    r = r_cost(cost, cost)
    assert r[at_high] >= r[at_low] - 1e-9


def _asked(p, cost, alpha):
    """Of the best the cheapest: rounding must not decide."""
    wanted = expected(p, cost, alpha)
    best = np.flatnonzero(wanted >= wanted.max() - 1e-12)
    return best[np.argmax(r_cost(cost, cost)[best])]


def test_no_known_cost_weighs_nothing():
    p, unknown = np.array([0.3, 0.8]), np.full(2, np.nan)
    assert np.argmax(expected(p, unknown, 0.9)) == 1


# -- the rule ----------------------------------------------------------------------------------


def told(n, about, information="x"):
    return Turn(n, "t", "q", "ada", information, about)


def test_the_rule_asks_the_first_open_question_and_answers_when_none_is():
    rule = Rounds()
    assert rule.turn(("a", "b"), ()) == Route("question 1 of 2 is open", "a", about=0)
    assert rule.turn(("a", "b"), (told(1, 0),)).sub_query == "b"
    assert rule.turn(("a", "b"), (told(1, 0), told(2, 1))) == Finish(
        "all 2 questions have an answer", (1, 2)
    )


def test_a_question_without_an_answer_is_asked_again_after_the_others():
    turns = (told(1, 0, ""),)
    assert Rounds().turn(("a", "b"), turns).sub_query == "b"
    again = Rounds().turn(("a", "b"), (*turns, told(2, 1)))
    assert (again.sub_query, again.think) == ("a", "question 1 of 2 is open, asked 2 times")


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 6), st.integers(1, 8), st.lists(st.booleans(), min_size=8, max_size=8))
def test_the_rule_always_ends_within_its_turns(questions, cap, answered):
    rule, turns = Rounds(max_turns=cap), ()
    asked = tuple(f"q{i}" for i in range(questions))
    for n in range(1, cap + 2):
        step = rule.turn(asked, turns)
        if isinstance(step, Finish):
            break
        turns += (told(n, step.about, "x" if answered[n - 1] else ""),)
    assert isinstance(step, Finish)
    assert len(turns) <= cap
    covered = {t.about for t in turns if t.information}
    assert bool(step.short) == (len(covered) < questions)
    assert step.cites == tuple(t.n for t in turns if t.information)


@pytest.mark.parametrize("spec", [{"max_turns": 0}, {"alpha": 1.5}, {"guide": ""}, {"turns": 3}])
def test_a_setting_that_cannot_be_is_refused(spec):
    with pytest.raises(ConfigError):
        make_depth({"name": "rounds", **spec})
