"""Parts of the supervised router: means, ridge, n-grams, network, threshold, newcomers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentroute.routers.linear.classes.network import Recipe, softmax, train_network
from agentroute.routers.linear.classes.ngrams import fit_ngrams
from agentroute.routers.linear.forest import LEAF, NOWHERE, TREES, fit_forest
from agentroute.routers.linear.means import FeatureMeans, fit_means
from agentroute.routers.linear.ridge import ridge_path
from agentroute.routers.linear.textmodel import TextModel, fit_text
from agentroute.routers.linear.threshold import MAX_LOSS, choose_threshold, out_of_scope
from agentroute.routers.linear.views import STATS, columns, scaled, scaling, spread_of
from agentroute.routers.linear.zeroshot import fit_card_map, fit_gate, gate_inputs


def test_means_shrink_as_the_formula_says():
    y = np.array([[1.0, 0.0]] * 6 + [[0.0, 1.0]] * 2)
    features = [{"k": "a"}] * 6 + [{"k": "b"}] * 2
    means, _ = fit_means(features, y)
    kappa = means.kappas[0]
    expected = (2 * 0.0 + kappa * 0.75) / (2 + kappa)
    assert means.values[means.row({"k": "b"})][0] == pytest.approx(expected)


def test_an_unseen_value_is_the_global_mean():
    rng = np.random.default_rng(0)
    features = [{"k": str(i % 3), "j": str(i % 2)} for i in range(60)]
    y = np.eye(3)[np.arange(60) % 3] * 0.8 + 0.1 * rng.random((60, 3))
    means, _ = fit_means(features, y)
    for unknown in ({"k": "new", "j": "new"}, {}):
        np.testing.assert_allclose(means.values[means.row(unknown)], y.mean(axis=0))


def test_a_missing_score_does_not_count():
    y = np.array([[1.0, np.nan], [0.0, np.nan], [0.5, 0.25]])
    means, _ = fit_means([{}] * 3, y)
    np.testing.assert_allclose(means.values[0], [0.5, 0.25])


def test_noise_after_the_leading_feature_is_left_out():
    rng = np.random.default_rng(1)
    lead = np.arange(400) % 4
    y = (rng.random((400, 4)) < 0.3 + 0.4 * np.eye(4)[lead]).astype(float)
    features = [{"lead": str(v), "noise": str(rng.integers(100))} for v in lead]
    means, _ = fit_means(features, y)
    assert means.chain == ["lead"]


def test_means_survive_json():
    features = [{"k": str(i % 3)} for i in range(30)]
    means, _ = fit_means(features, np.eye(3)[np.arange(30) % 3])
    again = FeatureMeans.load(means.meta(), means.values)
    assert [again.row(f) for f in features] == [means.row(f) for f in features]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 30), st.integers(1, 12))
def test_left_out_predictions_equal_refitting(seed, m, d):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((m, d)).astype(np.float32)
    r = rng.standard_normal((m, 2))
    for penalty, weights, loo in ridge_path(z, r):
        rest = np.delete(np.arange(m), 0)
        x = z[rest].astype(float)
        w = np.linalg.solve(x.T @ x + penalty * np.eye(d), x.T @ r[rest])
        full = np.linalg.solve(z.T.astype(float) @ z + penalty * np.eye(d), z.T.astype(float) @ r)
        np.testing.assert_allclose(weights, full, atol=1e-4)
        # the leverage counts the intercept too (1/m), so the two agree to that order
        h = z[0] @ np.linalg.solve(z.T @ z + penalty * np.eye(d), z[0]) + 1 / m
        if h < 0.9:
            exact = r[0] - (r[0] - z[0] @ full) / (1 - h)
            np.testing.assert_allclose(loo[0], exact, atol=1e-3)
            assert np.abs(loo[0] - z[0] @ w).max() < 3.0 * np.abs(r).max() / (m * (1 - h)) + 1e-6


def steps(m, seed, d=12):
    """Columns (m, d), and two arms of which column 3 decides the better one."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((m, d)).astype(np.float32)
    p = np.where(x[:, [3]] > 0, [0.8, 0.3], [0.2, 0.7])
    return x, (rng.random((m, 2)) < p).astype(float), rng


