"""A ledger as a table: what was chosen alone is known, and weighed by how likely it was."""

from dataclasses import replace

import numpy as np
import pytest

from agentroute.choosing.catalog import make_policy
from agentroute.errors import ConfigError, OverlapError, TableError, UsageError
from agentroute.evaluation.newcomers import onboarding
from agentroute.evaluation.offpolicy.astable import (
    effective_rows,
    ledger_table,
    require_overlap,
)
from agentroute.evaluation.offpolicy.estimators import LoggedRows, direct_model
from agentroute.evaluation.offpolicy.truth import truth_of
from agentroute.evaluation.runner import EvalSpec, evaluate
from agentroute.evaluation.sweep import cost_sweep
from agentroute.evaluation.tables.reading import load_table
from agentroute.evaluation.tables.writing import write_table
from agentroute.features.text import HashingEncoder
from agentroute.ledger import Ledger
from agentroute.model.ids import keyed_rng, uuid7
from agentroute.model.outcomes import Feedback
from agentroute.routers.baselines import FixedBest
from agentroute.routers.ensemble.router import Ensemble
from agentroute.routers.knn.router import KNN
from agentroute.routers.linear.router import LinearRouter
from agentroute.routers.linear.scorehead import ScoreHead
from tests.evaluation.logging import log_decisions
from tests.evaluation.maketable import row, table, write

E = HashingEncoder(64)
CHEAP = ("random", "best_single", "best_per_feature", "knn", "oracle")


def seen(whole, p, seed=0):
    """What is left of a whole table where arms were drawn with probabilities p (m, n)."""
    m, n = whole.scores.shape
    drawn = keyed_rng(seed, "seen").random(m)[:, None] > p.cumsum(axis=1)[:, :-1]
    chosen = drawn.sum(axis=1)
    scores = np.full((m, n), np.nan)
    scores[np.arange(m), chosen] = whole.scores[np.arange(m), chosen]
    return replace(whole, scores=scores, propensity=p, meta={"name": whole.name, "partial": True})


def known_by_kind(whole, right=0.8):
    """A policy that mostly knows who is good at which kind."""
    n = whole.scores.shape[1]
    kind = np.array([int(f["kind"][1:]) for f in whole.features])
    p = np.full(whole.scores.shape, (1 - right) / (n - 1))
    p[np.arange(len(kind)), kind] = right
    return p


def rows_of(tmp_path, *rows):
    return load_table(write(tmp_path / "t", rows, meta={"partial": True}))


def test_a_partial_row_knows_one_arm_and_who_could_have_been_chosen(tmp_path):
    t = rows_of(
        tmp_path,
        row(0, scores={"a": 1.0}, propensity={"a": 0.75, "b": 0.25}, skills=["sums"]),
        row(1, scores={"b": 0.5}, propensity={"b": 1.0}),
    )
    assert t.partial
    np.testing.assert_array_equal(t.scores, [[1.0, np.nan], [np.nan, 0.5]])
    np.testing.assert_array_equal(t.propensity, [[0.75, 0.25], [np.nan, 1.0]])
    assert t.tasks[0].skills == ("sums",) and t.tasks[1].skills == ()
    np.testing.assert_allclose(t.weights(np.arange(2)), [[4 / 3, 0], [0, 1]])
    np.testing.assert_allclose(t.examples(np.arange(2), E).weight, [[1, 0], [0, 1]])


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"scores": {"a": 1.0}}, "propensity: a row of a partial table"),
        ({"scores": {"a": 1.0}, "propensity": {"b": 1.0}}, "propensity.a: an arm with a score"),
        ({"scores": {"a": 1.0}, "propensity": {"a": 0.0}}, "propensity.a: an arm with a score"),
        ({"scores": {"a": 1.0}, "propensity": {"a": 1.5}}, r"not in \[0, 1\]"),
        ({"scores": {"a": 1.0}, "propensity": {"c": 1.0}}, "propensity.c: no such arm"),
        ({"scores": {}, "propensity": {"a": 1.0}}, "nothing is known"),
        ({"scores": {"a": 1.0}, "propensity": {"a": 1.0}, "skills": "x"}, "skills: must be a list"),
    ],
)
def test_a_partial_row_that_is_wrong_is_named(tmp_path, bad, says):
    with pytest.raises(TableError, match=says):
        rows_of(tmp_path, row(0, **bad))


