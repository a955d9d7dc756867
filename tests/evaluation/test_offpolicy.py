import asyncio

import numpy as np
import pytest

from agentroute.choosing.exploration import Epsilon
from agentroute.choosing.policy import Policy
from agentroute.errors import OverlapError, UsageError
from agentroute.evaluation.offpolicy.estimators import (
    LoggedRows,
    direct_model,
    estimate,
)
from agentroute.evaluation.offpolicy.logged import from_ledger, judged_decisions
from agentroute.evaluation.worlds.environments import separable
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.ids import keyed_rng
from agentroute.model.outcomes import Feedback, Outcome
from agentroute.model.scores import Scores, Taxonomy

Q = np.array([[0.9, 0.2, 0.4], [0.1, 0.7, 0.3]])  # expected reward of two contexts by three arms


def logged(t, seed, *, eps=0.3, target=((0, 1, 0), (1, 0, 0))):
    """Contexts at random; the logging policy likes arm 0 of context 0 and arm 1 of context 1."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, t)
    p = np.full((t, 3), eps / 3)
    p[np.arange(t), x] += 1 - eps
    a = (rng.random(t)[:, None] > p.cumsum(axis=1)).sum(axis=1).clip(max=2)
    r = (rng.random(t) < Q[x, a]).astype(float)
    pi = np.array(target, float)[x]
    return LoggedRows(a, p[np.arange(t), a], r, pi, p, [f"x{k}" for k in x])


def test_worked_numbers():
    """w = (2, 0, .5/.25 = 2, 0); IPS = (2*1 + 2*0)/4... by hand below."""
    rows = LoggedRows(
        chosen=np.array([0, 1, 0, 1] * 5),
        propensity=np.array([0.5, 0.5, 0.25, 0.75] * 5),
        reward=np.array([1.0, 1.0, 0.0, 0.0] * 5),
        target=np.array([[1.0, 0], [1, 0], [0.5, 0.5], [1, 0]] * 5),
    )
    out = estimate(rows)
    assert out.ips.value == pytest.approx(2 * 1.0 / 4)
    assert out.snips.value == pytest.approx(2 * 1.0 / (2 + 2))
    assert out.effective == pytest.approx(20**2 / 40)
    assert (out.logged.value, out.max_weight) == (0.5, 2.0)


def test_estimates_of_the_logging_policy_itself_are_its_mean():
    rows = logged(500, 1)
    same = LoggedRows(rows.chosen, rows.propensity, rows.reward, rows.logging, rows.logging)
    out = estimate(same)
    assert out.ips.value == pytest.approx(rows.reward.mean()) == out.snips.value
    assert out.effective == pytest.approx(500)


def test_intervals_cover_the_truth_and_the_mean_is_unbiased():
    """Truth: context 0 gets arm 1 (0.2), context 1 gets arm 0 (0.1): 0.15."""
    many = [estimate(logged(1000, s)) for s in range(60)]
    for name in ("ips", "snips", "dr"):
        found = [getattr(e, name) for e in many]
        assert np.mean([e.value for e in found]) == pytest.approx(0.15, abs=0.012)
        assert np.mean([e.lo <= 0.15 <= e.hi for e in found]) >= 0.85


def test_the_direct_model_makes_doubly_robust_tighter_than_ips():
    better = ((1, 0, 0), (0, 1, 0))
    pairs = [estimate(logged(400, s, eps=0.9, target=better)) for s in range(20)]
    width = {
        k: np.mean([getattr(p, k).hi - getattr(p, k).lo for p in pairs]) for k in ("ips", "dr")
    }
    assert width["dr"] < 0.8 * width["ips"]


def test_the_direct_model_of_a_row_never_saw_it():
    rows = logged(100, 3)
    other = LoggedRows(
        rows.chosen, rows.propensity, rows.reward.copy(), rows.target, rows.logging, rows.group
    )
    other.reward[7] = 1 - other.reward[7]
    assert np.array_equal(direct_model(rows)[7], direct_model(other)[7])
    assert not np.array_equal(direct_model(rows), direct_model(other))


def changed(**parts):
    rows = logged(200, 0)
    base = {f: getattr(rows, f) for f in ("chosen", "propensity", "reward", "target", "logging")}
    return LoggedRows(**(base | parts))


def test_certain_choices_are_refused():
    with pytest.raises(OverlapError, match="nothing was explored") as e:
        estimate(changed(propensity=np.ones(200), logging=None))
    assert "exploration" in e.value.hint


def test_a_target_that_could_not_have_been_logged_is_refused():
    never = np.tile([0.5, 0.5, 0.0], (200, 1))
    only_last = np.tile([0.0, 0.0, 1.0], (200, 1))
    rows = changed(logging=never, target=only_last, propensity=np.full(200, 0.5))
    with pytest.raises(OverlapError, match="100% of the target's choices"):
        estimate(rows)


def test_few_effective_rows_are_refused_and_some_are_warned_of():
    chosen = np.zeros(200, int)
    chosen[:3] = 1
    to_one = np.tile([0.0, 1.0, 0.0], (200, 1))
    even = {"propensity": np.full(200, 0.3), "target": to_one, "logging": None}
    with pytest.raises(OverlapError, match=r"3\.0 effective rows"):
        estimate(changed(chosen=chosen, **even))
    chosen[:15] = 1
    assert "effective" in estimate(changed(chosen=chosen, **even)).warnings[0]


@pytest.mark.parametrize(
    "bad",
    [
        {"propensity": np.zeros(200)},
        {"propensity": np.full(200, np.nan)},
        {"reward": np.full(200, np.nan)},
        {"reward": np.ones(199)},
        {"target": np.full((200, 3), 0.5)},
    ],
)
def test_arrays_that_do_not_fit_are_a_usage_error(bad):
    with pytest.raises(UsageError):
        estimate(changed(**bad))


class Likes:
    """Prefers the agent whose card speaks of the revealed kind, or its right neighbour."""

    name = "likes"
    taxonomy = Taxonomy("before", ("task",), "rules")

    def __init__(self, shift=0):
        self.shift = shift

    async def score(self, request):
        kinds = [str(a).split("-")[0] for a in request.candidates.names]
        at = (kinds.index(request.task.features["kind"]) + self.shift) % len(kinds)
        mean = np.full(len(kinds), 0.1)
        mean[at] = 0.9
        return Scores(mean, np.zeros(len(kinds)))

    def update(self, observation): ...
    def state_dict(self): ...
    def load_state_dict(self, state): ...


async def fill(ledger, policy, env, n, *, feedback=True):
    for t in range(n):
        rng = keyed_rng(7, t)
        request = env.sample(rng, t)
        scores, choice = await policy.choose(request, rng=rng)
        agent = str(request.candidates.names[choice.positions[0]])
        d = Decision(
            id=f"d{t}", run_id="r", task_id=request.task.id, kind="route", policy="likes",
            chosen=(agent,), propensity=choice.propensity, seed=t,
        )  # fmt: skip
        ledger.append(DecisionRecord(d, request, scores, choice.propensities))
        got = env.draw(request.task, choice.positions[0], rng)
        broke = "exit 1" if got == 0 and t % 2 else None
        ledger.append(Outcome(decision_id=d.id, agent=agent, cost_usd=0.1, error=broke))
        if feedback and broke is None:
            said = Feedback(id=f"f{t}", target="decision", target_id=d.id, score=got)
            last = ledger.append(said)
    ledger.append(Outcome(decision_id="d0", agent="nobody")).wait(30)
    return last if feedback else None


@pytest.mark.checklist("LB8")
async def test_a_ledger_says_what_another_policy_would_have_got(ledger):
    """Logged by a policy that takes the wrong one (0.2); asked about the right one (0.9)."""
    env = separable()
    await fill(ledger, Policy(Likes(shift=1), exploration=Epsilon(0.4)), env, 600)
    target = Policy(Likes(), exploration=Epsilon(0.0))
    found = await from_ledger(ledger, target)
    assert len(found.rows) == 600 and set(found.agents) == set(env.cardset.names)
    out = estimate(found.rows)
    for e in (out.ips, out.snips, out.dr):
        assert e.lo <= 0.9 <= e.hi and e.lo > out.logged.hi
    assert out.effective == pytest.approx(60, abs=25) and out.unsupported == 0


def test_rows_can_be_read_outside_of_a_loop(ledger):

    asyncio.run(fill(ledger, Policy(Likes(), exploration=Epsilon(0.4)), separable(), 30))
    rows = asyncio.run(from_ledger(ledger, Likes())).rows
    assert len(rows) == 30 and np.allclose(rows.target.sum(axis=1), 1)


async def test_the_failure_of_a_shadow_is_not_the_reward_of_the_choice(ledger):
    env = separable()
    await fill(ledger, Policy(Likes(), exploration=Epsilon(0.4)), env, 3, feedback=False)
    for d in ("d0", "d1", "d2"):
        (chosen,) = ledger.decision(d).chosen
        beside = next(str(a) for a in env.cardset.names if a != chosen)
        ledger.append(Outcome(decision_id=d, agent=beside, error="exit 1", shadow=True))
        row = Feedback(id=f"f{d}", target="decision", target_id=d, agent=chosen, score=0.75)
        last = ledger.append(row)
    last.wait(30)
    judged, _ = judged_decisions(ledger)
    worked = [j for j in judged if ledger.outcomes("r")[int(j.record.decision.id[1])].error is None]
    assert worked and all(j.quality == 0.75 for j in worked)


async def test_a_ledger_without_feedback_or_exploration_is_refused(ledger):
    with pytest.raises(OverlapError, match="none has feedback"):
        await from_ledger(ledger, Likes())
    await fill(ledger, Policy(Likes(), exploration=Epsilon(0.0)), separable(), 20)
    found = await from_ledger(ledger, Likes())
    with pytest.raises(OverlapError, match="nothing was explored"):
        estimate(found.rows)
