"""Ridge regression for all arms at once, its strength chosen by leave-one-out routing gain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from agentroute.features.threads import one_thread
from agentroute.model.scores import F32, F64

PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0)
MIN_T = 1.5  # gain over its standard error below which nothing is added


@dataclass(frozen=True, slots=True, eq=False)
class Ridge:
    """Weights (d, n) on scaled columns, and what leaving one out said of them."""

    weights: F32
    penalty: float
    gain: float
    t: float


def ridge_path(z: F32, r: F64) -> Iterator[tuple[float, F64, F64]]:
    """For each penalty: (penalty, weights (d, n), leave-one-out predictions (m, n)).

    ``z`` (m, d) centred columns, ``r`` (m, n). With the eigenvectors of the smaller of z z' and
    z' z the whole path costs one decomposition. Left-out prediction r - (r - fit) / (1 - h), h
    the leverage (Golub, Heath and Wahba 1979).
    """
    u, s, v = _decomposed(z.astype(np.float64))
    ur = u.T @ r
    for a in PENALTIES:
        keep = s * s / (s * s + a)
        fit = u @ (keep[:, None] * ur)
        h = np.minimum((u * u) @ keep + 1.0 / len(z), 0.99)
        yield a, v @ ((s / (s * s + a))[:, None] * ur), r - (r - fit) / (1.0 - h)[:, None]


def _decomposed(z: F64) -> tuple[F64, F64, F64]:
    """U (m, k), s (k,), v (d, k) with z = u s v', by the smaller Gram matrix."""
    tall = len(z) > z.shape[1]
    with one_thread():
        w, q = np.linalg.eigh(z.T @ z if tall else z @ z.T)
        keep = w > 1e-8 * max(float(w[-1]), 1e-12)
        s, q = np.sqrt(w[keep]), q[:, keep]
        other = (z @ q if tall else z.T @ q) / s
    return (other, s, q) if tall else (q, s, other)


def best_ridge(z: F32, r: F64, quality: F64, base: F64) -> tuple[Ridge, F64] | None:
    """The ridge whose left-out choices gain most over ``base`` (m, n), with its predictions.

    ``quality`` (m, n) is what a choice earns. None where the gain, or the fall of the squared
    error, is not ``MIN_T`` standard errors above 0: noise is not worth a weight.
    """
    rows = np.arange(len(z))
    before = quality[rows, base.argmax(axis=1)]
    best: tuple[Ridge, F64] | None = None
    for penalty, weights, loo in ridge_path(z, r):
        d = quality[rows, (base + loo).argmax(axis=1)] - before
        fall = (r * r).sum(axis=1) - ((r - loo) ** 2).sum(axis=1)
        gain, t = float(d.mean()), _t(d, 0.1)
        if t > MIN_T and _t(fall, 1e-9) > MIN_T and (best is None or gain > best[0].gain):
            best = Ridge(weights.astype(np.float32), penalty, gain, t), loo
    return best


def _t(d: F64, floor: float) -> float:
    """The mean over its standard error, whose spread is at least ``floor``."""
    return float(d.mean() / max(float(d.std()), floor) * np.sqrt(len(d)))
