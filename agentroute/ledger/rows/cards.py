"""A card set as one content-addressed blob, and back, bit-equal."""

from __future__ import annotations

import numpy as np
import orjson

from agentroute.errors import LedgerError
from agentroute.ledger.rows.pack import pack, unpack
from agentroute.ledger.rows.redaction import redact_json
from agentroute.model.candidates import CardSet
from agentroute.model.cards import CapabilityCard


def encode_cardset(cards: CardSet) -> bytes:
    """Cards (JSON, secrets taken out), embeddings (N, e) and names of a card set."""
    about = {
        "sha256": cards.sha256,
        "embedder_id": cards.embedder_id,
        "cards": [
            redact_json(c.model_dump(mode="json", exclude_defaults=True)) for c in cards.cards
        ],
    }
    text = np.frombuffer(orjson.dumps(about, option=orjson.OPT_SORT_KEYS), np.uint8)
    return pack({"about": text, "embedding": cards.embedding})


def is_whole(cards: CardSet, blob: bytes) -> bool:
    """Whether the blob gives the same cards back: no secret was taken out of them."""
    try:
        return decode_cardset(blob).cards == cards.cards
    except (LedgerError, ValueError):  # what a card says that no card may is said where it is read
        return False


def decode_cardset(blob: bytes) -> CardSet:
    """The card set of ``encode_cardset``.

    Raises:
        LedgerError: the blob is broken.
    """
    arrays = unpack(blob)
    about = orjson.loads(arrays["about"].tobytes())
    cards = tuple(CapabilityCard.model_validate(c) for c in about["cards"])
    names = np.array([c.name for c in cards], dtype=object)
    index = {c.name: i for i, c in enumerate(cards)}
    return CardSet(cards, names, arrays["embedding"], about["sha256"], about["embedder_id"], index)
