"""Ridge regression for all arms at once, with its leave-one-out predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32, F64

PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0)


def ridge_path(
    z: F32, r: F64, penalties: Sequence[float] = PENALTIES
) -> Iterator[tuple[float, F64, F64]]:
    """For each penalty: (penalty, weights (d, n), leave-one-out predictions (m, n)).

    ``z`` (m, d) centred columns, ``r`` (m, n). With the eigenvectors of the smaller of z z' and
    z' z the whole path costs one decomposition. Left-out prediction r - (r - fit) / (1 - h), h
    the leverage (Golub, Heath and Wahba 1979).
    """
    u, s, v = _decomposed(z.astype(np.float64))
    ur = u.T @ r
    for a in penalties:
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
