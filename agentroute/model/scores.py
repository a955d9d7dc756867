"""What a router says: arrays over the candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from agentroute.model.arrays import F64
from agentroute.model.calls import Usage


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """A router's opinion: row i is candidate i."""

    mean: F64
    """(n,) expected utility in [0, 1]."""
    bonus: F64
    """(n,) exploration, in the same unit."""
    terms: Mapping[str, F64] = field(default_factory=dict)
    """Name to (n,); they add up to ``mean``, with a ``clip`` term where it was clipped."""
    reason: str = ""
    """Why, in words."""
    out_of_scope: float = 0.0
    """In [0, 1]: how likely nobody fits."""
    evidence: bytes | None = None
    """What a replay needs, such as a model's reply."""
    usage: Usage | None = None
    """What the router's own model calls used; None where it made none."""


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """What kind of router this is (arXiv 2603.04445): when it decides, from what, and how."""

    when: Literal["before", "during", "after"]
    info: tuple[str, ...]
    compute: Literal["rules", "similarity", "supervised", "bandit", "generative", "ensemble"]
