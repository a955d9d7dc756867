"""Learned state as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class StateDict:
    """Learned state as data: JSON ``meta`` and named arrays; never code.

    ``kind`` names the router, ``version`` the layout of its state.
    """

    kind: str
    version: int
    meta: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