def test_a_whole_table_takes_no_propensity_and_no_table_is_both(tmp_path):
    with pytest.raises(TableError, match="belongs to a table"):
        load_table(write(tmp_path / "a", [row(0, propensity={"a": 1.0})]))
    with pytest.raises(TableError, match="sparse or partial, not both"):
        load_table(write(tmp_path / "b", [row(0)], meta={"partial": True, "sparse": True}))


@pytest.mark.parametrize("partial", [False, True])
def test_what_is_written_is_read(tmp_path, partial):
    t = table(20, 3)
    t = seen(t, known_by_kind(t)) if partial else t
    write_table(replace(t, skills=tuple(("x",) * (i % 2) for i in range(20))), tmp_path / "out")
    back = load_table(tmp_path / "out")
    np.testing.assert_array_equal(back.scores, t.scores)
    if partial:
        np.testing.assert_array_equal(back.propensity, t.propensity)
    assert back.prompts == t.prompts and back.features == t.features
    assert list(back.ids) == list(t.ids) and list(back.split) == list(t.split)
    assert [x.skills for x in back.tasks] == [("x",) * (i % 2) for i in range(20)]
    with pytest.raises(TableError, match="exists"):
        write_table(t, tmp_path / "out")


def test_the_value_of_a_policy_is_estimated_without_bias():
    """The mean over draws of the doubly robust value of 'always arm 1' is arm 1's mean."""
    whole = table(300, 3, flip=0.3)
    p = known_by_kind(whole, 0.7)
    rows = np.arange(300)
    means = np.array([truth_of(seen(whole, p, s), rows).mean(axis=0) for s in range(60)])
    error = means.std(axis=0, ddof=1) / np.sqrt(60)
    assert (np.abs(means.mean(axis=0) - whole.scores.mean(axis=0)) < 4 * error).all()


def test_the_value_of_a_row_is_the_guess_and_its_error_over_the_propensity():
    whole = table(40, 3, flip=0.2)
    t = seen(whole, np.tile([0.25, 0.75, 0.0], (40, 1)))
    v, at = truth_of(t, np.arange(40)), np.arange(40)
    chosen = np.nan_to_num(t.scores, nan=-1).argmax(axis=1)
    r, p = t.scores[at, chosen], t.propensity[at, chosen]
    groups = [repr(([], sorted(f.items()))) for f in t.features]
    q = direct_model(LoggedRows(chosen, p, r, t.propensity, t.propensity, groups))
    np.testing.assert_allclose(v[at, 1 - chosen], q[at, 1 - chosen])
    np.testing.assert_allclose(v[at, chosen], q[at, chosen] + (r - q[at, chosen]) / p)
    assert np.isnan(v[:, 2]).all()  # could not have been chosen


def test_weights_undo_who_was_asked_what():
    """Arm a was asked hard tasks, arm b easy ones; both solve half of all: weighted, they tie."""
    m = 4_000
    whole = table(m, 2, flip=0.0)
    hard = np.arange(m) % 2 == 0
    scores = np.where(hard[:, None], 0.2, 0.8) * np.ones((m, 2))
    whole = replace(whole, scores=scores, features=({},) * m, prompts=("",) * m)
    p = np.where(hard[:, None], [0.8, 0.2], [0.2, 0.8])
    t = seen(whole, p)
    ex = t.examples(np.arange(m), E)

    def gap(router, examples):
        router.fit(examples)
        a, b = router.quality.shrunk(np.array([1, 2]), np.zeros(2), 1e-9)
        return abs(a - b)

    assert gap(FixedBest(), ex) < 0.04
    assert gap(FixedBest(), replace(ex, weight=None)) > 0.3
    for router in (KNN(), LinearRouter()):
        router.fit(ex)
        means = (
            router.means.shrunk(np.array([1, 2]), np.zeros(2), 1e-9)
            if isinstance(router, KNN)
            else router.head.contrast.values[0]
        )
        assert abs(means[0] - means[1]) < 0.04


def test_few_outcomes_do_not_make_a_classifier_and_say_nothing_of_difficulty():
    whole = table(200, 6, flip=0.0)  # one right arm a row: with all labels a classifier
    t = seen(whole, known_by_kind(whole))
    router = LinearRouter()
    router.fit(t.examples(np.arange(200), E))
    assert isinstance(router.head, ScoreHead)
    assert not router.head.level.values.any()
    with pytest.raises(ConfigError, match="every agent's outcome"):
        Ensemble(embedder=E).fit(t.examples(np.arange(200), E))


