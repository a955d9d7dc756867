"""How much each of several replies weighs in a vote."""

from __future__ import annotations

import math
from collections.abc import Mapping

from agentroute.errors import UsageError
from agentroute.model.calls import AgentReply

WEIGHTS = ("confidence", "routing", "log_odds", "equal")
UNSAID = 0.5
MOST = 0.99  # a routing probability counts no higher: its log odds would be beyond all bounds


def weigh(
    replies: Mapping[str, AgentReply],
    how: str | Mapping[str, float] = "confidence",
    routing: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Speaker -> weight, 0 or more.

    ``how`` is ``confidence`` (what each reply says of itself), ``routing`` (the router's expected
    utility of the speaker at the decision, in [0, 1]: the fusion of AgentRouter,
    arXiv 2510.05445), ``log_odds`` (log(p / (1 - p)) of the same p, not below 0: the best weights
    of independent voters whose p is right), ``equal``, or the weights themselves. What is not said
    or known counts as 0.5.

    Raises:
        UsageError: an unknown name.

    >>> said = {"a": AgentReply(text="4"), "b": AgentReply(text="5")}
    >>> weigh(said, "routing", {"a": 0.9})
    {'a': 0.9, 'b': 0.5}
    """
    if not isinstance(how, str):
        return {who: float(how.get(who, _own(r))) for who, r in replies.items()}
    if how not in WEIGHTS:
        raise UsageError(f"unknown weights '{how}'", hint=", ".join(WEIGHTS))
    if how == "equal":
        return dict.fromkeys(replies, 1.0)
    if how == "confidence":
        return {who: _own(r) for who, r in replies.items()}
    p = {who: min(max(float((routing or {}).get(who, UNSAID)), 0.0), 1.0) for who in replies}
    return p if how == "routing" else {who: _log_odds(x) for who, x in p.items()}


def _own(reply: AgentReply) -> float:
    return UNSAID if reply.confidence is None else reply.confidence


def _log_odds(p: float) -> float:
    p = min(p, MOST)
    return max(math.log(p / (1.0 - p)), 0.0) if p > 0 else 0.0
