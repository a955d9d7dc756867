"""TF-IDF and a linear model: the baseline that many learned routers do not beat.

Where each row has at most one good arm (intent tables) it is a one-vs-rest linear classifier with
a class of its own for 'nobody'; elsewhere a ridge regression for every arm at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from agentroute.errors import MissingExtraError
from agentroute.evaluation.tables.problem import Inputs, Labels
from agentroute.evaluation.tables.splits import folds
from agentroute.model.arrays import F32, F64, Ints

PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)
NOBODY = -1
DUAL_ROWS = 5_000
MIN_ROWS, MAX_GRAMS = 2, 50_000
COMMON = 0.05  # share of rows above which a column is treated as dense
Solve = Callable[[float, Ints, Ints | None], F64]  # (penalty, rows to fit, rows to guess or test)


def linear_guess(
    train: Inputs, known: Labels, test: Inputs, prior: F64, rng: np.random.Generator
) -> tuple[F64, F64]:
    """Guessed quality (m, n) and out-of-scope (m,).

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    require_fit()
    x, z = _tfidf(train, test)
    if _one_arm_a_row(known):
        return _classified(x, known, z, len(prior))
    return _ridge(x, known, z, prior, rng), np.zeros(len(test))


def require_fit() -> None:
    """Refuse early where the extra ``fit`` is not installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise MissingExtraError("fit", needed_for="the baseline 'linear'") from None


def _one_arm_a_row(known: Labels) -> bool:
    """An intent table: no row in scope has two arms with a score, and there are many arms."""
    good = (np.nan_to_num(known.quality) > 0).sum(axis=1)
    return bool((good[~known.abstain] == 1).all()) and known.quality.shape[1] > 2


def _tfidf(train: Inputs, test: Inputs) -> tuple[Any, Any]:
    """Sparse rows: TF-IDF of words (1, 2), of characters (3, 5) inside words, one-hot features."""
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction import DictVectorizer

    blocks = [[csr_matrix((len(p), 1)) for p in (train, test)]]
    if any(row for row in train.features):
        v = DictVectorizer()
        blocks.append([v.fit_transform(map(dict, train.features))])
        blocks[-1].append(v.transform(map(dict, test.features)))
    if any(any(c.isalnum() for c in p) for p in train.prompts):
        place, counted = _counted(frozenset(train.prompts) | frozenset(test.prompts))
        rows = [np.array([place[p] for p in part.prompts], np.int64) for part in (train, test)]
        blocks += [_weighted(c[rows[0]], c[rows[1]]) for c in counted]
    x, z = (hstack([b[i] for b in blocks]).tocsr() for i in (0, 1))
    return x, z


@lru_cache(maxsize=1)
def _counted(texts: frozenset[str]) -> tuple[dict[str, int], list[Any]]:
    """The row of each text, and counts of its words and characters: (texts, grams) each.

    All cuts of one table ask for the same texts, so that counting is done once. Counts of one
    text say nothing of another: what is learned from texts is in ``_weighted``.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    order = sorted(texts)
    counted = []
    for kind, span in (("word", (1, 2)), ("char_wb", (3, 5))):
        counts = CountVectorizer(analyzer=kind, ngram_range=span, dtype=np.float32)
        if any(map(counts.build_analyzer(), order)):  # texts of single letters have no word
            counted.append(counts.fit_transform(order))
    return {t: i for i, t in enumerate(order)}, counted


def _weighted(x: Any, z: Any) -> list[Any]:
    """TF-IDF of counts; the grams that are kept and their weights are those of ``x`` alone.

    A gram counts if two rows of ``x`` have it; of many the ``MAX_GRAMS`` most frequent.
    """
    from sklearn.feature_extraction.text import TfidfTransformer

    keep = np.flatnonzero(x.getnnz(axis=0) >= MIN_ROWS)
    if not len(keep):  # a handful of rows with nothing in common
        return [x[:, :0], z[:, :0]]
    if len(keep) > MAX_GRAMS:
        total = np.asarray(x.sum(axis=0)).ravel()[keep]
        keep = np.sort(keep[np.argsort(-total, kind="stable")[:MAX_GRAMS]])
    weight = TfidfTransformer(sublinear_tf=True)
    return [weight.fit_transform(x[:, keep]), weight.transform(z[:, keep])]


