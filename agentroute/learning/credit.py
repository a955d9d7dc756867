"""Who gets how much of a score that was given to many: credit assignment.

A rule turns the route decisions that a score is about into weights, (m,), adding up to 1. Within a
team of k that has one joint score, each member then gets 1/k of its decision's weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from agentroute.errors import ConfigError, did_you_mean
from agentroute.model.arrays import F64
from agentroute.model.decisions import DecisionRecord

Credit = Callable[[Sequence[DecisionRecord]], F64]


def equal(records: Sequence[DecisionRecord]) -> F64:
    """The same to every decision."""
    return np.full(len(records), 1.0 / max(1, len(records)))


def by_task_weight(records: Sequence[DecisionRecord]) -> F64:
    """In proportion to ``Task.weight``."""
    w = np.array([1.0 if r.request is None else r.request.task.weight for r in records])
    return w / w.sum() if len(w) else w


CREDITS: dict[str, Credit] = {"equal": equal, "task_weight": by_task_weight}


def make_credit(name: str) -> Credit:
    """The rule of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in CREDITS:
        raise ConfigError(f"no credit rule is called '{name}'", hint=did_you_mean(name, CREDITS))
    return CREDITS[name]
