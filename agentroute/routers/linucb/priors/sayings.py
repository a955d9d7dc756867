"""What a card says beside its gist: its words, weighed by how rare they are, and its examples."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32, F64, Embedder, Ints
from agentroute.model.candidates import CardSet, Request
from agentroute.model.cards import CapabilityCard
from agentroute.routers.linucb.priors.lexicon import COLUMNS, card_presence, text_columns
from agentroute.routers.parts.words import columns, content

MOST, NEAREST, PULL = 12, 16, 0.5


@dataclass(frozen=True, slots=True, eq=False)
class CardWords:
    """``has`` (D, N): which hashed words and pairs each card has; ``idf`` (D,): how rare each is.

    idf = ln((N + 1) / (df + 1)); ``limited`` (N,) are the cards that give examples.
    """

    has: F32
    idf: F64
    limited: NDArray[np.bool_]

    @classmethod
    def of(cls, cards: CardSet) -> CardWords:
        """Derived once for a card set."""
        return cards.derived("linucb.sayings", cls._made)

    @classmethod
    def _made(cls, cards: CardSet) -> CardWords:
        has = card_presence(cards)
        idf = np.log((len(cards) + 1.0) / (has.sum(axis=1, dtype=np.float64) + 1.0))
        return cls(has, idf, np.array([bool(examples(c)) for c in cards.cards], bool))

    def shares(self, text: str, rows: Ints) -> F64:
        """(n,) in [0, 1]: |x at what card and text share| / |x|, with x the idf of the text.

        ``rows`` (n,) are cards of the set, -1 for one that is not in it.
        """
        at = text_columns(text)
        weight = np.square(self.idf[at], dtype=np.float32)
        total = weight.sum(dtype=np.float64)
        if not total:
            return np.zeros(len(rows))
        with one_thread():
            shared = (weight @ self.has.take(at, axis=0)).astype(np.float64)
        return np.asarray(np.sqrt(np.where(rows >= 0, shared[rows], 0.0) / total))

    def naming(self, text: str, rows: Ints) -> NDArray[np.bool_]:
        """(n,) whether a card has one of the text's words that are not stop words."""
        at = columns(content(text), COLUMNS)
        return np.asarray(self.has.take(at, axis=0).sum(axis=0) > 0.0)[rows]


def examples(card: CapabilityCard) -> tuple[str, ...]:
    """The first ``MOST`` prompts that a card gives as examples, over all its skills."""
    return tuple(e for s in card.skills for e in s.examples if e.strip())[:MOST]


class Examples:
    """cos' = cos + PULL max(0, max_j cos(e, x_aj) - max(0, cos)): near is who has an example near.

    ``x_aj`` (e,) are the embeddings of card a's examples. A decision looks at the ``NEAREST``
    candidates by cosine, and those level with the last of them; a card's examples are embedded
    when it first comes that near, once for a card set. Without an embedder of the cards' own
    space nothing is added.
    """

    def __init__(self, embedder: Embedder | None) -> None:
        self._embedder = embedder

    def lift(self, request: Request, cos: F64) -> F64:
        """(n,) what examples add to the cosines ``cos`` (n,) of prompt and candidates."""
        c, out = request.candidates, np.zeros(len(cos))
        store = self._store(c.cards)
        if store is None:
            return out
        n = len(cos)
        least = np.partition(cos, n - NEAREST)[n - NEAREST] if n > NEAREST else -1.0
        at = np.flatnonzero((cos >= least) & (c.rows >= 0))
        near = store.take(c.rows[at])
        with one_thread():
            best = (near.reshape(-1, near.shape[2]) @ request.embedding).reshape(-1, MOST)
        gap = best.max(axis=1) - np.maximum(cos[at], 0.0)
        out[at] = PULL * np.maximum(gap, 0.0)
        return out

    def _store(self, cards: CardSet) -> _Embedded | None:
        embedder = self._embedder
        if embedder is None or embedder.id != cards.embedder_id:
            return None
        if not CardWords.of(cards).limited.any():
            return None
        key = ("linucb.examples", embedder.id)
        return cards.derived(key, lambda cs: _Embedded(cs, embedder))


class _Embedded:
    """The examples of a card set's cards, embedded when first asked for."""

    def __init__(self, cards: CardSet, embedder: Embedder) -> None:
        self._cards, self._embedder, self._lock = cards, embedder, Lock()
        self._slot = np.where(CardWords.of(cards).limited, -1, 0)  # 0: none, -1: not yet embedded
        self._x: F32 = np.zeros((1, MOST, cards.embedding.shape[1]), np.float32)

    def take(self, rows: Ints) -> F32:
        """(n, MOST, e) of the cards ``rows`` (n,), zeros where a card has fewer."""
        slots = self._slot[rows]
        if slots.min(initial=0) < 0:
            with self._lock:
                self._embed(rows[slots < 0])
            slots = self._slot[rows]
        return self._x[slots]

    def _embed(self, rows: Ints) -> None:
        fresh = [int(r) for r in rows if self._slot[r] < 0]
        texts = [examples(self._cards.cards[r]) for r in fresh]
        vectors = self._embedder.encode([t for ts in texts for t in ts])
        more = np.zeros((len(fresh), *self._x.shape[1:]), np.float32)
        start = 0
        for i, ts in enumerate(texts):
            more[i, : len(ts)] = vectors[start : start + len(ts)]
            start += len(ts)
        first = len(self._x)
        self._x = np.concatenate([self._x, more])  # before the slots: a reader sees both or none
        for i, r in enumerate(fresh):
            self._slot[r] = first + i
