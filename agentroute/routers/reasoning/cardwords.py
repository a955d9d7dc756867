"""What the cards say, word by word: BM25 over their text, skills named, and what they refuse."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentroute.config.stopwords import STOP
from agentroute.model.arrays import F64
from agentroute.model.candidates import CardSet
from agentroute.model.cards import CapabilityCard
from agentroute.routers.parts.words import tokens

K1, B = 1.2, 0.75
HALF = 5.0  # BM25 at which the evidence is one half

_REFUSES = re.compile(
    r"\b(?:not|never|cannot|can't|except|excluding|doesn't|don't|no)\b([^.;:!?\n]*)", re.IGNORECASE
)

Posting = tuple[NDArray[np.int64], F64]


@dataclass(frozen=True, slots=True)
class CardWords:
    """Postings of a card set: word -> (rows, weights).

    ``claims`` weights are BM25 (Robertson and Zaragoza 2009), ``refusals`` 1 for each word in a
    negated clause, ``skills`` 1 for words of skill ids and tags. ``alike`` in [0, 1] is the mean
    cosine between different cards: near 1, the cards do not tell the agents apart.
    """

    size: int
    claims: dict[str, Posting]
    refusals: dict[str, Posting]
    skills: dict[str, Posting]
    alike: float

    def claimed(self, words: Sequence[str]) -> F64:
        """(N,) BM25 of the words, squashed to [0, 1): s / (s + 5)."""
        s = _gather(self.claims, words, self.size)
        return s / (s + HALF)

    def refused(self, words: Sequence[str]) -> F64:
        """(N,) share of the words in [0, 1] that the card says it does not do."""
        return _gather(self.refusals, words, self.size) / max(1, len(words))

    def skilled(self, words: Sequence[str]) -> F64:
        """(N,) in [0, 1): how many of the words name a skill or tag, s / (s + 1)."""
        s = _gather(self.skills, words, self.size)
        return s / (s + 1.0)

    def hits(self, words: Sequence[str], row: int) -> list[str]:
        """The words that card ``row`` claims, strongest first."""
        found = [(w, p[1][p[0] == row]) for w in words if (p := self.claims.get(w))]
        ranked = sorted(((-v[0], w) for w, v in found if len(v)), key=lambda x: x[0])
        return [w for _, w in ranked]


def card_words(cards: CardSet) -> CardWords:
    """The postings of ``cards``, built once for a set."""
    return cards.derived("reasoning.words", _build)


def _build(cards: CardSet) -> CardWords:
    refused = [_words(" ".join(_REFUSES.findall(c.description))) for c in cards.cards]
    claimed = [_words(_REFUSES.sub(" ", c.text())) for c in cards.cards]
    skills = [_words(_skill_text(c)) for c in cards.cards]
    return CardWords(
        size=len(cards),
        claims=_bm25(claimed),
        refusals=_postings([dict.fromkeys(set(words), 1.0) for words in refused]),
        skills=_postings([dict.fromkeys(set(words), 1.0) for words in skills]),
        alike=_alike(cards),
    )


def _words(text: str) -> list[str]:
    return [w for w in tokens(text) if w not in STOP]


def _skill_text(card: CapabilityCard) -> str:
    return " ".join(t for s in card.skills for t in (s.id.replace("_", " "), *s.tags))


def _bm25(docs: Sequence[Sequence[str]]) -> dict[str, Posting]:
    n = len(docs)
    df = Counter(w for d in docs for w in set(d))
    mean = sum(map(len, docs)) / max(1, n) or 1.0
    idf = {w: float(np.log1p((n - f + 0.5) / (f + 0.5))) for w, f in df.items()}
    return _postings([_saturated(d, mean, idf) for d in docs])


def _saturated(doc: Sequence[str], mean: float, idf: dict[str, float]) -> dict[str, float]:
    norm = K1 * (1.0 - B + B * len(doc) / mean)
    return {w: idf[w] * f * (K1 + 1.0) / (f + norm) for w, f in Counter(doc).items()}


def _postings(docs: Sequence[dict[str, float]]) -> dict[str, Posting]:
    rows: dict[str, list[int]] = {}
    weights: dict[str, list[float]] = {}
    for i, doc in enumerate(docs):
        for word, weight in doc.items():
            rows.setdefault(word, []).append(i)
            weights.setdefault(word, []).append(weight)
    return {w: (np.array(rows[w], np.int64), np.array(weights[w])) for w in rows}


def _gather(postings: dict[str, Posting], words: Sequence[str], size: int) -> F64:
    """Sum of the postings of ``words`` over ``size`` rows; a loop over words, never over agents."""
    found = [p for w in words if (p := postings.get(w)) is not None]
    if not found:
        return np.zeros(size)
    rows = np.concatenate([r for r, _ in found])
    weights = np.concatenate([v for _, v in found])
    return np.bincount(rows, weights, minlength=size).astype(np.float64)


def _alike(cards: CardSet) -> float:
    """Mean cosine of two different cards: (|sum e|^2 - n) / (n (n - 1)); 0 for a single card."""
    n = len(cards)
    if n < 2:
        return 0.0
    total = cards.embedding.sum(axis=0, dtype=np.float64)
    return float(np.clip((total @ total - n) / (n * (n - 1)), 0.0, 1.0))
