"""Depth policies by name: what ships, what is installed, and a user's own."""

from __future__ import annotations

from typing import Any

from agentroute.choosing.depth.cascade import Cascade
from agentroute.choosing.depth.confidence import Confidence
from agentroute.choosing.depth.entropy import Entropy
from agentroute.choosing.depth.fixed import Fixed, Overlap
from agentroute.choosing.depth.protocol import Depth
from agentroute.choosing.depth.rounds.policy import Rounds
from agentroute.choosing.depth.sigma import Sigma
from agentroute.config.plugins import PartKind, is_object
from agentroute.model.plans import AgentUse, Spec

DEPTHS = PartKind(
    "depth policy", "depth", "agentroute.depths",
    own={
        "one": Fixed, "fixed": Fixed, "overlap": Overlap, "entropy": Entropy,
        "cascade": Cascade, "sigma": Sigma, "confidence": Confidence,
        "rounds": Rounds,
    },
)  # fmt: skip


def make_depth(spec: Spec | Depth, *, trusted: bool = False) -> Depth:
    """A depth policy from ``one``, ``overlap``, ``{name: fixed, k: 3}``, or the policy itself.

    Only a ``trusted`` spec, from the user's own settings or Python, may name ``module:Class``.

    Raises:
        ConfigError: an unknown name or parameter, code from an untrusted spec, or no depth policy.
    """
    made: Any = spec
    name = ""
    if not is_object(spec):
        use = AgentUse.of(spec, field="depth")
        name = use.name
        made = DEPTHS.make(name, DEPTHS.find(name, trusted=trusted), use.params)
    hint = "how_many(scores, choice) returns a number and a reason"
    depth: Depth = DEPTHS.checked(made, Depth, name=name, lacks="name or how_many", hint=hint)
    return depth