def test_forest_learns_a_step_and_serves_its_out_of_bag_rule():
    x, y, rng = steps(400, 0)
    forest, out_of_bag = fit_forest(x, y, rng)
    assert len(forest.root) == TREES
    right = (out_of_bag.argmax(axis=1) == (x[:, 3] <= 0)).mean()
    assert right > 0.9
    served = np.array([forest.predict(row) for row in x])
    assert (served.argmax(axis=1) == (x[:, 3] <= 0)).mean() > 0.9
    assert np.corrcoef(served[:, 0], out_of_bag[:, 0])[0, 1] > 0.8


def test_every_path_of_a_forest_ends_in_a_leaf_with_rows_enough():
    x, y, rng = steps(150, 1)
    forest, _ = fit_forest(x, y, rng)
    at = forest.root
    for _ in range(int(forest.depth)):
        at = forest.child[at] + (x[0][forest.column[at]] > forest.threshold[at])
    assert (forest.threshold[at] == NOWHERE).all()
    assert (forest.child[at] == at).all()
    leaves = (forest.threshold == NOWHERE).sum() / TREES
    assert leaves <= 0.75 * 150 / LEAF


def test_forest_of_few_or_constant_rows_says_nothing():
    rng = np.random.default_rng(0)
    for x in (np.zeros((100, 3), np.float32), rng.random((10, 3)).astype(np.float32)):
        forest, out_of_bag = fit_forest(x, rng.random((len(x), 2)), rng)
        assert not forest.predict(x[0]).any()
        assert not out_of_bag.any()


