"""What a router says: arrays over the candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from agentroute.model.arrays import F64


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """A router's opinion: row i is candidate i.

    ``mean`` (n,) expected utility in [0, 1]; ``bonus`` (n,) exploration in the same unit;
    ``terms`` name -> (n,), adding up to ``mean`` (with a ``clip`` term where it was clipped);
    ``out_of_scope`` in [0, 1]; ``evidence`` bytes that a replay needs (a model's reply).
    """

    mean: F64
    bonus: F64
    terms: Mapping[str, F64] = field(default_factory=dict)
    reason: str = ""
    out_of_scope: float = 0.0
    evidence: bytes | None = None


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """What kind of router this is (arXiv 2603.04445): when it decides, from what, and how."""

    when: Literal["before", "during", "after"]
    info: tuple[str, ...]
    compute: Literal["rules", "similarity", "supervised", "bandit", "generative", "ensemble"]
