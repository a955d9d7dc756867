"""What a graph says of a number in its answer: when the run counts as failed."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

from agentroute.model.calls import AgentReply
from agentroute.model.plans import FailWhen


def broke(rule: FailWhen | None, reply: AgentReply | None) -> str:
    """Why ``fail_when`` says that the run failed; '' where it does not."""
    if rule is None or reply is None:
        return ""
    x = _number_at(reply.data, rule.field)
    if x is None:
        return f"fail_when: the answer's data has no number '{rule.field}'"
    tests = (
        ("above", rule.above, operator.gt),
        ("at least", rule.at_least, operator.ge),
        ("below", rule.below, operator.lt),
        ("at most", rule.at_most, operator.le),
    )
    for word, bound, holds in tests:
        if bound is not None and holds(x, bound):
            return f"{rule.field} is {x:g}, {word} {bound:g}"
    return ""


def _number_at(data: Any, field: str) -> float | None:
    for part in field.split("."):
        if not isinstance(data, Mapping) or part not in data:
            return None
        data = data[part]
    if isinstance(data, list):
        return float(len(data))
    return float(data) if isinstance(data, (int, float)) else None
