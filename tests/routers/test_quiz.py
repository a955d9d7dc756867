import numpy as np
import pytest

from agentroute.errors import UsageError
from agentroute.routers.linucb.router import LinUCB
from agentroute.routers.parts.quiz import choose_quiz, discrimination, predicted
from tests.routers import tools as t


def world(seed):
    """Nine agents whose quality differs by kind; on half of the 40 kinds all are the same."""
    rng = np.random.default_rng(seed)
    truth = rng.random((9, 40))
    truth[:, 20:] = 0.5
    return truth


def onboard(truth, how, size, seed):
    """Mean error on all kinds after a quiz of ``size`` tasks for agent 8, the new one."""
    cards, rng = t.cardset(9), np.random.default_rng(seed)
    router = LinUCB(width=4, drift=None)
    requests = [
        t.request(t.candidates(cards), features={"kind": str(int(k))})
        for k in rng.integers(40, size=120)
    ]
    kinds = [int(r.task.features["kind"]) for r in requests]
    for seq, r in enumerate(requests * 6):
        i = int(rng.integers(8))
        router.update(t.observe(seq, r, f"a{i}", float(truth[i, kinds[seq % 120]])))
    known = t.run(predicted(router, requests))[:, :8]
    x = np.array([router.context.vector(r.task, r.embedding) for r in requests])
    picked = choose_quiz(known, x, size) if how == "chosen" else rng.permutation(120)[:size]
    for n, i in enumerate(picked):
        router.update(t.observe(1_000 + n, requests[i], "a8", float(truth[8, kinds[i]])))
    after = t.run(predicted(router, requests))[:, 8]
    for n, (r, k) in enumerate(zip(requests, kinds, strict=True)):
        router.update(t.observe(2_000 + n, r, "a8", float(truth[8, k])))
    full = t.run(predicted(router, requests))[:, 8]
    return float(np.abs(after - full).mean())


@pytest.mark.checklist("LB5", simulated=True)
def test_a_chosen_quiz_onboards_better_than_a_random_one():
    errors = {
        how: np.mean([onboard(world(s), how, 20, s) for s in range(4)])
        for how in ("chosen", "random")
    }
    assert errors["chosen"] < 0.1
    assert errors["chosen"] < errors["random"]


def test_tasks_on_which_all_agree_are_not_asked():
    means = np.array([[0.5, 0.5], [0.1, 0.9], [0.4, 0.6], [0.5, 0.5]])
    assert choose_quiz(means, np.eye(4), 2) == [1, 2]
    twins = np.array([[1.0, 0], [1.0, 0], [0, 1.0]])
    assert choose_quiz(np.array([[0, 1.0], [0, 1.0], [0.1, 0.9]]), twins, 2) == [0, 2]


def test_who_is_no_candidate_of_a_task_says_nothing_of_it():
    nan = np.nan
    means = np.array([[0.2, 0.8, nan], [nan, nan, 0.9], [nan, nan, nan], [0.4, 0.4, 0.4]])
    assert discrimination(means) == pytest.approx([0.3, 0, 0, 0])
    assert choose_quiz(means, np.eye(4), 1) == [0]
    whole = np.random.default_rng(0).random((7, 5))
    assert discrimination(whole) == pytest.approx(whole.std(axis=1))


def test_a_quiz_has_a_size():
    for size in (0, 4):
        with pytest.raises(UsageError):
            choose_quiz(np.zeros((3, 2)), np.eye(3), size)
