"""When nobody should be called: one threshold on confidence, paid for in tasks in scope."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F64

MAX_LOSS = 0.004  # score in scope that may be given up for refusing
MIN_ABSTAIN = 5  # rows marked abstain below which nothing is ever refused
NEVER = 0.0


def choose_threshold(confidence: F64, earned: F64, abstain: NDArray[np.bool_]) -> float:
    """The threshold on ``confidence`` (m,) that refuses most of the rows marked ``abstain``.

    At most ``MAX_LOSS`` of the mean of ``earned`` (m,) over the other rows is given up, and no
    more than it takes. With fewer than ``MIN_ABSTAIN`` marked rows it is 0: nothing is refused.
    """
    if abstain.sum() < MIN_ABSTAIN or abstain.all():
        return NEVER
    inside = confidence[~abstain]
    order = np.argsort(inside, kind="stable")
    lost = np.cumsum(earned[~abstain][order]) / len(inside)
    affordable = int(np.searchsorted(lost, MAX_LOSS, side="right"))
    highest = inside[order[min(affordable, len(inside) - 1)]]
    caught = confidence[abstain][confidence[abstain] < highest]
    return float((caught.max() + highest) / 2) if len(caught) else NEVER


def out_of_scope(confidence: float, threshold: float) -> float:
    """In [0, 1], falling in ``confidence``; 0.5 and more below ``threshold``, less above it."""
    if threshold <= NEVER:
        return 0.0
    c = min(max(confidence, 0.0), 1.0)
    if c < threshold:
        return 0.5 + 0.5 * (threshold - c) / threshold
    return 0.5 * (1.0 - c) / max(1.0 - threshold, 1e-9) * (1.0 - 1e-9)
