"""Soft labels: from measured qualities to a distribution over agents, and the loss against it."""

from __future__ import annotations

import numpy as np

from agentroute.model.scores import F64

TAU = 0.25
EPSILON = 1e-3


def softmax(z: F64) -> F64:
    """Softmax over the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def soft_labels(f: F64, *, tau: float = TAU, epsilon: float = EPSILON) -> F64:
    """p* = (1 - eps) softmax(f / tau) + eps / N over the last axis (NG-Router, arXiv 2510.09854).

    ``f`` (..., N) in [0, 1]; an agent that was not observed (NaN) gets no mass but eps / N. Where
    every f is 0 the label is uniform: nobody could do it, so nobody is preferred.
    """
    n = f.shape[-1]
    z = np.where(np.isnan(f), -np.inf, f / tau)
    z = np.where(np.isneginf(z).all(axis=-1, keepdims=True), 0.0, z)
    return np.asarray((1.0 - epsilon) * softmax(z) + epsilon / n)


def hard_labels(f: F64, *, epsilon: float = EPSILON) -> F64:
    """All mass on the best agents, shared among ties: the ablation's stand-in for soft labels."""
    known = np.where(np.isnan(f), -1.0, f)
    best = (known == known.max(axis=-1, keepdims=True)).astype(np.float64)
    p = best / best.sum(axis=-1, keepdims=True)
    return np.asarray((1.0 - epsilon) * p + epsilon / f.shape[-1])


def kl_divergence(p: F64, q: F64) -> F64:
    """KL(p || q) = sum_a p_a (log p_a - log q_a) over the last axis, in nats."""
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(p > 0, p * (np.log(p) - np.log(q)), 0.0)
    return np.asarray(part.sum(axis=-1))
