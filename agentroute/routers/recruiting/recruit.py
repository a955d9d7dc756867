"""The arithmetic of skill recruiting (Symbolic-MoE, arXiv 2503.05641): no gradient, no model."""

from __future__ import annotations

from collections.abc import Sequence

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


def trim(
    teams: Sequence[tuple[int, ...]], rng: np.random.Generator, *, least: float = 0.05
) -> list[tuple[int, ...]]:
    """Replace experts that were recruited in under ``least`` of a batch by frequent ones.

    Replacements are drawn in proportion to how often the frequent ones were recruited, none
    twice into a team; a place stays as it is where no frequent expert is left for it.
    """
    counts: dict[int, int] = {}
    for team in teams:
        for i in set(team):
            counts[i] = counts.get(i, 0) + 1
    frequent = sorted(i for i, c in counts.items() if c >= least * len(teams))
    return [_trimmed(team, frequent, counts, rng) for team in teams]


def _trimmed(
    team: tuple[int, ...], frequent: list[int], counts: dict[int, int], rng: np.random.Generator
) -> tuple[int, ...]:
    out = list(team)
    for place, i in enumerate(team):
        left = [j for j in frequent if j not in out]
        if i in frequent or not left:
            continue
        p = np.array([counts[j] for j in left], np.float64)
        out[place] = left[int((p.cumsum() / p.sum()).searchsorted(rng.random(), side="right"))]
    return tuple(out)


def batches(teams: Sequence[tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    """Expert -> the items of the batch that it answers: one activation for each expert."""
    plan: dict[int, list[int]] = {}
    for item, team in enumerate(teams):
        for i in dict.fromkeys(team):
            plan.setdefault(i, []).append(item)
    return {i: tuple(items) for i, items in sorted(plan.items())}
