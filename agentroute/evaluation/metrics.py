"""Numbers of an evaluation, and how sure they are: paired bootstrap over tasks, t over seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F64
from agentroute.model.ids import keyed_rng

RESAMPLES = 2_000
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class TaskScores:
    """Scores gathered by task: ``total`` (t,) over ``count`` (t,) plays of that task."""

    total: F64
    count: F64

    def mean(self) -> float:
        """Mean over plays; NaN without any."""
        plays = self.count.sum()
        return float(self.total.sum() / plays) if plays else float("nan")

    def minus(self, other: TaskScores) -> TaskScores:
        """The paired difference: both were played on the same tasks equally often."""
        return TaskScores(self.total - other.total, self.count)


def by_task(task: NDArray[np.int64], score: F64, tasks: int) -> TaskScores:
    """Sum ``score`` (m,) by ``task`` (m,) numbers in [0, tasks)."""
    return TaskScores(
        np.bincount(task, weights=score, minlength=tasks).astype(float),
        np.bincount(task, minlength=tasks).astype(float),
    )


def bootstrap_ci(scores: TaskScores, *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """95 % percentile interval of the mean when tasks are drawn again with replacement.

    The same seed draws the same tasks, so intervals of several routers are paired. Repetitions
    of one task (orders, cuts) stay together: they are not independent evidence.
    """
    played = scores.count > 0
    total, count = scores.total[played], scores.count[played]
    if not len(total):
        return float("nan"), float("nan")
    rng = keyed_rng(seed, "bootstrap", len(total))
    means = np.empty(resamples)
    for b in range(0, resamples, 100):
        drawn = rng.integers(0, len(total), size=(min(100, resamples - b), len(total)))
        means[b : b + len(drawn)] = total[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    lo, hi = np.percentile(means, [2.5, 97.5])
    return float(lo), float(hi)


def recall_precision(
    refused: NDArray[np.bool_], abstain: NDArray[np.bool_]
) -> tuple[float | None, float | None]:
    """Share of ``abstain`` rows refused, and of refusals that were right; None where undefined."""
    right = int((refused & abstain).sum())
    recall = right / int(abstain.sum()) if abstain.any() else None
    precision = right / int(refused.sum()) if refused.any() else None
    return recall, precision


def expected_calibration_error(predicted: F64, observed: F64, bins: int = 10) -> float:
    """Mean gap between prediction and outcome over equal-width bins, weighted by bin size."""
    place = np.clip((predicted * bins).astype(int), 0, bins - 1)
    gaps = np.bincount(place, weights=predicted - observed, minlength=bins)
    return float(np.abs(gaps).sum() / len(predicted))


def t_interval(x: F64) -> tuple[float, float, float]:
    """Mean over seeds and its 95 % interval by Student's t; from two values on.

    >>> tuple(round(v, 2) for v in t_interval(np.arange(10.0)))
    (4.5, 2.33, 6.67)
    """
    mean = float(x.mean())
    half = t95(len(x) - 1) * float(x.std(ddof=1)) / math.sqrt(len(x)) if len(x) > 1 else math.inf
    return mean, mean - half, mean + half


def t95(df: int) -> float:
    """97.5 % quantile of Student's t, from the normal's by the expansion of Cornish and Fisher:
    from ``df`` = 4 on within 0.2 %.

    >>> round(t95(9), 2)
    2.26
    """
    z = 1.959964
    return float(
        z + (z**3 + z) / (4 * df) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * df**3)
    )  # fmt: skip
