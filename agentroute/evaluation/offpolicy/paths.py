"""Choices that are many in one: a team drawn agent by agent, a depth drawn step by step.

What was logged is a path: all that was drawn, with the product of the probabilities. Beside it a
policy may go another way that could have been logged, or one that could not. That makes three arms
of which only the first is ever seen, so that the estimates and their refusals for single choices
hold for paths (importance weights over whole paths: Precup, Sutton and Singh 2000).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agentroute.evaluation.offpolicy.estimators import LoggedRows

SEEN, OTHER, IMPOSSIBLE = range(3)


@dataclass(frozen=True, slots=True)
class Path:
    """One path: its probability under the policy that logged and under the one that is asked about.

    ``impossible`` is the latter's probability of ways that could not have been logged.
    """

    logged: float
    target: float
    impossible: float
    group: str = ""


def path_rows(paths: Sequence[Path], reward: Sequence[float]) -> LoggedRows:
    """Rows of three arms: as it went, another way, a way that could not have been logged."""
    target = np.zeros((len(paths), 3))
    logging = np.zeros((len(paths), 3))
    for row, base, p in zip(target, logging, paths, strict=True):
        row[:] = p.target, max(0.0, 1.0 - p.target - p.impossible), p.impossible
        base[:2] = p.logged, 1.0 - p.logged
        row /= row.sum()
    return LoggedRows(
        chosen=np.zeros(len(paths), dtype=np.int64),
        propensity=np.array([p.logged for p in paths]),
        reward=np.array(reward, dtype=np.float64),
        target=target,
        logging=logging,
        group=[p.group for p in paths],
    )
