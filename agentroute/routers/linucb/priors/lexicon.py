"""What words say: each agent's sum of the words of tasks it did well, beside its card's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32, F64, Ints
from agentroute.model.candidates import CardSet, Request
from agentroute.routers.parts.index import ArmIndex
from agentroute.routers.parts.words import columns, grams

COLUMNS, CHARS, CARD, SETS = 4096, 1_000, 2.0, 2


@dataclass(frozen=True, slots=True, eq=False)
class CardColumns:
    """The columns of cards, one after the other: ``at`` (m,), ascending for each ``owner`` (m,).

    ``count`` (N,) of each card; its unit vector k is ``k`` (m,) = 1 / sqrt(count) there.
    """

    at: Ints
    owner: Ints
    count: Ints
    k: F64

    @classmethod
    def of(cls, texts: Sequence[str]) -> CardColumns:
        """The columns of these cards' texts."""
        columns = [text_columns(text) for text in texts]
        count = np.array([len(at) for at in columns], np.int64)
        owner = np.repeat(np.arange(len(texts)), count)
        k: F64 = 1.0 / np.sqrt(count[owner])
        return cls(np.concatenate(columns), owner, count, k)

    def within(self, at: Ints) -> F64:
        """The vector k at the columns ``at`` (t,), for a single card."""
        if not len(self.at):
            return np.zeros(len(at))
        same = self.at.take(self.at.searchsorted(at), mode="clip") == at
        return np.where(same, self.k[0], 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Facing:
    """Of an arm and its card: ``v`` (t,) at the columns ``at`` (t,) of a text, and its length."""

    at: Ints
    v: F64
    length: float


class Lexicon:
    """cos(x, CARD k_a + w_a) over hashed words and pairs of neighbours: Rocchio (1971) in words.

    ``x`` is a text's unit vector of inverse document frequencies (Salton and Buckley 1988) over
    its columns, ln((T + 2) / (df + 1)); ``w_a`` sums those of the texts that arm a did well;
    ``k_a`` is the unit vector of its card's columns, all alike. Meaning has an embedding: words
    are for what its mean blurs. The first ``CHARS`` characters are read.

    Truth: ``W`` (D, S) float32, a column w_a for each arm, so that a decision reads the few rows
    of its text; ``square`` (S,) = |w_a|^2; ``df`` (D,) and ``texts`` T count what was read, by
    column and in all. Arm 0, without feedback, stays empty, and so does the last, which stands
    for arms beyond. Nothing is allocated before the first text.
    """

    def __init__(self) -> None:
        self.W: F32 = np.zeros((0, 1), np.float32)
        self.square, self.df, self.texts = np.zeros(1), np.zeros(0), 0.0
        self._lengths: dict[str, F64] = {}

    # -- serving -----------------------------------------------------------------------------

    def cosines(self, request: Request, arms: ArmIndex) -> F64:
        """(n,) cosines in [0, 1] of the prompt's words with each candidate's; 0 without words."""
        c, at = request.candidates, text_columns(request.task.prompt)
        if not len(at) or not len(self.W):
            return np.zeros(len(c))
        x = self._weights(at).astype(np.float32)
        cards = _of_set(c.cards)[1]
        with one_thread():
            learned, card = x @ self.W.take(at, axis=0), x @ cards.take(at, axis=0)
        dot = learned.take(arms.rows(c), mode="clip") + CARD * card.take(c.rows)
        return np.asarray(dot / self._set_lengths(c.cards, arms).take(c.rows))

    def own(self, one: Request, row: int) -> float:
        """The same for a request's only candidate, arm ``row``, in float64 from the truth."""
        return self.cosine(self.facing(one, row))

    def facing(self, one: Request, row: int) -> Facing | None:
        """What arm ``row`` and its card say at the text's columns; None where nothing is said.

        Counting a text leaves it as it is, since that moves the text's weights alone.
        """
        at = text_columns(one.task.prompt)
        if not len(at) or not len(self.W):
            return None
        card = _card_columns(one)
        w = self.W[at, min(row, len(self.square) - 1)]
        length = self._lengths_of(card, np.array([row]))[0]
        return Facing(at, w + CARD * card.within(at), float(length))

    def cosine(self, facing: Facing | None) -> float:
        """The cosine of the text, by the weights that its columns have now."""
        return 0.0 if facing is None else float(self._weights(facing.at) @ facing.v) / facing.length

    # -- learning ----------------------------------------------------------------------------

    def read(self, one: Request, row: int, weight: float) -> None:
        """Count a text, whoever did it: words that all texts have tell nobody apart."""
        self._reach(row)
        self.df[text_columns(one.task.prompt)] += weight
        self.texts += weight

    def fold(self, one: Request, row: int, weight: float) -> None:
        """A text, read, that arm ``row`` did well to the extent of ``weight`` > 0."""
        at = text_columns(one.task.prompt)
        before = self.W[at, row]
        after = before + (weight * self._weights(at)).astype(np.float32)
        self.W[at, row] = after
        self.square[row] += np.square(after, dtype=np.float64).sum()
        self.square[row] -= np.square(before, dtype=np.float64).sum()
        self._refresh(one, row)

    def reset(self, row: int) -> None:
        """Forget an arm."""
        if row < len(self.square):
            self.W[:, row] = self.square[row] = 0.0
            self._lengths.clear()

    # -- saving ------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything, for a state."""
        own = {name: getattr(self, name).copy() for name in ("W", "square", "df")}
        return own | {"texts": np.array([self.texts])}

    def load(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Continue from ``arrays``."""
        self.W = np.array(arrays["W"], np.float32)
        self.square, self.df = (np.array(arrays[m], np.float64) for m in ("square", "df"))
        self.texts = float(np.asarray(arrays["texts"], np.float64)[0])
        self._lengths.clear()

    # -- inside ------------------------------------------------------------------------------

    def _weights(self, at: Ints) -> F64:
        """The unit vector x at its columns."""
        x: F64 = np.log((self.texts + 2.0) / (self.df[at] + 1.0))
        return x / (x @ x) ** 0.5 if len(x) else x

    def _reach(self, row: int) -> None:
        if row < len(self.square) - 1:
            return
        size = max(row + 2, 2 * len(self.square))
        grown = np.zeros((COLUMNS, size), np.float32)
        grown[: len(self.W), : len(self.square)] = self.W
        self.square = np.append(self.square, np.zeros(size - len(self.square)))
        self.df = self.df if len(self.df) else np.zeros(COLUMNS)
        self.W = grown

    def _lengths_of(self, cards: CardColumns, slots: Ints) -> F64:
        """(N,) |CARD k + w| of cards and their arms, 1 for nothing.

        One card and many add up in the same order, so both give the same bits.
        """
        slots = np.minimum(slots, len(self.square) - 1)
        said = cards.k * self.W[cards.at, slots[cards.owner]]
        both = np.bincount(cards.owner, said, minlength=len(slots))
        square = CARD**2 * (cards.count > 0) + 2.0 * CARD * both + self.square[slots]
        return np.asarray(np.where(square > 0.0, square, 1.0) ** 0.5)

    def _set_lengths(self, cards: CardSet, arms: ArmIndex) -> F64:
        """(N,) lengths of a card set's vectors: derived, kept for the last few sets."""
        lengths = self._lengths.get(cards.sha256)
        if lengths is None:
            if len(self._lengths) >= SETS:
                self._lengths.clear()
            lengths = self._lengths_of(_of_set(cards)[0], arms.slots(cards))
            self._lengths[cards.sha256] = lengths
        return lengths

    def _refresh(self, one: Request, row: int) -> None:
        c = one.candidates
        mine = self._lengths.get(c.cards.sha256)
        self._lengths = {} if mine is None else {c.cards.sha256: mine}
        at = int(c.rows[0])
        if mine is not None and at >= 0:
            mine[at] = self._lengths_of(_card_columns(one), np.array([row]))[0]


def _of_set(cards: CardSet) -> tuple[CardColumns, F32]:
    """The columns of a card set and their matrix (D, N), made once for a set."""
    return cards.derived("linucb.words", _columns_of)


def _columns_of(cards: CardSet) -> tuple[CardColumns, F32]:
    c = CardColumns.of([card.text() for card in cards.cards])
    matrix = np.zeros((COLUMNS, len(cards)), np.float32)
    matrix[c.at, c.owner] = c.k
    return c, matrix


def card_presence(cards: CardSet) -> NDArray[np.bool_]:
    """(D, N): which columns each card of a set has."""
    return _of_set(cards)[1] > 0.0


def text_columns(text: str) -> Ints:
    """The distinct columns, ascending, of a text's words and pairs of neighbours."""
    return _columns(text[:CHARS])


@lru_cache(maxsize=4096)
def _columns(text: str) -> Ints:
    at = np.array(sorted(set(columns(grams(text), COLUMNS).tolist())), np.int64)
    at.flags.writeable = False
    return at


def _card_columns(one: Request) -> CardColumns:
    row = int(one.candidates.rows[0])
    return _one_card(one.candidates.cards.cards[row].text()[:CHARS] if row >= 0 else "")


@lru_cache(maxsize=4096)
def _one_card(text: str) -> CardColumns:
    return CardColumns.of([text])
