"""What each shape is worth on a graph: one ridge regression over graph and shape.

For a graph with metrics x and a shape a, z = [x, x (x) 1_a, 1{a = Algorithm 1's}]: what is common
to all shapes, what is this shape's own, and how far Algorithm 1 is to be trusted. With prior
precision L (diagonal), prior theta_0, and observations (z, r) of weight w (Li et al. 2010, arXiv
1003.0146, with a shared part and a prior mean):

    A = L + sum w z z'     b = L theta_0 + sum w r z     theta = A^-1 b
    mean = theta' z        bonus = alpha sqrt(z' A^-1 z)

Before anything was learned theta is theta_0, which says 0.5 of every shape and ``lift`` more of
Algorithm 1's (arXiv 2602.16873): that is what it chooses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from agentroute.model.arrays import F64
from agentroute.model.objective import QUALITY_ONLY, Bounds, Objective
from agentroute.model.plans import Topology, TopologyStats
from agentroute.model.scores import Scores

SHAPES = tuple(Topology)
LEVEL, SHARED, OWN = 1.0, 1.0, 4.0  # prior precision: of the level, of x, of a shape's own part
AHEAD = 0.01  # by so much Algorithm 1's shape leads while it stands
SPREAD = 2.0  # standard deviations of what was measured, as bounds of cost and latency


def features(s: TopologyStats) -> F64:
    """The metrics x (6,) in [0, 1]: 1, r, gamma, size, generations a task, gamma times size."""
    size = min(1.0, math.log2(s.nodes) / 6.0)
    deep = len(s.generations) / s.nodes
    return np.array([1.0, s.r, s.gamma, size, deep, s.gamma * size])


WIDTH = 6
D = WIDTH + WIDTH * len(SHAPES) + 1


def design(s: TopologyStats, shapes: Sequence[Topology], rule: Topology) -> F64:
    """The rows z (n, 37), one row a shape; ``rule`` is what Algorithm 1 says."""
    x, out = features(s), np.zeros((len(shapes), D))
    for row, shape in zip(out, shapes, strict=True):
        at = WIDTH * (1 + SHAPES.index(shape))
        row[:WIDTH], row[at : at + WIDTH], row[-1] = x, x, shape is rule
    return out


class ShapeModel:
    """What is expected of each shape; it changes by ``update`` alone, in the order of calls.

    Args:
        alpha: of the bonus; 0 believes the means.
        lift: how much better Algorithm 1's shape is held to be before anything is known, in
            quality.
        trust: how many runs that belief is worth.
        least: below so many judged runs Algorithm 1 stands: its shape gets a bonus that makes it
            the best.
    """

    def __init__(
        self, *, alpha: float = 0.2, lift: float = 0.05, trust: float = 20.0, least: int = 20
    ) -> None:
        self.alpha, self.lift, self.trust, self.least = alpha, lift, trust, least
        prior = np.full(D, float(OWN))
        prior[:WIDTH], prior[0], prior[-1] = SHARED, LEVEL, trust
        self._quality, self._use = np.diag(prior), np.diag(prior)  # A of either
        theta = np.zeros(D)
        theta[0], theta[-1] = 0.5, lift
        self._b = prior * theta
        self._used = np.zeros((D, 2))  # b of log1p cost and latency
        self._sums = np.zeros((2, 2))  # of these two: sum, and sum of squares
        self.judged, self.measured = 0, 0

    def update(
        self, s: TopologyStats, shape: Topology, rule: Topology, *, quality: float | None = None,
        usage: tuple[float, float] | None = None, weight: float = 1.0,
    ) -> None:  # fmt: skip
        """A run in ``shape``: its quality in [0, 1], and its cost (USD) and latency (s)."""
        (z,) = design(s, (shape,), rule)
        if quality is not None:
            self._quality += weight * np.outer(z, z)
            self._b += weight * quality * z
            self.judged += 1
        if usage is not None:
            y = np.log1p(np.maximum(usage, 0.0))
            self._use += np.outer(z, z)
            self._used += np.outer(z, y)
            self._sums += np.array([y, y * y])
            self.measured += 1

    def scores(
        self, s: TopologyStats, shapes: Sequence[Topology], rule: Topology,
        objective: Objective = QUALITY_ONLY,
    ) -> Scores:  # fmt: skip
        """(n,) arrays over ``shapes``: expected utility, bonus, and the terms of the mean."""
        z = design(s, shapes, rule)
        solved = np.linalg.solve(self._quality, np.column_stack([self._b, z.T]))
        theta, spread = solved[:, 0], np.einsum("ij,ji->i", z, solved[:, 1:])
        share = objective.quality_share
        terms = {
            "graph": share * (z[:, :WIDTH] @ theta[:WIDTH]),
            "shape": share * (z[:, WIDTH:-1] @ theta[WIDTH:-1]),
            "rule": share * (z[:, -1] * theta[-1]),
            **self._spent(z, objective),
        }
        raw = np.asarray(sum(terms.values()))
        mean = np.clip(raw, 0.0, 1.0)
        if (mean != raw).any():
            terms["clip"] = mean - raw
        bonus = self.alpha * share * np.sqrt(np.maximum(spread, 0.0))
        if self.judged < self.least:
            bonus = np.where(z[:, -1] > 0, mean.max() - mean + AHEAD, 0.0)
        return Scores(mean, bonus, terms)

    def _spent(self, z: F64, objective: Objective) -> dict[str, F64]:
        """The terms of cost and latency, where they count; neutral before anything is measured."""
        if not (objective.cost or objective.latency):
            return {}
        y = np.expm1(np.maximum(z @ np.linalg.solve(self._use, self._used), 0.0))
        known = Objective(objective.quality, objective.cost, objective.latency, self._bounds())
        parts = known.parts(np.zeros(len(z)), y[:, 0], y[:, 1])
        return {k: v for k, v in parts.items() if k != "quality"}

    def _bounds(self) -> Bounds:
        if self.measured < 2:
            return Bounds()
        mean, square = self._sums / self.measured
        half = SPREAD * np.sqrt(np.maximum(square - mean * mean, 0.0))
        (cost_lo, late_lo), (cost_hi, late_hi) = np.maximum(mean - half, 0.0), mean + half
        return Bounds(float(cost_lo), float(cost_hi), float(late_lo), float(late_hi))
