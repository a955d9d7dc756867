"""What every router must beat: simple rules that learn from the train rows alone.

A baseline is a function ``(train inputs, train labels, test inputs, rng) -> Guess``. It never gets
a test label; where it has something to choose (k, shrinkage, penalty) it chooses by folds of the
train rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agentroute.evaluation.baselines.featuremeans import best_grouping, group_means
from agentroute.evaluation.baselines.tfidf import linear_guess
from agentroute.evaluation.tables.problem import Inputs, Labels
from agentroute.evaluation.tables.splits import folds
from agentroute.model.arrays import F32, F64, Ints

KNN_K = (5, 10, 20, 50, 100, 200)
BLOCK = 512


@dataclass(frozen=True, slots=True, eq=False)
class Guess:
    """Predicted ``quality`` (m, n) of each arm, and ``out_of_scope`` (m,) in [0, 1]."""

    quality: F64
    out_of_scope: F64


Baseline = Callable[[Inputs, Labels, Inputs, np.random.Generator], Guess]


def global_means(labels: Labels) -> F64:
    """(n,) mean quality of each arm over rows in scope; the lowest mean for an arm never tried."""
    q = labels.quality[~labels.abstain]
    tried = ~np.isnan(q)
    sums = np.where(tried, q, 0.0).sum(axis=0)
    counts = tried.sum(axis=0)
    means = sums / np.maximum(counts, 1)
    floor = means[counts > 0].min() if (counts > 0).any() else 0.0
    return np.where(counts > 0, means, floor)


def best_single(train: Inputs, known: Labels, test: Inputs, rng: np.random.Generator) -> Guess:
    """The arm with the best mean on train, for every task."""
    means = global_means(known)
    return Guess(np.tile(means, (len(test), 1)), np.zeros(len(test)))


def best_per_feature(train: Inputs, known: Labels, test: Inputs, rng: np.random.Generator) -> Guess:
    """The best arm for the feature's value, where means are shrunk to the global mean.

    The feature (one, or all of them together) and the shrinkage are chosen by folds of train.
    """
    prior = global_means(known)
    grouping = best_grouping(train, known, prior, rng)
    return Guess(group_means(grouping, train, known, test, prior), np.zeros(len(test)))


def knn(train: Inputs, known: Labels, test: Inputs, rng: np.random.Generator) -> Guess:
    """Mean outcome of the k nearest train rows; k is chosen on a tenth of train.

    Rows are compared by cosine over the embedding and, with equal weight, one-hot features.
    """
    x, z = _vectors(train, test)
    rest, held = folds(len(train), 10, rng)[0]
    prior = global_means(known.take(rest))
    trial = _neighbour_means(x[rest], known.take(rest), x[held], KNN_K, prior)
    k = KNN_K[int(np.argmax([picked_mean(g.quality, known.take(held)) for g in trial]))]
    return _neighbour_means(x, known, z, (k,), global_means(known))[0]


def linear(train: Inputs, known: Labels, test: Inputs, rng: np.random.Generator) -> Guess:
    """TF-IDF of words and characters with one-hot features, and a linear model (extra ``fit``)."""
    return Guess(*linear_guess(train, known, test, global_means(known), rng))


BASELINES: dict[str, Baseline] = {
    "best_single": best_single,
    "best_per_feature": best_per_feature,
    "knn": knn,
    "linear": linear,
}


def picked_mean(guess: F64, labels: Labels) -> float:
    """Mean quality over rows in scope when each row takes the arm with the best guess."""
    rows = np.flatnonzero(~labels.abstain)
    picked = labels.quality[rows, guess[rows].argmax(axis=1)]
    return float(np.nanmean(picked)) if np.isfinite(picked).any() else 0.0


def _vectors(train: Inputs, test: Inputs) -> tuple[F32, F32]:
    columns = sorted({(k, v) for row in train.features for k, v in row.items()})
    place = {kv: j for j, kv in enumerate(columns)}
    return tuple(  # type: ignore[return-value]
        np.hstack([part.embedding, _one_hot(part, place)]) for part in (train, test)
    )


def _one_hot(part: Inputs, place: dict[tuple[str, str], int]) -> F32:
    """(m, number of known values); each row has length at most 1."""
    out = np.zeros((len(part), len(place)), np.float32)
    for i, row in enumerate(part.features):
        for pair in row.items():
            if pair in place:
                out[i, place[pair]] = 1.0 / np.sqrt(len(row))
    return out


def _neighbour_means(x: F32, known: Labels, z: F32, ks: Sequence[int], prior: F64) -> list[Guess]:
    """A guess for each k: mean over the k rows of ``x`` nearest to each row of ``z``."""
    top = _nearest(x, z, min(max(ks), len(x)))
    tried = ~np.isnan(known.quality)
    filled = np.where(tried, known.quality, prior)
    away = known.abstain.astype(float)
    return [Guess(_gathered(filled, top[:, :k]), away[top[:, :k]].mean(axis=1)) for k in ks]


def _gathered(values: F64, top: Ints) -> F64:
    """(m, n) mean of ``values`` rows listed in ``top`` (m, k), without an (m, k, n) array."""
    out = np.zeros((len(top), values.shape[1]))
    for column in top.T:
        out += values[column]
    return np.asarray(out / top.shape[1])


def _nearest(x: F32, z: F32, k: int) -> Ints:
    """(len(z), k) positions in ``x``, most similar first; ties go to the earlier row."""
    out = np.empty((len(z), k), np.int64)
    for start in range(0, len(z), BLOCK):
        similarity = z[start : start + BLOCK] @ x.T
        top = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        near = np.take_along_axis(similarity, top, axis=1)
        order = np.lexsort((top, -near), axis=1)
        out[start : start + BLOCK] = np.take_along_axis(top, order, axis=1)
    return out