def _classified(x: Any, known: Labels, z: Any, n: int) -> tuple[F64, F64]:
    from sklearn.svm import LinearSVC

    label = np.where(known.abstain, NOBODY, np.nan_to_num(known.quality).argmax(axis=1))
    margins = np.full((z.shape[0], n + 1), -np.inf)
    if (label == label[0]).all():
        margins[:, label[0]] = 0.0
    else:
        with warnings.catch_warnings():  # classes with a row each are what a small table has
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            model = LinearSVC(C=1.0, random_state=0).fit(x, label)
        raw = model.decision_function(z)
        margins[:, model.classes_] = np.column_stack([-raw, raw]) if raw.ndim == 1 else raw
    nobody = (margins.argmax(axis=1) == n).astype(float)
    return 1.0 / (1.0 + np.exp(-margins[:, :n])), nobody


def _ridge(x: Any, known: Labels, z: Any, prior: F64, rng: np.random.Generator) -> F64:
    """Ridge on the residual to each arm's mean; the penalty is chosen on a fifth of train."""
    use = np.flatnonzero(~known.abstain)
    y = np.where(np.isnan(known.quality), 0.0, known.quality - prior)[use]
    solve = _dual(x[use], z, y) if len(use) <= DUAL_ROWS else _primal(x[use], z, y)
    fit, held = folds(len(use), 5, rng)[0]
    truth = np.nan_to_num(known.quality[use][held])
    gains = []
    for a in PENALTIES:
        pick = (prior + solve(a, fit, held)).argmax(axis=1)
        gains.append(truth[np.arange(len(held)), pick].mean())
    return np.asarray(prior + solve(PENALTIES[int(np.argmax(gains))], np.arange(len(use)), None))


def _dual(x: Any, z: Any, y: F64) -> Solve:
    """Ridge through the Gram matrix, computed once for all penalties: exact, O(m^3) in rows.

    Features and labels are centred by the rows of the fit, as an intercept would:
    (x_i - mu)(x_j - mu) = K_ij - r_i - r_j + mean r, where r_i is the mean of K_ij over the fit.
    """
    from scipy.linalg import cho_factor, cho_solve

    x, z = x.astype(np.float32), z.astype(np.float32)
    k, k_z = _products(x, x), _products(z, x)

    def solve(penalty: float, fit: Ints, held: Ints | None) -> F64:
        gram = k[np.ix_(fit, fit)]
        cross = k_z[:, fit] if held is None else k[np.ix_(held, fit)]
        r, mean = gram.mean(axis=0), y[fit].mean(axis=0)
        cross = cross - cross.mean(axis=1, keepdims=True) - r + r.mean()
        gram = gram - r[:, None] - r + r.mean()
        gram[np.diag_indices(len(fit))] += penalty
        factor = cho_factor(gram, lower=True, overwrite_a=True)
        weights = cho_solve(factor, (y[fit] - mean).astype(np.float32))
        return np.asarray(cross @ weights + mean)

    return solve


def _products(z: Any, x: Any) -> F32:
    """(rows of z, rows of x) inner products; columns that many rows have go through BLAS."""
    common = x.getnnz(axis=0) > COMMON * x.shape[0]
    a, b = (m.tocsc()[:, common].toarray() for m in (z, x))
    rest = z.tocsc()[:, ~common].tocsr() @ x.tocsc()[:, ~common].tocsr().T
    return np.asarray(a @ b.T + rest.toarray(), np.float32)


def _primal(x: Any, z: Any, y: F64) -> Solve:
    """The same by conjugate gradients, where there are too many rows for their Gram matrix."""
    from sklearn.linear_model import Ridge

    def solve(penalty: float, fit: Ints, held: Ints | None) -> F64:
        model = Ridge(alpha=penalty, solver="sparse_cg", tol=1e-4, max_iter=300)
        rows = z if held is None else x[held]
        return np.asarray(model.fit(x[fit], y[fit]).predict(rows)).reshape(rows.shape[0], -1)

    return solve
