"""The arithmetic of skill recruiting (Symbolic-MoE, arXiv 2503.05641): no gradient, no model."""

from __future__ import annotations

import numpy as np

from agentroute.model.arrays import F64

TEMPERATURE = 0.5


def right_or_wrong(quality: float) -> float:
    """+1 for an answer that is rather right (quality at least 0.5), else -1."""
    return 1.0 if quality >= 0.5 else -1.0


def strength(profiles: F64) -> F64:
    """Strength gamma (n,), proportional to G^(1 / 0.5), its sum 1; ``profiles`` (n, K).

    G_i = sum over skills of P_i; where any is negative, all are shifted so that the least is 1.
    Without any record everybody is equally strong.
    """
    g = profiles.sum(axis=1)
    if g.size and g.min() < 0.0:
        g = g - g.min() + 1.0
    g = g ** (1.0 / TEMPERATURE)
    total = g.sum()
    return np.asarray(g / total) if total > 0.0 else np.full(len(g), 1.0 / max(1, len(g)))


def recruiting_weights(profiles: F64, match: F64) -> F64:
    """Weights w (n,) = gamma S over experts with S > 0, others 0.

    S_i = sum of ``match`` (K,) times P_i, where ``match`` is 1 for the skills that the task
    needs. If nobody has S > 0, all S are shifted so that the least is 1.
    """
    s = profiles @ match
    if s.size and s.max() <= 0.0:
        s = s - s.min() + 1.0
    w = strength(profiles) * np.maximum(s, 0.0)
    return np.asarray(w if w.any() else np.maximum(s, 0.0))
