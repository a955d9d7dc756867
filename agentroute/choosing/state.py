"""Learned state as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class StateDict:
    """Learned state as data; never code."""

    kind: str
    """Name of the router."""
    version: int
    """Layout of its state."""
    meta: dict[str, Any] = field(default_factory=dict)
    """JSON."""
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    """By name."""
