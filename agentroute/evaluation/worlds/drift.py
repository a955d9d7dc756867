"""What happens when the best agent dies: recovery, and traffic to the dead.

Recovery (Symphony-Coord, experiment 2): the rolling mean of 50 rewards must fall by at least 0.08,
then return to 0.9 of the mean of the 200 tasks before the shock, and hold that for 50 steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agentroute.model.arrays import F64

WINDOW, DROP, BACK, HOLD, BEFORE = 50, 0.08, 0.9, 50, 200
DEAD_SHARE, DEAD_WITHIN = 0.05, 100


@dataclass(frozen=True, slots=True)
class Recovery:
    """``before`` mean reward before the shock; ``lowest`` rolling mean after it.

    ``fell`` says that the drop was large enough to count; ``steps`` from the shock to the start of
    the window that holds, None where it never came back (0 where it never fell).
    """

    before: float
    lowest: float
    fell: bool
    steps: int | None


def recovery(reward: F64, shock: int) -> Recovery:
    """The recovery of a stream of rewards (T,) from a shock before step ``shock``."""
    before = float(reward[max(0, shock - BEFORE) : shock].mean())
    rolling = rolling_mean(reward, WINDOW)[shock:]
    low = rolling <= before - DROP
    lowest = float(rolling.min())
    if not low.any():
        return Recovery(before, lowest, False, 0)
    start = int(low.argmax())
    return Recovery(before, lowest, True, _held(rolling >= BACK * before, start))


def _held(ok: np.ndarray[Any, np.dtype[np.bool_]], start: int) -> int | None:
    """First step from ``start`` on at which ``ok`` holds for HOLD steps."""
    for t in range(start, len(ok) - HOLD + 1):
        if ok[t : t + HOLD].all():
            return t
    return None


def rolling_mean(values: F64, window: int) -> F64:
    """(T,) mean of the last ``window`` values, of fewer at the beginning."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - window, 0)
    return np.asarray((total[stop] - total[start]) / (stop - start))


def deadlocks(reward: F64) -> int:
    """How often three failures came in a row (overlapping runs of three count once a start)."""
    bad = reward <= 0
    return int((bad[2:] & bad[1:-1] & bad[:-2]).sum()) if len(bad) > 2 else 0


def steps_until_left(went_there: np.ndarray[Any, np.dtype[np.bool_]]) -> int | None:
    """Tasks until the share over the 50 last ones is under 5 % and stays so; None if never."""
    share = rolling_mean(went_there.astype(float), WINDOW)
    over = np.flatnonzero(share >= DEAD_SHARE)
    left = int(over[-1]) + 1 if len(over) else 0
    return left if left < len(share) else None
