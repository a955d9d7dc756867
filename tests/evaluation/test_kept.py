"""What the figures of an evaluation rest on: which rows count, and for how much."""

import numpy as np
import pytest

from agentroute.choosing.exploration import Epsilon
from agentroute.choosing.policy import Policy
from agentroute.evaluation.baselines.rules import global_means, knn
from agentroute.evaluation.metrics import TaskScores, bootstrap_ci
from agentroute.evaluation.offpolicy.logged import from_ledger
from agentroute.evaluation.tables.problem import Inputs, Labels
from agentroute.evaluation.worlds.environments import separable
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.ids import keyed_rng
from agentroute.model.outcomes import Feedback
from tests.evaluation.test_offpolicy import Likes


def test_rows_that_nobody_should_answer_are_not_in_the_means():
    labels = Labels(np.array([[1.0, 0.2], [0.0, 0.8]]), np.array([False, True]))
    assert global_means(labels).tolist() == [1.0, 0.2]


def test_the_number_of_neighbours_is_chosen_on_train():
    """A noisy table wants many: with the fewest its choices are little better than chance."""
    rng = np.random.default_rng(0)
    side = rng.integers(0, 2, 600)
    x = np.stack([np.cos(0.3 * side), np.sin(0.3 * side)], axis=1).astype(np.float32)
    x += 0.001 * rng.standard_normal(x.shape).astype(np.float32)
    good = np.where(side[:, None] == np.arange(2), 0.6, 0.4)
    labels = Labels((rng.random(good.shape) < good).astype(float), np.zeros(600, bool))
    train = Inputs(("",) * 600, ({},) * 600, x)
    guess = knn(train, labels, train, np.random.default_rng(1))
    values = np.unique((guess.quality * 5).round(6) % 1)
    assert len(values) > 1  # means over more than five rows
    assert (guess.quality.argmax(axis=1) == side).mean() > 0.9


def test_a_task_that_was_played_more_often_weighs_more():
    """One task of 90 plays at 1, nine of one play at 0: the mean is 0.91, and so its interval."""
    scores = TaskScores(np.array([90.0] + [0.0] * 9), np.array([90.0] + [1.0] * 9))
    lo, hi = bootstrap_ci(scores)
    assert scores.mean() == pytest.approx(90 / 99)
    assert hi > 0.9 and (lo == 0.0 or lo > 0.85)
    many = TaskScores(np.tile([9.0, 0.0], 200), np.tile([9.0, 1.0], 200))
    lo, hi = bootstrap_ci(many)
    assert lo < 0.9 < hi and hi - lo < 0.1


async def test_retries_and_pinned_agents_are_left_out_and_counted(ledger):
    """They were not drawn from the policy: their propensity says nothing of it."""
    env, policy = separable(), Policy(Likes(), exploration=Epsilon(0.4))
    for t, (attempt, pinned) in enumerate([(1, False)] * 8 + [(2, False)] * 3 + [(1, True)] * 2):
        rng = keyed_rng(7, t)
        r = env.sample(rng, t)
        scores, choice = await policy.choose(r, rng=rng)
        agent = str(r.candidates.names[choice.positions[0]])
        if pinned:
            r = type(r)(r.task.model_copy(update={"agent": agent}), r.embedding, r.candidates)
        d = Decision(
            id=f"d{t}", run_id="r", task_id=f"t{t}", kind="route", policy="likes",
            chosen=(agent,), attempt=attempt, propensity=choice.propensity, seed=t,
        )  # fmt: skip
        ledger.append(DecisionRecord(d, r, scores, choice.propensities))
        said = Feedback(id=f"f{t}", target="decision", target_id=d.id, score=0.5)
        await ledger.append(said)
    found = await from_ledger(ledger, Likes())
    assert len(found.rows) == 8
    assert found.left_out == {"a retry or a fallback": 3, "pinned": 2}
