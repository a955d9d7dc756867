"""Extremely randomised trees for all arms at once, grown and served by NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F32, F64

TREES = 100
LEAF = 20  # rows that a leaf keeps at least
TRIED = 0.3  # share of the columns that a node tries, one random threshold each
BAG, MAX_BAG = 0.75, 3_000  # share of the rows that a tree sees, and how many at most
NOWHERE = float(np.finfo(np.float32).max)  # nothing is above it, and a state can hold it
Nodes = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Mean of T extra trees (Geurts, Ernst and Wehenkel 2006), each relative to its own root.

    All N nodes of all trees in one set of arrays: a row at node i goes on to ``child[i]`` where
    its column ``column[i]`` is at most ``threshold[i]``, else to ``child[i] + 1``. A leaf has the
    threshold ``NOWHERE`` and is its own child: ``depth`` steps end in a leaf in every tree.
    Shapes: ``root`` (T,), the others (N,), ``values`` (N, n).
    """

    root: Nodes
    column: Nodes
    threshold: F32
    child: Nodes
    values: F32
    depth: NDArray[np.int64]

    def predict(self, x: F32) -> F64:
        """(n,) for the columns (d,) of one row; all trees go down side by side."""
        at = self.root
        for _ in range(int(self.depth)):
            at = self.child[at] + (x[self.column[at]] > self.threshold[at])
        return np.asarray(self.values[at].mean(axis=0), np.float64)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """By name, for a state."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(slots=True, eq=False)
class _Tree:
    """One tree, node by node; ``child`` counts from the root."""

    column: list[int]
    threshold: list[float]
    child: list[int]
    values: list[F32]
    depth: int = 0

    def add(self, value: F32) -> int:
        """A leaf; returns its number."""
        me = len(self.column)
        self.column.append(0)
        self.threshold.append(NOWHERE)
        self.child.append(me)
        self.values.append(value)
        return me


def fit_forest(x: F32, y: F64, rng: np.random.Generator) -> tuple[Forest, F64]:
    """From columns (m, d) and outcomes (m, n); also returns out-of-bag predictions (m, n)."""
    y32 = y.astype(np.float32)
    bag = min(int(BAG * len(x)), MAX_BAG)
    total, seen, trees = np.zeros(y.shape), np.zeros(len(x)), []
    for _ in range(TREES):
        order = rng.permutation(len(x))
        trees.append(_grown(x[order[:bag]], y32[order[:bag]], rng))
        out = order[bag:]
        total[out] += _outcomes(trees[-1], x[out])
        seen[out] += 1
    return _joined(trees), total / np.maximum(seen, 1)[:, None]


def _grown(x: F32, y: F32, rng: np.random.Generator) -> _Tree:
    """One tree on the rows of a bag."""
    tree = _Tree([], [], [], [])
    y = y - y.mean(axis=0)
    waiting = [(np.arange(len(x)), tree.add(np.zeros_like(y[0])), 0)]
    while waiting:
        rows, node, depth = waiting.pop()
        tree.depth = max(tree.depth, depth)
        found = _split(x, y, rows, rng) if len(rows) >= 2 * LEAF else None
        if found is None:
            continue
        tree.column[node], tree.threshold[node], left = found
        parts = rows[left], rows[~left]
        children = [tree.add(y[p].mean(axis=0)) for p in parts]
        tree.child[node] = children[0]
        waiting += [(p, c, depth + 1) for p, c in zip(parts, children, strict=True)]
    return tree


def _split(
    x: F32, y: F32, rows: NDArray[np.int64], rng: np.random.Generator
) -> tuple[int, float, NDArray[np.bool_]] | None:
    """Of some random (column, threshold) the one that explains most of the outcomes of ``rows``.

    Returns them with the rows (bool) that go left; None where every one leaves too small a leaf.
    """
    columns = rng.choice(x.shape[1], max(1, int(TRIED * x.shape[1])), replace=False)
    part, away = x[rows[:, None], columns], y[rows] - y[rows].mean(axis=0)
    low = part.min(axis=0)
    cut = (low + (part.max(axis=0) - low) * rng.random(len(columns))).astype(np.float32)
    left = part <= cut
    count = left.sum(axis=0)
    fit = (count >= LEAF) & (len(rows) - count >= LEAF)
    if not fit.any():
        return None
    sums = left.T.astype(np.float32) @ away
    rest = np.maximum(len(rows) - count, 1)
    explained = (sums * sums).sum(axis=1) * (1.0 / np.maximum(count, 1) + 1.0 / rest)
    best = int(np.where(fit, explained, -1.0).argmax())
    return int(columns[best]), float(cut[best]), left[:, best]


def _outcomes(tree: _Tree, x: F32) -> F32:
    """(m, n) what the leaves say of the rows of ``x``."""
    column, threshold = np.array(tree.column), np.array(tree.threshold, np.float32)
    child, at, rows = np.array(tree.child), np.zeros(len(x), np.int64), np.arange(len(x))
    for _ in range(tree.depth):
        at = child[at] + (x[rows, column[at]] > threshold[at])
    return np.array(tree.values)[at]


def _joined(trees: Sequence[_Tree]) -> Forest:
    """All nodes in one set of arrays."""
    start = np.cumsum([0, *(len(t.column) for t in trees[:-1])])
    return Forest(
        start.astype(np.int32),
        np.concatenate([t.column for t in trees]).astype(np.int32),
        np.concatenate([t.threshold for t in trees]).astype(np.float32),
        np.concatenate([np.array(t.child) + s for t, s in zip(trees, start, strict=True)]).astype(
            np.int32
        ),
        np.array([v for t in trees for v in t.values], np.float32),
        np.array(max(t.depth for t in trees)),
    )
