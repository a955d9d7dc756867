"""Means of each arm by feature value, shrunk to the arm's global mean."""

from __future__ import annotations

import numpy as np

from agentroute.evaluation.tables.problem import Inputs, Labels
from agentroute.evaluation.tables.splits import folds
from agentroute.model.arrays import F64

SHRINKAGE = (1.0, 5.0, 20.0, 80.0)
Grouping = tuple[tuple[str, ...], float]  # the features whose values make a group, and kappa


def group_means(grouping: Grouping, train: Inputs, known: Labels, test: Inputs, prior: F64) -> F64:
    """(m, n): (sum of the group + kappa * prior) / (count + kappa); an unseen value is the prior.

    ``prior`` (n,) is the global mean of each arm; rows out of scope do not count.
    """
    features, kappa = grouping
    place: dict[tuple[str, ...], int] = {}
    rows = np.array([place.setdefault(_key(f, features), len(place)) for f in train.features])
    sums = np.tile(kappa * prior, (len(place) + 1, 1))
    counts = np.full(sums.shape, kappa)
    tried = ~np.isnan(known.quality) & ~known.abstain[:, None]
    np.add.at(sums, rows, np.where(tried, known.quality, 0.0))
    np.add.at(counts, rows, tried.astype(float))
    wanted = [place.get(_key(f, features), len(place)) for f in test.features]
    return np.asarray((sums / counts)[wanted])


def best_grouping(train: Inputs, known: Labels, prior: F64, rng: np.random.Generator) -> Grouping:
    """The grouping with the best mean over five folds of train; ties go to the fewer features."""
    names = sorted({k for row in train.features for k in row})
    options: list[tuple[str, ...]] = [(n,) for n in names]
    if len(names) > 1:
        options.append(tuple(names))
    if not options or len(train) < 2:
        return (), SHRINKAGE[-1]
    groupings = [(o, kappa) for o in options for kappa in SHRINKAGE]
    parts = folds(len(train), 5, rng)
    gains = [sum(_held_out(g, train, known, prior, *p) for p in parts) for g in groupings]
    return groupings[int(np.argmax(np.round(gains, 9)))]


def _held_out(
    grouping: Grouping, train: Inputs, known: Labels, prior: F64, fit: np.ndarray, held: np.ndarray
) -> float:
    """Summed quality on the held-out rows of the arm with the best group mean."""
    guess = group_means(grouping, train.take(fit), known.take(fit), train.take(held), prior)
    truth = known.take(held)
    picked = truth.quality[np.arange(len(held)), guess.argmax(axis=1)]
    return float(np.nansum(picked[~truth.abstain]))


def _key(row: object, features: tuple[str, ...]) -> tuple[str, ...]:
    assert isinstance(row, dict)
    return tuple(row.get(f, "") for f in features)
