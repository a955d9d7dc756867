"""Answers decide whether more agents are asked: each step a row, bounded, and the same again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentroute import AgentReply, Orchestrator, Registry, Task
from agentroute.choosing.decide import Choice
from agentroute.choosing.depth import make_depth
from agentroute.choosing.depth.protocol import Answer, AskMore, Seen
from agentroute.choosing.state import StateDict
from agentroute.execution.langgraph.modes import mode_structure
from agentroute.execution.trying import attempt
from agentroute.model.scores import Scores, Taxonomy
from agentroute.refining.agreement import sigma

ONE = "tasks: [{id: t, prompt: what is 20 + 3, skills: [s]}]\n"


class ByCard:
    """Expects of an agent what its card says."""

    name = "by_card"
    taxonomy = Taxonomy("before", ("task",), "rules")

    async def score(self, request):
        mean = request.candidates.prior
        return Scores(mean.copy(), np.zeros(len(mean)), {"prior": mean.copy()})

    def update(self, observation):
        """Learns nothing."""

    def state_dict(self):
        return StateDict("by_card", 1, {}, {})

    def load_state_dict(self, state):
        """Nothing to load."""


@pytest.fixture
def opened(tmp_path):
    def make(registry, **options):
        return Orchestrator(
            registry, ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path, embedder="hashing",
            **options,
        )  # fmt: skip

    return make


def saying(**texts):
    """A registry whose agents answer these words, the first expected to be best."""
    registry, calls = Registry(), []
    for i, (name, text) in enumerate(texts.items()):

        def agent(call, text=text, name=name):
            calls.append(name)
            return text if isinstance(text, AgentReply) else AgentReply(text=text)

        registry.agent(name=name, skills=["s"], prior_quality=0.9 - 0.1 * i)(agent)
    registry.calls = calls
    return registry


def rows(run, kind):
    return [d for d in run.decisions if d.kind == kind]


async def ran(opened, registry, depth, **options):
    async with opened(registry, depth=depth, exploration=0.0, router=ByCard(), **options) as orc:
        return await orc.run(Task(prompt="what is 20 + 3", skills=("s",)))


@pytest.mark.checklist("AC2")
async def test_two_that_agree_cost_two_calls_and_the_row_says_why(opened):
    registry = saying(a="23", b="The answer is 23.", c="24", d="25")
    run = await ran(opened, registry, {"name": "sigma", "audit": 0.0})
    assert (run.answer, registry.calls, run.status) == ("23", ["a", "b"], "completed")
    (step,) = rows(run, "depth")
    assert step.chosen == ("accept", "a", "b")
    assert "sigma 0.00: single" in step.reason


@pytest.mark.checklist("AC2", "PR2")
@pytest.mark.parametrize("depth", ["sigma", "confidence"])
async def test_a_disagreement_asks_a_third_and_can_change_the_answer(opened, depth):
    registry = saying(a="24", b="23", c="23", d="23")
    spec = {"name": "sigma", "audit": 0.0} if depth == "sigma" else {
        "name": "confidence", "tau_a": 0.5, "tau_c": 0.5,
    }  # fmt: skip
    run = await ran(opened, registry, spec)
    assert run.answer == "23"  # of two the first stood, whatever the second said
    steps = rows(run, "depth")
    assert [s.chosen[0] for s in steps] == ["ask"] * (len(steps) - 1) + ["accept"]
    assert len(rows(run, "route")) == len(steps)


async def test_a_cascade_starts_with_the_cheapest_that_clears_the_bar(opened):
    registry, calls = Registry(), []
    for name, quality, usd in (("dear", 0.9, 1.0), ("cheap", 0.8, 0.1), ("poor", 0.2, 0.01)):

        def agent(call, name=name):
            calls.append(name)
            return AgentReply(text=name, confidence=0.3 if name == "cheap" else None)

        pricing = {"expected_usd": usd}
        registry.agent(name=name, skills=["s"], prior_quality=quality, pricing=pricing)(agent)
    run = await ran(opened, registry, {"name": "cascade", "accept_at": 0.7})
    assert (calls, run.answer) == (["cheap", "dear"], "dear")
    assert [s.chosen for s in rows(run, "depth")] == [("ask", "1"), ("accept", "dear")]
    assert rows(run, "route")[0].chosen == ("cheap",)


async def test_an_agent_cannot_vouch_for_itself(opened):
    registry = saying(a=AgentReply(text="x", confidence=1.0), b="y")
    run = await ran(opened, registry, {"name": "cascade", "accept_at": 0.95, "k_max": 2})
    assert registry.calls == ["a", "b"]
    assert run.status == "degraded"
    assert "no answer was 0.95 sure" in run.degraded[0]


async def test_a_verifier_accepts_or_sends_on(opened):
    registry = saying(a="wrong", b="right")

    @registry.agent(name="judge", skills=["verify"])
    def judge(call):
        (text,) = (r.text for r in call.inputs.values())
        return AgentReply(data={"scores": [{"task_id": "task", "score": float(text == "right")}]})

    depth = {"name": "cascade", "accept_at": 0.8, "verifier": "judge"}
    run = await ran(opened, registry, depth)
    assert (run.answer, registry.calls, run.status) == ("right", ["a", "b"], "completed")
    assert [d.chosen for d in rows(run, "verify")] == [("judge",), ("judge",)]


@pytest.mark.checklist("AC11")
async def test_an_estimate_above_the_budget_is_refused_before_any_call(opened):
    registry, calls = Registry(), []
    for name in "ab":
        registry.agent(name=name, skills=["s"], pricing={"expected_usd": 0.6})(
            lambda call: calls.append(1) or "x"
        )
    run = await ran(opened, registry, "sigma", budget_usd=1.0)
    assert (calls, run.status) == ([], "failed")
    assert "are expected to cost $1.2, $1 are left" in " ".join(run.degraded) + (run.answer or "")


@pytest.mark.checklist("PR3")
async def test_exploration_takes_the_majority_then_the_most_expected_or_refuses(opened):
    explore = {"name": "confidence", "tau_c": 1.0}
    many = await ran(opened, saying(a="1", b="2", c="2"), explore)
    assert many.answer == "2"


@pytest.mark.checklist("PR3")
async def test_without_a_majority_the_most_expected_stands(opened):
    run = await ran(opened, saying(c="3", b="2", a="1"), {"name": "confidence", "tau_c": 1.0})
    assert run.answer == "3"


@pytest.mark.checklist("PR3")
async def test_nobody_that_knows_is_a_refusal(opened):
    silent = AgentReply(text="no idea", abstained=True)
    run = await ran(
        opened, saying(a=silent, b=silent, c=silent), {"name": "confidence", "tau_c": 1.0}
    )
    assert run.status == "abstained"


async def test_a_failure_on_the_way_does_not_lose_the_answers(opened):
    registry = saying(a="23", b="24")

    @registry.agent(name="c", skills=["s"], prior_quality=0.1)
    def c(call):
        raise ValueError("broken")

    run = await ran(opened, registry, {"name": "sigma", "audit": 0.0})
    assert run.answer.startswith("23")
    assert registry.calls == ["a", "b"]


async def test_an_audit_is_drawn_and_its_chance_is_in_the_row(opened):
    registry = saying(a="23", b="23", c="24", d="24", e="24")
    run = await ran(opened, registry, {"name": "sigma", "audit": 1.0})
    first = rows(run, "depth")[0]
    assert (first.chosen, first.propensity) == (("ask", "1"), 1.0)
    assert "audited" in first.reason
    registry = saying(a="23", b="23", c="24")
    run = await ran(opened, registry, {"name": "sigma", "audit": 0.25})
    assert rows(run, "depth")[0].propensity in (0.25, 0.75)


async def test_a_resumed_run_decides_and_asks_nothing_again(world, plan_of):
    for name, text in {"a": "1", "b": "2", "c": "2", "d": "2"}.items():
        world.agent(name, reply=text)
    world.options = {"rules": {"depth": make_depth({"name": "sigma", "audit": 0.5})}}
    first = await world.run(plan_of(ONE))
    calls = len(world.calls)
    again = await world.run(plan_of(ONE), run_id=first.run_id)
    assert (again.answer, len(world.calls)) == (first.answer, calls)
    assert [d.id for d in again.decisions] == [d.id for d in first.decisions]


async def test_a_row_is_followed_even_under_other_settings(world, plan_of):
    for name, text in {"a": "1", "b": "2", "c": "2"}.items():
        world.agent(name, reply=text)
    world.options = {"rules": {"depth": make_depth({"name": "sigma", "audit": 0.0})}}
    first = await world.run(plan_of(ONE))
    calls = len(world.calls)
    other = make_depth({"name": "sigma", "audit": 0.0, "mode": "single"})
    life = world.executor(rules={"depth": other})
    again = await life.run(plan_of(ONE), run_id=first.run_id)
    assert (again.answer, len(world.calls)) == (first.answer, calls)


SPECS = (
    {"name": "sigma"}, {"name": "sigma", "probes": 1}, {"name": "sigma", "audit": 1.0},
    {"name": "sigma", "mode": "full"}, {"name": "cascade", "accept_at": 1.0, "k_max": 4},
    {"name": "confidence", "tau_c": 1.0, "k_max": 4}, {"name": "confidence", "tau_a": 1.0},
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SPECS), st.lists(st.sampled_from("abc?"), min_size=1, max_size=8), st.data())
def test_a_policy_always_ends_within_its_bound(spec, words, data):
    """Whoever answers what, fails ('?') or is not there."""
    depth = make_depth(spec)
    mean = np.linspace(0.9, 0.1, len(words))
    scores = Scores(mean, np.zeros(len(words)))
    k, _ = depth.how_many(scores, Choice((0,), "selected", 1.0, mean))
    asked = min(k, len(words))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    for _ in range(20):
        keys = [(i, w) for i, w in enumerate(words[:asked]) if w != "?"]
        answers = tuple(Answer(str(i), w, float(mean[i])) for i, w in keys)
        disagree = sigma([w for _, w in keys], key=str) if keys else 0.0
        step = depth.next(Seen(answers, disagree, asked, len(words) - asked), rng)
        assert 0.0 < step.propensity <= 1.0
        if not isinstance(step, AskMore):
            assert asked <= max(depth.k_max, k)
            return
        assert 1 <= step.k <= len(words) - asked
        asked += step.k
    raise AssertionError("it never ended")


@pytest.mark.checklist("PR1")
@pytest.mark.parametrize(
    ("p1", "p2", "asked"),
    [
        (0.6, 0.5, 1), (0.6, 0.51, 2), (0.59, 0.1, 3), (0.9, 0.8, 1), (0.9, 0.85, 2),
        (0.9, 0.9, 2), (0.0, 0.0, 3),
    ],
)  # fmt: skip
async def test_two_thresholds_say_how_many_and_each_bound_belongs_to_the_mode_above(
    opened, p1, p2, asked
):
    registry = Registry()
    for name, p in (("a", p1), ("b", p2), ("c", 0.0)):
        registry.agent(name=name, skills=["s"], prior_quality=p)(lambda call: "the same")
    run = await ran(opened, registry, {"name": "confidence", "tau_c": 0.6, "tau_a": 0.1})
    first = rows(run, "route")[0]
    assert len(first.chosen) == asked
    mode = {1: "single", 2: "dual", 3: "explore"}[asked]
    assert f"confidence: {mode}" in first.reason


LOOP = "```python\ndef total(xs):\n    s = 0\n    for x in xs:\n        s += x\n    return s\n```"
SAME = LOOP.replace("xs", "v").replace("    s", "    n").replace("return s", "return n  # it")
LESS = LOOP.replace("+=", "-=")


@pytest.mark.checklist("AC1", "AC3")
@pytest.mark.parametrize(
    ("texts", "sigma_of"),
    [
        (("42", "42.0"), 0.0), (("42", "The answer is 42."), 0.0), (("42", "43"), 1.0),
        (("(B)", "The answer is B"), 0.0), (('{"x": 1, "y": 2}', '{"y": 2.0, "x": 1}'), 0.0),
        ((LOOP, SAME), 0.0), ((LOOP, LESS), 1.0), ((LOOP, "42"), 1.0),
    ],
)  # fmt: skip
async def test_what_counts_as_the_same_answer_depends_on_its_kind(opened, texts, sigma_of):
    registry = saying(**dict(zip("ab", texts, strict=True)))
    run = await ran(opened, registry, {"name": "sigma", "probes": 2, "audit": 0.0})
    assert f"sigma {sigma_of:.2f}" in rows(run, "depth")[0].reason
    assert registry.calls == ["a", "b"]


@pytest.mark.checklist("AC1")
@pytest.mark.parametrize("probes", [1, 2, 3, 5])
async def test_any_number_of_probes_has_a_sigma(opened, probes):
    registry = saying(**{f"p{i}": str(i) for i in range(probes)})
    spec = {"name": "sigma", "probes": probes, "audit": 0.0}
    run = await ran(opened, registry, spec)
    last = rows(run, "depth")[-1]
    # one probe agrees with itself; several that all differ are as far apart as can be
    assert f"sigma {0.0 if probes == 1 else 1.0:.2f}" in last.reason
    assert len(registry.calls) == probes


@pytest.mark.checklist("AC2")
@pytest.mark.parametrize(("mode", "asked"), [("single", 2), ("lite", 3), ("full", 4), ("auto", 2)])
async def test_a_mode_that_is_set_stands_over_what_sigma_says(opened, mode, asked):
    registry = saying(a="23", b="23", c="24", d="24", e="24")
    spec = {"name": "sigma", "probes": 2, "mode": mode, "audit": 0.0}
    run = await ran(opened, registry, spec)
    assert len(registry.calls) == asked
    said = [d.reason for d in rows(run, "depth")]
    assert (f"mode {mode} is set" in said[0]) == (mode != "auto")


@pytest.mark.checklist("PR8")
async def test_an_agent_that_comes_later_is_asked_without_anything_learned_of_it(opened):
    registry = saying(a="1", b="2")
    spec = {"name": "confidence", "tau_c": 1.0}
    async with opened(registry, depth=spec, exploration=0.0) as orc:
        before = await orc.run(Task(prompt="what is 20 + 3", skills=("s",)))
        for _ in range(3):
            await orc.feedback(before.run_id, score=0.9, source="user")
        registry.agent(name="new", skills=["s"])(lambda call: "2")
        after = await orc.run(Task(prompt="what is 20 + 3", skills=("s",)))
    assert "new" in {a for d in rows(after, "route") for a in d.chosen}
    assert after.answer == "2"  # and it made the majority


@pytest.mark.checklist("PR9")
@pytest.mark.parametrize(
    ("mode", "tau_c", "tau_a", "first"), [
        ("single", 0.5, 0.05, 1), ("dual", 0.5, 0.5, 2), ("explore", 0.95, 0.05, 3),
    ],
)  # fmt: skip
async def test_each_mode_runs_as_a_graph_of_its_own_that_its_row_shows(
    opened, mode, tau_c, tau_a, first, monkeypatch
):
    ran_as = []
    plain = attempt.run_mode

    async def watched(modal, k):
        ran_as.append(k)
        await plain(modal, k)

    monkeypatch.setattr(attempt, "run_mode", watched)
    registry = saying(a="23", b="23", c="23", d="23")
    async with opened(
        registry, depth={"name": "confidence", "tau_c": tau_c, "tau_a": tau_a},
        exploration=0.0, router=ByCard(),
    ) as orc:  # fmt: skip
        run = await orc.run(Task(prompt="what is 20 + 3", skills=("s",)))
        (step,) = (orc.ledger.record(d.id) for d in rows(run, "depth"))
    assert len(registry.calls) == first
    assert ran_as == [first]
    assert f"confidence: {mode}" in rows(run, "route")[0].reason
    plan = step.context["plan"]
    assert [n for n in plan["nodes"] if n.startswith("asked_")] == [
        f"asked_{i + 1}" for i in range(first)
    ]
    assert [e for e in plan["edges"] if "again" in e and "__end__" not in e] == [
        ["again", "policy"],
        ["policy", "again"],
    ]
    plans = [mode_structure(k) for k in (1, 2, 3)]
    assert plan == plans[first - 1]
    assert all(plans.count(p) == 1 for p in plans)


async def test_what_a_verifier_left_unscored_is_said_after_more_were_asked(opened):
    registry = saying(a="wrong", b="right")

    @registry.agent(name="judge", skills=["verify"])
    def judge(call):
        (text,) = (r.text for r in call.inputs.values())
        return AgentReply(data={"score": 0.9} if text == "right" else {})

    depth = {"name": "cascade", "accept_at": 0.95, "verifier": "judge", "k_max": 2}
    run = await ran(opened, registry, depth)
    assert registry.calls == ["a", "b"]
    assert any("gave no score for the answer of a" in d for d in run.degraded)