@pytest.mark.parametrize("name", ["linear", "knn", "fixed_best", "linucb"])
def test_eval_learns_from_a_partial_table_and_estimates_on_one(name):
    """Learned from 300 judged choices, scored on 300 others: right 0.9 of the time by kind."""
    whole = table(600, 3)
    t = seen(whole, known_by_kind(whole))
    got = evaluate(EvalSpec(train=t, test=t, routers=[name], embedder=E, seeds=1, baselines=CHEAP))
    result = got.routers[name]
    lo, hi = result.ci95
    assert lo - 0.05 < (0.4 if name == "fixed_best" else 0.9) < hi + 0.05
    assert "oracle" not in got.baselines and got.baselines["best_per_feature"] > 0.7
    assert any("doubly robust" in note for note in got.notes)


def test_only_who_could_have_been_chosen_is_chosen():
    whole = table(200, 3)
    p = np.tile([0.5, 0.5, np.nan], (200, 1))
    t = seen(whole, np.nan_to_num(p))
    t = replace(t, propensity=np.where(np.isnan(p), np.nan, t.propensity))
    got = evaluate(EvalSpec(train=t, test=t, routers=["uniform", "knn"], embedder=E, seeds=1,
                            baselines=CHEAP))  # fmt: skip
    assert np.isfinite([r.score for r in got.routers.values()]).all()
    assert np.isfinite(list(got.baselines.values())).all()


def test_what_needs_all_outcomes_refuses_a_partial_table():
    t = table(100, 3)
    t = seen(t, known_by_kind(t))
    spec = EvalSpec(train=t, test=t, routers=["knn"], embedder=E, seeds=1)
    for ask in (
        lambda: evaluate(replace(spec, mode="bandit")),
        lambda: cost_sweep(spec),
        lambda: onboarding(spec, 1),
    ):
        with pytest.raises(UsageError, match="partial table"):
            ask()


async def test_a_ledger_as_a_table(tmp_path):
    whole, url = table(120, 3), f"sqlite:///{tmp_path}/mine.db"
    policy = make_policy({"name": "linucb", "exploration": 0.3}, embedder=E)
    await log_decisions(url, whole, policy, E, range(120))
    with Ledger.open(url, read_only=True) as ledger:
        found = ledger_table(ledger)
    t = found.table
    assert (len(t), t.name, found.left_out) == (120, "mine", {})
    assert [a.name for a in t.arms] == ["a", "b", "c"]
    assert t.prompts == whole.prompts and t.features == whole.features
    known = ~np.isnan(t.scores)
    assert (known.sum(axis=1) == 1).all() and (t.scores[known] == whole.scores[known]).all()
    np.testing.assert_allclose(t.propensity.sum(axis=1), 1)
    assert list(t.split) == ["train"] * 96 + ["test"] * 24  # the last fifth in time
    assert (t.cost_usd[known] == 0.01).all() and np.isnan(t.cost_usd[~known]).all()
    w = np.minimum(1 / t.propensity[known], 10)
    assert effective_rows(t, np.arange(120)) == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert 30 < require_overlap(t, np.arange(120)) <= 120
    with pytest.raises(
        OverlapError, match=r"20 judged .* effective sample size of \d+\.\d, and 30"
    ):
        require_overlap(t, np.arange(20))


async def test_whose_word_counts_is_the_settings(tmp_path):
    whole, url = table(4, 3), f"sqlite:///{tmp_path}/a.db"
    policy = make_policy({"name": "knn", "exploration": 0.5}, embedder=E)
    await log_decisions(url, whole, policy, E, range(4), source="verifier:x")
    with Ledger.open(url) as ledger:
        for j in ledger_table(ledger).table.ids:
            (agent,) = ledger.decision(j).chosen
            row = Feedback(id=uuid7(), target="decision", target_id=j, agent=agent, score=0.25)
            last = ledger.append(row)
        await last
        by_user = ledger_table(ledger).table.scores
        by_verifier = ledger_table(ledger, weights={"user": 0.0, "verifier": 1.0}).table.scores
    known = ~np.isnan(by_user)
    assert (by_user[known] == 0.25).all()
    assert (by_verifier[known] == whole.scores[known]).all()


async def test_a_ledger_without_exploration_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    policy = make_policy({"name": "knn", "exploration": 0}, embedder=E)
    whole = table(40, 3)
    await log_decisions(url, whole, policy, E, range(5, 40))
    with Ledger.open(url, read_only=True) as ledger:
        t = ledger_table(ledger).table
    sure = replace(t, propensity=np.where(np.isnan(t.scores), 0.0, 1.0))
    with pytest.raises(OverlapError, match="nothing was explored"):
        require_overlap(sure, np.arange(len(sure)))
