"""Cards and their embeddings as one immutable set, named by its content."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson

from agentroute.model.arrays import F32, Embedder
from agentroute.model.candidates import CardSet
from agentroute.model.cards import CapabilityCard
from agentroute.model.ids import sha256


def canonical(cards: Sequence[CapabilityCard]) -> bytes:
    """The cards as sorted-key JSON: what the set's SHA-256 is taken over."""
    dumped = [c.model_dump(mode="json") for c in cards]
    return orjson.dumps(dumped, option=orjson.OPT_SORT_KEYS)


def build_cardset(
    cards: Sequence[CapabilityCard], embedder: Embedder, *, embedding: F32 | None = None
) -> CardSet:
    """A ``CardSet`` in the order given; ``embedding`` (N, e) stands for encoding the texts."""
    if embedding is None:
        embedding = embedder.encode([c.text() for c in cards])
    names = np.array([c.name for c in cards], dtype=object)
    digest = sha256(embedder.id.encode() + b"\0" + canonical(cards))
    return CardSet(
        cards=tuple(cards),
        names=names,
        embedding=embedding,
        sha256=digest,
        embedder_id=embedder.id,
        index={c.name: i for i, c in enumerate(cards)},
    )
