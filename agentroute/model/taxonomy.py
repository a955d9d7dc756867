"""What kind of router one is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """What kind of router this is (arXiv 2603.04445): when it decides, from what, and how."""

    when: Literal["before", "during", "after"]
    info: tuple[str, ...]
    compute: Literal["rules", "similarity", "supervised", "bandit", "generative", "ensemble"]
