"""Who may be chosen: a set of cards, and the eligible agents as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F32, F64
from agentroute.model.cards import CapabilityCard


@dataclass(frozen=True, slots=True, eq=False)
class CardSet:
    """An immutable set of cards with their embeddings, named by its SHA-256.

    Shapes: ``embedding`` (N, e) float32, rows L2-normalised or zero.

    ``index`` maps a name to its row.
    """

    cards: tuple[CapabilityCard, ...]
    names: NDArray[np.object_]
    embedding: F32
    sha256: str
    embedder_id: str
    index: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.cards)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The eligible agents, as a struct of arrays (n,); row i is ``cards.cards[rows[i]]``.

    ``prior`` expected quality by the card in [0, 1]; ``load`` calls in flight over the limit;
    ``latency_s``, ``cost_usd`` running averages, else the card's values (NaN where unknown);
    ``success`` share of calls without error; ``inflight`` decisions not yet settled;
    ``explorable`` False for agents that need approval or exceed the budget left;
    ``canary`` True for agents that may get at most a tenth of the choices.
    """

    cards: CardSet
    rows: NDArray[np.int64]
    names: NDArray[np.object_]
    embedding: F32
    prior: F64
    load: F64
    latency_s: F64
    cost_usd: F64
    success: F64
    inflight: F64
    explorable: NDArray[np.bool_]
    canary: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, keep: NDArray[np.int64]) -> Candidates:
        """The candidates at positions ``keep``, in that order."""
        return Candidates(
            self.cards,
            *(
                getattr(self, f)[keep]
                for f in (
                    "rows",
                    "names",
                    "embedding",
                    "prior",
                    "load",
                    "latency_s",
                    "cost_usd",
                    "success",
                    "inflight",
                    "explorable",
                    "canary",
                )
            ),
        )
