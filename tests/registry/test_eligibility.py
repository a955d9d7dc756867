"""Who may be chosen, and the reason given for everybody else."""

import numpy as np
import pytest

from agentroute.model.cards import CapabilityCard, Limits, Pricing, Skill
from agentroute.model.tasks import Task
from agentroute.registry.eligibility import eligible
from agentroute.registry.live import LiveState
from agentroute.registry.registry import Registry


def card(name, *skills, **more):
    return CapabilityCard(
        name=name, description=name, skills=tuple(Skill(id=s) for s in skills),
        **{"entrypoint": "x.py:agent", **more},
    )  # fmt: skip


@pytest.fixture
def cards(embedder):
    registry = Registry()
    for c in (
        card("good", "a", "b"),
        card("narrow", "a"),
        card("draft", "a", "b", status="draft"),
        card("shadow", "a", "b", status="shadow"),
        card("canary", "a", "b", status="canary"),
        card("judge", "a", "b", "verify"),
        card("nocode", "a", "b", entrypoint=None),
        card("talker", "a", "b", entrypoint="chat", prompt="p"),
        card("dear", "a", "b", pricing=Pricing(expected_usd=5.0)),
        card("asks", "a", "b", requires_approval=True),
        card("pictures", "a", "b", default_output_modes=("image/png",)),
    ):
        registry.add(c)
    return registry.cardset(embedder)


def test_every_exclusion_has_its_reason(cards):
    live = LiveState()
    task = Task(prompt="x", skills=("a", "b"), output_modes=("text/plain",))
    e = eligible(cards, live, task, budget_left_usd=1.0)
    assert list(e.candidates.names) == ["asks", "canary", "good"]
    assert {k: v.split(":")[0] for k, v in e.excluded().items()} == {
        "draft": "status is draft",
        "shadow": "status is shadow",
        "judge": "verifies or refines",
        "nocode": "has no entrypoint and no handler",
        "talker": "is a chat agent and no endpoint is configured",
        "dear": "expected cost exceeds the budget left",
        "narrow": "lacks a required skill",
        "pictures": "does not take or give the required modes",
    }
    by_name = dict(zip(e.candidates.names, e.candidates.explorable, strict=True))
    assert by_name == {"asks": False, "canary": True, "good": True}
    assert [cards.cards[i].name for i in e.shadow_rows] == ["shadow"]
    assert list(e.candidates.names[e.candidates.canary]) == ["canary"]


def test_pin_exclude_and_chat(cards):
    live, task = LiveState(), Task(prompt="x", skills=("a",))
    assert list(eligible(cards, live, task, only="narrow").candidates.names) == ["narrow"]
    names = list(eligible(cards, live, task, exclude={"good"}, chat_ready=True).candidates.names)
    assert "good" not in names
    assert "talker" in names


def test_unknown_skill_leaves_nobody(cards):
    e = eligible(cards, LiveState(), Task(prompt="x", skills=("nothing",)))
    assert len(e.candidates) == 0
    assert len(e.excluded()) == len(cards)


def test_breaker_opens_and_lets_one_probe_through(cards):
    live, task = LiveState(), Task(prompt="x", skills=("a", "b"))
    for _ in range(3):
        live.observe("good", cost_usd=0, latency_s=1, error=True, at_s=100.0, cooldown_s=60)
    assert "good" not in eligible(cards, live, task, now_s=120.0).candidates.names
    assert "good" in eligible(cards, live, task, now_s=161.0).candidates.names
    live.decided("good")
    assert "good" not in eligible(cards, live, task, now_s=161.0).candidates.names
    live.settled("good")
    live.observe("good", cost_usd=0.1, latency_s=1, error=False, at_s=162.0)
    assert "good" in eligible(cards, live, task, now_s=120.0).candidates.names


def test_averages_load_and_bounds(cards):
    live, task = LiveState(), Task(prompt="x", skills=("a", "b"))
    live.decided("good")
    with live.calling("good"):
        c = eligible(cards, live, task).candidates
    assert live.running[live.slot("good")] == 0
    i = list(c.names).index("good")
    assert c.inflight[i] == 1
    assert c.load[i] == pytest.approx(1 / Limits().max_concurrency)
    for cost in np.linspace(0, 1, 50):
        live.observe("good", cost_usd=cost, latency_s=2.0, error=False, at_s=0)
    b = live.bounds(cards)
    assert b.cost_lo == pytest.approx(np.percentile(np.log1p(np.linspace(0, 1, 50)), 5))
    assert b.latency_lo == b.latency_hi == pytest.approx(np.log1p(2.0))


def test_bounds_come_from_cards_until_there_are_outcomes(cards):
    b = LiveState().bounds(cards)
    assert b.cost_hi == pytest.approx(np.log1p(5.0))


def test_bounds_are_measured_every_32_outcomes(cards):
    live = LiveState()

    def seen(n, cost):
        for _ in range(n):
            live.observe("good", cost_usd=cost, latency_s=1.0, error=False, at_s=0)

    seen(20, 1.0)
    first = live.bounds(cards)
    assert first.cost_hi == pytest.approx(np.log1p(1.0))
    seen(11, 9.0)
    assert live.bounds(cards) is first
    seen(1, 9.0)
    assert live.bounds(cards).cost_hi == pytest.approx(np.log1p(9.0))


def test_what_a_card_set_says_is_the_same_arrays_for_every_task(embedder):
    """Where everybody may be chosen; nobody can change them, and the live ones are each task's."""
    registry, live = Registry(), LiveState()
    for c in (card("one"), card("two", requires_approval=True), card("new", status="canary")):
        registry.add(c)
    cards = registry.cardset(embedder)
    a, b = (eligible(cards, live, Task(prompt=p)).candidates for p in "ab")
    for name in ("rows", "prior", "explorable", "canary"):
        array = getattr(a, name)
        assert array is getattr(b, name)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    assert [str(n) for n in a.names[~a.explorable]] == ["two"]
    assert [str(n) for n in a.names[a.canary]] == ["new"]
    live.decided("one")
    c = eligible(cards, live, Task(prompt="c")).candidates
    assert c.inflight.tolist() != a.inflight.tolist() == [0.0] * 3
    few = eligible(cards, live, Task(prompt="d"), exclude=("new",)).candidates
    assert few.rows.tolist() == [i for i, n in enumerate(cards.names) if n != "new"]
    np.testing.assert_array_equal(few.prior, a.prior[few.rows])