def fitted_text(y, seed=0):
    """A text model of prompts with a number each, for outcomes ``y`` (m, 2)."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(1, 10_000, len(y))
    e = rng.standard_normal((len(y), 8)).astype(np.float32) / np.sqrt(8)
    x = columns([f"take {k} away" for k in numbers], e)
    away = y - y.mean(axis=0)
    return fit_text(x, spread_of(x), away, away, y.mean(axis=0), rng), e


def test_text_is_trusted_where_it_predicts_and_not_where_it_does_not():
    rng = np.random.default_rng(2)
    noise = (rng.random((400, 2)) < 0.5) - 0.5
    (silent, _), _ = fitted_text(noise - noise.mean(axis=1, keepdims=True))
    numbers = np.random.default_rng(0).integers(1, 10_000, 400)
    signal = np.where(numbers[:, None] > 3_000, [0.4, -0.4], [-0.4, 0.4])
    (model, added), e = fitted_text(signal)
    assert model.trust > 0.8
    assert silent.trust < 0.5
    assert (added.argmax(axis=1) == signal.argmax(axis=1)).mean() > 0.9
    assert model.predict("take 9000 away", e[0]).argmax() == 0
    assert model.predict("take 12 away", e[0]).argmax() == 1
    again = TextModel.load(model.meta(), model.arrays())
    np.testing.assert_array_equal(again.predict("take 7 x", e[1]), model.predict("take 7 x", e[1]))


def test_ngrams_know_only_what_two_texts_share():
    grams = fit_ngrams(["pay my bill", "pay my rent", "unique"])
    columns, values = grams.row("pay my bill")
    assert len(columns) > 0
    assert (np.diff(columns) > 0).all()
    assert values @ values == pytest.approx(2.0, abs=1e-5)  # two blocks of length 1
    assert len(grams.row("zzz")[0]) == 0
    assert grams.matrix(["pay my bill"]).toarray()[0, columns] == pytest.approx(values)


def test_ngrams_of_nothing():
    grams = fit_ngrams(["", "   "])
    assert len(grams.row("anything")[0]) == 0
    assert grams.matrix(["", "x"]).shape == (2, 0)


def test_network_learns_words_and_serves_alike_one_by_one():
    rng = np.random.default_rng(0)
    texts = [f"{w} number {i % 7}" for i in range(120) for w in ("alpha", "beta", "gamma")]
    target = np.tile(np.eye(3, dtype=np.float32), (120, 1))
    grams = fit_ngrams(texts)
    s, e = grams.matrix(texts), rng.standard_normal((360, 8)).astype(np.float32) / 3
    net = train_network(s, e, target, recipe=Recipe(hidden=8, epochs=5), rng=rng)
    z = net.all_logits(s, e)
    assert (z.argmax(axis=1) == target.argmax(axis=1)).mean() > 0.99
    np.testing.assert_allclose(net.logits(grams.row(texts[4]), e[4]), z[4], atol=1e-4)
    assert softmax(z).sum(axis=1) == pytest.approx(1.0, abs=1e-5)


def test_threshold_pays_at_most_its_price():
    rng = np.random.default_rng(0)
    inside, away = rng.beta(8, 2, 2000), rng.beta(2, 8, 100)
    earned, marked = np.ones(2100), np.arange(2100) >= 2000
    theta = choose_threshold(np.append(inside, away), earned, marked)
    assert theta > 0
    assert (inside < theta).mean() <= MAX_LOSS + 1e-9
    assert (away < theta).mean() > 0.5


def test_nothing_is_refused_without_marked_rows():
    theta = choose_threshold(np.linspace(0, 1, 50), np.ones(50), np.zeros(50, bool))
    assert out_of_scope(0.0, theta) == 0.0


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.99))
def test_out_of_scope_falls_in_confidence_and_crosses_at_the_threshold(a, b, theta):
    low, high = sorted((a, b))
    assert 1.0 >= out_of_scope(low, theta) >= out_of_scope(high, theta) >= 0.0
    assert (out_of_scope(a, theta) > 0.5) == (a < theta) or out_of_scope(a, theta) == 0.5


def test_gate_learns_who_is_new():
    rng = np.random.default_rng(0)
    new = np.arange(200) % 4 == 0
    x = gate_inputs(np.where(new, 0.2, 0.95), np.where(new, 0.8, 0.2), np.full(200, 0.4))
    x[:, 2] += 0.1 * rng.standard_normal(200)
    gate = fit_gate(x, new, np.ones(200))
    assert gate.probability(0.2, 0.8, 0.4) > 0.8
    assert gate.probability(0.95, 0.2, 0.4) < 0.1


def test_card_map_prefers_the_right_card_and_shared_words():
    rng = np.random.default_rng(0)
    cards = np.eye(4, 16, dtype=np.float32)
    turn = np.linalg.qr(rng.standard_normal((16, 16)))[0].astype(np.float32)
    y = np.eye(4, dtype=np.float32)[np.arange(200) % 4]
    x = y @ cards @ turn
    s = fit_card_map(x, y, cards).similarity(x[2], frozenset({"a"}), cards, [frozenset()] * 4)
    assert s.argmax() == 2
    said = [frozenset({"a"}), *[frozenset({"b"})] * 3]
    silent = fit_card_map(x, y, cards).similarity(0 * x[2], frozenset({"a"}), cards, said)
    assert silent.argmax() == 0


@pytest.mark.parametrize("texts", [["", ""], ["a", "a"], ["x" * 90_000, "1 2 3 é 漢字 \x00"]])
def test_columns_are_finite_for_odd_texts(texts):
    e = np.random.default_rng(0).standard_normal((2, 12)).astype(np.float32)
    block = columns(texts, e)
    assert block.shape == (2, STATS + 12)
    assert np.isfinite(block).all()
    z = scaled(block, *scaling(block, spread_of(block)))
    assert np.isfinite(z).all()


@pytest.mark.parametrize("flat", ["a statistic", "every statistic", "the embedding"])
def test_what_does_not_vary_counts_nothing_and_can_be_saved(flat):
    rng = np.random.default_rng(0)
    block = rng.normal(size=(50, STATS + 8)).astype(np.float32)
    place = {"a statistic": slice(0, 1), "every statistic": slice(0, STATS),
             "the embedding": slice(STATS, None)}[flat]  # fmt: skip
    block[:, place] = 3.0
    centre, scale = scaling(block, spread_of(block))
    assert np.isfinite(scale).all() and np.isfinite(centre).all()
    assert np.abs(scaled(block + 1, centre, scale)[:, place]).max() < 1e-20
