"""Means of each arm by feature values, each level shrunk to the one above it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F64

KAPPA = (1.0, 3.0, 10.0)
MAX_LEVELS = 4
FIRST = -2.0  # the first feature is taken unless it clearly harms: owners name what matters
SPREAD = 1e-3  # of scores, below which a difference counts as rounding
LEAST = 1e-9  # weight below which nothing is left
SEP = "\x1f"  # between the values of a cell's name
Features = Sequence[Mapping[str, str]]


@dataclass(slots=True, eq=False)
class FeatureMeans:
    """A chain of groupings, each finer than the last: all rows, then by one feature, then by two.

    A cell's value is (sum + kappa * parent) / (count + kappa), the posterior mean under a normal
    prior round the parent cell (James and Stein 1961; kappa = variance inside / between). A value
    never seen in training falls back to its parent, in the end to the global mean.
    ``chain`` names the features, ``tables[i]`` maps a cell's name to a row of ``values[i]``
    (cells, n). Row 0 of ``values`` is the global mean.
    """

    chain: list[str] = field(default_factory=list)
    kappas: list[float] = field(default_factory=list)
    cells: dict[str, int] = field(default_factory=dict)
    values: F64 = field(default_factory=lambda: np.zeros((1, 0)))

    def row(self, features: Mapping[str, str]) -> int:
        """The row of ``values`` for a task: of its finest known cell."""
        at, name = 0, ""
        for key in self.chain:
            name += SEP + features.get(key, "")
            if name not in self.cells:
                break
            at = self.cells[name]
        return at

    def predict(self, features: Features) -> F64:
        """(m, n) means of many tasks."""
        return self.values[[self.row(f) for f in features]]

    def group(self, features: Mapping[str, str]) -> str:
        """The value of the first feature of the chain, '' where there is none."""
        return features.get(self.chain[0], "") if self.chain else ""

    def meta(self) -> dict[str, Any]:
        """The chain and the cells, as JSON."""
        return {"chain": self.chain, "kappas": self.kappas, "cells": list(self.cells)}

    @classmethod
    def load(cls, meta: Mapping[str, Any], values: F64) -> FeatureMeans:
        """From ``meta`` and ``values``."""
        cells = {name: i + 1 for i, name in enumerate(meta["cells"])}
        return cls(list(meta["chain"]), list(meta["kappas"]), cells, values)


def fit_means(features: Features, y: F64, weight: F64 | None = None) -> tuple[FeatureMeans, F64]:
    """Choose features greedily while they help; also returns the left-out means (m, n).

    A level is added where leaving rows out says that it lowers the squared error and that the
    arm with the largest mean earns more, in sum; the first one unless that arm earns less by two
    standard errors. ``y`` (m, n) with NaN where not observed; an arm never
    observed gets the mean of the others. ``weight`` (m, n): a cell's sum and count are those of
    the weights; all 1 where None.
    """
    w = _weights(y, weight)
    out = FeatureMeans(values=arm_means(y, weight)[None])
    left = sorted({k for row in features for k in row})
    names, parent, best = [""] * len(y), np.tile(out.values, (len(y), 1)), _left_out(y, w)
    while left and len(out.chain) < MAX_LEVELS:
        trials = [_level(_codes(names, features, k), y, w, best) for k in left]
        at = max(range(len(left)), key=lambda i: _merit(trials[i][1], best, y))
        kappa, loo = trials[at]
        both, fall = _merit(loo, best, y)
        if both <= 0.0 and (out.chain or both - fall <= FIRST):
            break
        names, parent = _extend(out, features, names, y, w, parent, left.pop(at), kappa)
        best = loo
    return out, best


def _merit(loo: F64, before: F64, y: F64) -> tuple[float, float]:
    """What the arm with the largest left-out mean earns more, and the fall of squared error.

    Both in standard errors, the sum first; (0, 0) or less says that it does not help.
    """
    rows = np.arange(len(y))
    filled = np.where(np.isnan(y), before, y)
    earned = filled[rows, loo.argmax(axis=1)] - filled[rows, before.argmax(axis=1)]
    fall = np.nansum((y - before) ** 2, axis=1) - np.nansum((y - loo) ** 2, axis=1)
    t = [d.mean() * np.sqrt(len(d)) / max(float(d.std()), SPREAD) for d in (earned, fall)]
    return float(t[0] + t[1]), float(t[1])


def _weights(y: F64, weight: F64 | None) -> F64:
    """(m, n) the weight of each observed value, 0 where nothing was observed."""
    return np.where(np.isnan(y), 0.0, 1.0 if weight is None else weight)


def _left_out(y: F64, w: F64) -> F64:
    """(m, n) global means without the row itself."""
    total = w * np.nan_to_num(y)
    count = w.sum(axis=0) - w
    rest = total.sum(axis=0) - total
    return np.where(count > LEAST, rest / np.maximum(count, LEAST), arm_means(y, w))


def arm_means(y: F64, weight: F64 | None = None) -> F64:
    """(n,) mean of each arm; an arm never observed gets the mean of the others."""
    w = _weights(y, weight)
    count = w.sum(axis=0)
    mean = (w * np.nan_to_num(y)).sum(axis=0) / np.where(count > 0, count, 1.0)
    other = mean[count > 0].mean() if count.any() else 0.0
    return np.where(count > 0, mean, other)


def _codes(names: list[str], features: Features, key: str) -> tuple[list[str], NDArray[np.int64]]:
    """The finer cells' names and each row's cell."""
    finer = [f"{name}{SEP}{row.get(key, '')}" for name, row in zip(names, features, strict=True)]
    place: dict[str, int] = {}
    return finer, np.array([place.setdefault(f, len(place)) for f in finer], np.int64)


def _sums(code: NDArray[np.int64], y: F64, w: F64) -> tuple[F64, F64]:
    """Weighted sum and count of each cell: (cells, n) each."""
    total, count = np.zeros((2, code.max() + 1, y.shape[1]))
    np.add.at(total, code, w * np.nan_to_num(y))
    np.add.at(count, code, w)
    return total, count


def _level(
    codes: tuple[list[str], NDArray[np.int64]], y: F64, w: F64, parent: F64
) -> tuple[float, F64]:
    """The kappa of least left-out squared error, and its left-out means; ``parent`` left out."""
    _, code = codes
    total, count = _sums(code, y, w)
    rest = total[code] - w * np.nan_to_num(y)
    others = count[code] - w
    guesses = [(k, (rest + k * parent) / (others + k)) for k in KAPPA]
    return min(guesses, key=lambda kg: float(np.nansum((y - kg[1]) ** 2)))


def _extend(
    out: FeatureMeans,
    features: Features,
    names: list[str],
    y: F64,
    w: F64,
    parent: F64,
    key: str,
    kappa: float,
) -> tuple[list[str], F64]:
    """Add one level to ``out``; returns the rows' new cells and means."""
    finer, code = _codes(names, features, key)
    total, count = _sums(code, y, w)
    above = np.zeros_like(total)
    above[code] = parent
    values = (total + kappa * above) / (count + kappa)
    start = len(out.values)
    out.cells |= {name: start + c for name, c in zip(finer, code.tolist(), strict=True)}
    out.cells = dict(sorted(out.cells.items(), key=lambda kv: kv[1]))
    out.values = np.vstack([out.values, values])
    out.chain.append(key)
    out.kappas.append(kappa)
    return finer, values[code]
