"""Who joins, as people write it: words that are no agents' names, and the rules' parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentroute.errors import ConfigError, did_you_mean
from agentroute.refining.joining import STRATEGIES
from agentroute.refining.weighing import WEIGHTS

LEARNED, PRIMARY = "learned", "primary"
WORDS = (LEARNED, PRIMARY)


def rules_problem(params: Mapping[str, Any]) -> ConfigError | None:
    """What is wrong with the shipped refiner's ``strategy``, ``weights`` and ``top``, or None."""
    strategy, weights = params.get("strategy", "auto"), params.get("weights", "equal")
    top = params.get("top")
    if strategy not in STRATEGIES:
        hint = did_you_mean(str(strategy), STRATEGIES)
        return ConfigError(f"unknown strategy '{strategy}'", field="refine.strategy", hint=hint)
    if not isinstance(weights, Mapping) and weights not in WEIGHTS:
        hint = did_you_mean(str(weights), WEIGHTS)
        return ConfigError(f"unknown weights '{weights}'", field="refine.weights", hint=hint)
    if top is not None and (isinstance(top, bool) or not isinstance(top, int) or top < 1):
        return ConfigError("must be a whole number from 1 up", field="refine.top")
    return None
