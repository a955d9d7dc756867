"""Labelled outcomes, for routers that can be fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F32, F64
from agentroute.model.candidates import CardSet
from agentroute.model.tasks import Task


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Labelled outcomes for routers that can be fitted: m tasks by N agents of ``cards``.

    Shapes: ``embedding`` (m, e) float32; ``quality`` (m, N) in [0, 1], NaN where not observed;
    ``cost_usd``, ``latency_s`` (m, N) or None; ``abstain`` (m,) True where nobody should be called.
    """

    tasks: tuple[Task, ...]
    embedding: F32
    cards: CardSet
    quality: F64
    cost_usd: F64 | None
    latency_s: F64 | None
    abstain: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.tasks)
