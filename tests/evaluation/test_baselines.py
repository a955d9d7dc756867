import numpy as np
import pytest

from agentroute.evaluation.baselines import tfidf as linear_module
from agentroute.evaluation.baselines.featuremeans import best_grouping, group_means
from agentroute.evaluation.baselines.reference import baseline_scores, picked_scores
from agentroute.evaluation.baselines.rules import BASELINES, best_single, global_means, knn
from agentroute.evaluation.tables.problem import Inputs, Labels, make_problem
from agentroute.evaluation.tables.splits import split_cut
from agentroute.features.text import HashingEncoder
from tests.evaluation.maketable import table

E = HashingEncoder(64)


def rng():
    return np.random.default_rng(0)


def parts(kinds, quality):
    features = tuple({"kind": k} for k in kinds)
    inputs = Inputs(("",) * len(kinds), features, np.zeros((len(kinds), 4), np.float32))
    return inputs, Labels(np.array(quality, float), np.zeros(len(kinds), bool))


def test_group_means_by_hand():
    """Group x has (1, 0), (1, 1): with kappa 2 and prior (.5, .25) it is (3/4, 1.5/4)."""
    inputs, labels = parts(["x", "x", "y"], [[1, 0], [1, 1], [0, np.nan]])
    asked, _ = parts(["x", "y", "never"], [[0, 0]] * 3)
    prior = np.array([0.5, 0.25])
    got = group_means((("kind",), 2.0), inputs, labels, asked, prior)
    assert got[0] == pytest.approx([3 / 4, 1.5 / 4])
    assert got[1] == pytest.approx([1 / 3, 0.25])
    assert got[2] == pytest.approx(prior)


def test_the_grouping_that_predicts_is_chosen():
    t = table(200, n=3, flip=0.05)
    noisy = tuple({"kind": f["kind"], "noise": str(i % 40)} for i, f in enumerate(t.features))
    inputs = Inputs(t.prompts, noisy, np.zeros((200, 4), np.float32))
    labels = Labels(t.scores, t.abstain)
    assert best_grouping(inputs, labels, global_means(labels), rng())[0] == ("kind",)


def test_an_arm_never_tried_ranks_last():
    inputs, labels = parts(["x", "x"], [[1, np.nan, 0.2], [1, np.nan, 0.2]])
    assert global_means(labels).tolist() == [1.0, 0.2, 0.2]
    assert best_single(inputs, labels, inputs, rng()).quality.argmax(axis=1).tolist() == [0, 0]


def test_nearest_neighbours_find_the_neighbour_and_who_is_out_of_scope():
    x = np.repeat(np.eye(2, dtype=np.float32), 12, axis=0)
    inputs = Inputs(("",) * 24, ({},) * 24, x)
    quality = np.repeat([[1.0, 0.0], [0.0, 0.0]], 12, axis=0)
    guess = knn(inputs, Labels(quality, np.arange(24) >= 12), inputs, rng())
    assert guess.quality[0].tolist() == [1.0, 0.0]
    assert guess.out_of_scope[0] == 0.0 and guess.out_of_scope[-1] == 1.0


def test_every_baseline_that_sees_the_feature_solves_a_separable_table():
    t = table(160, n=4, flip=0.0)
    problem = make_problem(split_cut(t, t), E)
    scores = baseline_scores(problem, [*BASELINES, "random", "oracle"], rng())
    means = {name: s.mean() for name, s in scores.items()}
    assert means["oracle"] == 1.0 and means["random"] == pytest.approx(0.25)
    for name in ("best_per_feature", "knn", "linear"):
        assert means[name] == 1.0, name
    assert means["best_single"] < 0.5


def test_without_features_the_best_per_feature_is_the_best_single():
    t = table(60)
    inputs = Inputs(t.prompts, ({},) * 60, np.zeros((60, 4), np.float32))
    labels = Labels(t.scores, t.abstain)
    guesses = [
        BASELINES[b](inputs, labels, inputs, rng()) for b in ("best_per_feature", "best_single")
    ]
    assert np.allclose(guesses[0].quality, guesses[1].quality)


def test_an_intent_table_is_classified_with_a_class_for_nobody():
    words = ["weather rain sunny", "transfer money bank", "zebra quark umbrella"]
    kinds = np.arange(120) % 3
    prompts = tuple(f"{words[k]} number {i % 7}" for i, k in enumerate(kinds))
    inputs = Inputs(prompts, ({},) * 120, np.zeros((120, 4), np.float32))
    quality = np.eye(4)[kinds] * (kinds < 2)[:, None]
    labels = Labels(quality, kinds == 2)
    guess = BASELINES["linear"](inputs, labels, inputs, rng())
    assert (guess.out_of_scope == (kinds == 2)).all()
    assert picked_scores(guess, labels)[kinds < 2].mean() == 1.0


def test_ridge_through_the_gram_matrix_equals_conjugate_gradients():
    sparse = pytest.importorskip("scipy.sparse")
    x, z = (sparse.random(m, 200, 0.1, random_state=m).tocsr() for m in (60, 20))
    y = rng().random((60, 3))
    fit, held = np.arange(40), np.arange(40, 60)
    for penalty in (0.3, 3.0):
        for rows, wanted in ((fit, held), (np.arange(60), None)):
            exact = linear_module._dual(x, z, y)(penalty, rows, wanted)
            near = linear_module._primal(x, z, y)(penalty, rows, wanted)
            np.testing.assert_allclose(exact, near, atol=1e-3)


def test_counts_are_shared_between_cuts_and_weights_come_from_the_train_rows_alone():
    """The same columns and weights as a vectorizer that was fitted on the train rows."""
    text = pytest.importorskip("sklearn.feature_extraction.text")
    words = ["alpha", "beta", "gamma", "delta", "alphabet", "gammas"]
    draw = rng()
    prompts = tuple(" ".join(draw.choice(words, 4)) for _ in range(40))
    inputs = Inputs(prompts, ({},) * 40, np.zeros((40, 4), np.float32))
    linear_module._counted.cache_clear()
    for cut in (np.arange(40), np.arange(40)[::-1]):
        train, test = inputs.take(cut[:25]), inputs.take(cut[25:])
        x, z = linear_module._tfidf(train, test)
        vectorizers = [
            text.TfidfVectorizer(analyzer=kind, ngram_range=span, sublinear_tf=True, min_df=2)
            for kind, span in (("word", (1, 2)), ("char_wb", (3, 5)))
        ]
        x_wanted = np.hstack([v.fit_transform(train.prompts).toarray() for v in vectorizers])
        z_wanted = np.hstack([v.transform(test.prompts).toarray() for v in vectorizers])
        np.testing.assert_allclose(x.toarray()[:, 1:], x_wanted, atol=1e-6)
        np.testing.assert_allclose(z.toarray()[:, 1:], z_wanted, atol=1e-6)
    assert linear_module._counted.cache_info().misses == 1
