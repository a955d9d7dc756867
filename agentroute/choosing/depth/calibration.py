"""A stated confidence as a probability: a rising line through knots, fitted on what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from agentroute.errors import ConfigError
from agentroute.model.arrays import F64

Knots = tuple[tuple[float, float], ...]
MOST_KNOTS = 100


def fit_knots(stated: F64, came: F64, *, bins: int = 10) -> Knots:
    """Isotonic knots of outcomes ``came`` (m,) in [0, 1] over ``stated`` (m,), equal-count bins.

    Pool-adjacent-violators over the bins' means; no rows give no knots, which change nothing.
    """
    if not len(stated):
        return ()
    order = np.argsort(stated, kind="stable")
    parts = [p for p in np.array_split(order, min(bins, len(order))) if len(p)]
    blocks: list[list[float]] = []  # weight, mean outcome, mean stated
    for p in parts:
        blocks.append([float(len(p)), float(came[p].mean()), float(stated[p].mean())])
        while len(blocks) > 1 and (
            blocks[-2][1] >= blocks[-1][1] or blocks[-2][2] >= blocks[-1][2]
        ):
            b, a = blocks.pop(), blocks.pop()
            w = a[0] + b[0]
            blocks.append([w, *((a[0] * a[i] + b[0] * b[i]) / w for i in (1, 2))])
    return tuple((round(x, 6), round(min(max(y, 0.0), 1.0), 6)) for _, y, x in blocks)


def calibrated(knots: Knots, value: F64 | float) -> F64:
    """The line through the knots at ``value``, flat outside; no knots leave it as it is."""
    if not knots:
        return np.asarray(value, np.float64)
    x, y = np.array(knots).T
    return np.asarray(np.interp(value, x, y))


def checked_knots(written: Any) -> Knots:
    """Knots as settings hold them: pairs of numbers in [0, 1], both rising.

    Raises:
        ConfigError: they are not.
    """
    field, hint = "depth.calibration", "[[stated, came], ...], as `eval --depth --tune` prints it"
    if not isinstance(written, Sequence) or isinstance(written, str) or len(written) > MOST_KNOTS:
        raise ConfigError("must be a list of pairs", field=field, hint=hint)
    try:
        knots = tuple((float(x), float(y)) for x, y in written)
    except (TypeError, ValueError):
        raise ConfigError("must be a list of pairs", field=field, hint=hint) from None
    pairs = list(pairwise(knots))
    inside = all(0 <= v <= 1 for k in knots for v in k)
    if not inside or any(a[0] >= b[0] or a[1] > b[1] for a, b in pairs):
        raise ConfigError("must rise and lie in [0, 1]", field=field, hint=hint)
    return knots
