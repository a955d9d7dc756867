"""Soft labels: from measured qualities to a distribution over agents, and the loss against it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F64

TAU = 0.25
EPSILON = 1e-3


def softmax(z: F64) -> F64:
    """Softmax over the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def soft_labels(f: F64, *, tau: float = TAU, epsilon: float = EPSILON) -> F64:
    """p* = (1 - eps) softmax(f / tau) + eps / N over the last axis (NG-Router, arXiv 2510.09854).

    ``f`` (..., N) in [0, 1]; an agent that was not observed (NaN) has mass 0, and N counts the
    others. Where every f is 0 the label is uniform: nobody could do it, nobody is preferred.
    Each row needs one observed agent.
    """
    seen = ~np.isnan(f)
    p = softmax(np.where(seen, f / tau, -np.inf))
    return _smoothed(p, seen, epsilon)


def _smoothed(p: F64, seen: NDArray[np.bool_], epsilon: float) -> F64:
    n = seen.sum(axis=-1, keepdims=True)
    return np.where(seen, (1.0 - epsilon) * p + epsilon / n, 0.0)


def hard_labels(f: F64, *, epsilon: float = EPSILON) -> F64:
    """All mass on the best agents, shared among ties: the ablation's stand-in for soft labels."""
    seen = ~np.isnan(f)
    known = np.where(seen, f, -1.0)
    best = (known == known.max(axis=-1, keepdims=True)).astype(np.float64)
    return _smoothed(best / best.sum(axis=-1, keepdims=True), seen, epsilon)


def kl_divergence(p: F64, q: F64) -> F64:
    """KL(p || q) = sum_a p_a (log p_a - log q_a) over the last axis, in nats."""
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(p > 0, p * (np.log(p) - np.log(q)), 0.0)
    return np.asarray(part.sum(axis=-1))
