"""Which arms can come first at all: only theirs is a width worth its price."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agentroute.model.arrays import F64, Ints

FIRST, SLACK = 4, 0.05


def contending(mean: F64, most: F64, doubt: F64, widths: Callable[[Ints], F64]) -> F64:
    """Squared widths (n,) of the candidates that can come first, 0 for the others.

    ``mean`` (n,) utilities; ``most`` (n,) the largest bonus that each can have; ``doubt`` (n,) is
    part of every squared width; ``widths(at)`` gives the rest of it for some positions.
    """
    w2 = np.zeros(len(mean))
    first = np.argpartition(-mean, FIRST)[:FIRST] if len(mean) > FIRST else np.arange(len(mean))
    w2[first] = widths(first) + doubt[first]
    best = mean[first].max() - SLACK  # a lower bound of the best value, whatever is in flight
    at = np.flatnonzero((mean + most >= best) & (w2 == 0.0))
    w2[at] = widths(at) + doubt[at]
    return w2
