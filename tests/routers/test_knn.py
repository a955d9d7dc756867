from dataclasses import replace

import numpy as np
import pytest

from agentroute.errors import ConfigError, RouterStateError
from agentroute.model.candidates import Examples
from agentroute.model.tasks import Task
from agentroute.routers.knn.router import KNN
from tests.routers import tools as t


def clusters(m, seed=0):
    """Two clusters of prompts; agent 0 is good in the first, agent 1 in the second."""
    rng = np.random.default_rng(seed)
    centre = t.unit(np.random.default_rng(1), 2, t.E)
    which = rng.integers(2, size=m)
    x = centre[which] + 0.05 * rng.standard_normal((m, t.E))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    quality = np.stack([which == 0, which == 1, np.full(m, False)], 1) * 0.8 + 0.1
    return which, x, quality


def test_it_learns_who_is_good_where():
    which, x, quality = clusters(200)
    cards, rng, router = t.cardset(3), np.random.default_rng(2), KNN()
    for seq in range(200):
        i = int(rng.integers(3))
        r = t.request(t.candidates(cards), x[seq])
        router.update(t.observe(seq, r, f"a{i}", float(quality[seq, i])))
    which, x, quality = clusters(40, seed=5)
    picks = [int(t.score(router, t.request(t.candidates(cards), v)).mean.argmax()) for v in x]
    assert (np.array(picks) == which).mean() > 0.95


def test_fitted_means_are_the_neighbours_shrunken_to_the_average():
    _, x, quality = clusters(60)
    cards = t.cardset(3)
    tasks = tuple(Task(prompt="x") for _ in x)
    examples = Examples(tasks, x, cards, quality, None, None, np.zeros(60, bool))
    router = KNN(k=1, tau=1.0, strength=1.0)
    router.fit(examples)
    s = t.score(router, t.request(t.candidates(cards), x[7]))
    average = (quality.sum(axis=0) + router.prior.mean(t.request(t.candidates(cards), x[7]))) / 61
    np.testing.assert_allclose(s.mean, (quality[7] + average) / 2, atol=1e-6)
    assert router.arms.names == ["a0", "a1", "a2"]


def test_tasks_that_nobody_should_answer_are_out_of_scope():
    which, x, quality = clusters(60)
    cards = t.cardset(3)
    tasks = tuple(Task(prompt="x") for _ in x)
    router = KNN(k=10)
    router.fit(Examples(tasks, x, cards, quality, None, None, which == 1))
    for cluster, refuses in ((0, False), (1, True)):
        v = x[which == cluster][0]
        s = t.score(router, t.request(t.candidates(cards), v))
        assert (s.out_of_scope >= 0.5) == refuses


def test_memory_is_bounded_and_forgets_the_oldest():
    cards, router = t.cardset(3), KNN(memory=16)
    _, x, quality = clusters(100)
    for seq in range(100):
        r = t.request(t.candidates(cards), x[seq], {"f": str(seq % 20)})
        router.update(t.observe(seq, r, f"a{seq % 3}", float(quality[seq, seq % 3])))
    assert router.tasks.size == 16
    assert len(router.tasks.keys) == 16
    newest = router.context.vector(r.task, x[99])
    places, s = router.tasks.nearest(newest, 1)
    assert s[0] == pytest.approx(newest @ newest, abs=1e-6)
    assert places[0] == 99 % 16


def test_a_team_shares_one_task():
    cards, router = t.cardset(3), KNN()
    r = t.request(t.candidates(cards), t.unit(np.random.default_rng(0), t.E))
    for agent, q in (("a0", 0.9), ("a1", 0.2)):
        router.update(replace(t.observe(1, r, agent, q)))
    assert router.tasks.size == 1
    router.update(t.observe(2, r, "a0", 0.9))
    assert router.tasks.size == 2


def test_late_feedback_joins_the_task_of_its_decision():
    cards, router = t.cardset(3), KNN()
    rng = np.random.default_rng(0)
    first = t.request(t.candidates(cards), t.unit(rng, t.E))
    router.update(t.observe(1, first, "a0", 0.2))
    for seq in range(2, 12):
        router.update(t.observe(seq, t.request(t.candidates(cards), t.unit(rng, t.E)), "a1", 0.5))
    size = router.tasks.size
    router.update(replace(t.observe(99, first, "a0", 0.9), decision_id="d1"))
    assert router.tasks.size == size == 11
    known = router.tasks.quality[router.tasks.place_of("d1")]
    assert known[~np.isnan(known)].tolist() == pytest.approx([0.9])


def test_an_agent_without_rows_keeps_its_cards_prior():
    cards, router = t.cardset(3), KNN()
    r = t.request(t.candidates(cards, prior=np.array([0.5, 0.5, 0.8])))
    router.update(t.observe(1, r, "a0", 0.9))
    s = t.score(router, r)
    assert s.mean[2] == pytest.approx(0.8)
    assert s.bonus[2] > s.bonus[0]


def test_errors():
    for bad in ({"k": 0}, {"tau": 0}, {"strength": 0}, {"memory": 0}):
        with pytest.raises(ConfigError):
            KNN(**bad)
    cards, router = t.cardset(3), KNN()
    router.update(t.observe(1, t.request(t.candidates(cards)), "a0", 0.9))
    other = t.request(t.candidates(replace(cards, embedder_id="other")))
    with pytest.raises(RouterStateError):
        t.score(router, other)
