"""What words say: how much likelier a text is among the tasks that an agent did well."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32, F64, Ints
from agentroute.model.candidates import CardSet, Request
from agentroute.routers.parts.index import ArmIndex
from agentroute.routers.parts.words import columns, grams

COLUMNS, CHARS, CARD = 4096, 1_000, 2.0
MU, SCALE = 20.0, 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Facing:
    """What an arm says at the columns ``at`` (t,) of a text: ``n`` (t,), and ``total`` in all."""

    at: Ints
    n: F64
    total: float


class Lexicon:
    """The mean of ln p_a(c) / b(c) over a text's hashed words and pairs c, over ``SCALE``.

    p_a(c) = (n_ac + mu b(c)) / (n_a + mu), a language model of the texts that arm a did well with
    Dirichlet's smoothing (Zhai and Lafferty 2004, Table I): ``n_ac`` counts those with c, and
    ``CARD`` for what its card says; b(c) is the share of c in all that was read. For ln(n_ac / (mu
    b(c)) + 1) stands i ln(1 / (mu b(c))) + ln max(1, n_ac) with i = min(1, n_ac), so that a
    decision adds up rows of two matrices. It is 0 for an arm of which nothing is known. Meaning has
    an embedding: words are for what its mean blurs. The first ``CHARS`` characters are read.

    Truth: ``N`` (D, S) float32, a column n_a for each arm, ``total`` (S,) = n_a, ``df`` (D,) and
    ``seen``, what was read by column and in all. For an arm without a success, and so for 0 and
    the last, which stands for arms beyond, its card speaks alone. Nothing is allocated before the
    first text.
    """

    def __init__(self) -> None:
        self.N: F32 = np.zeros((0, 1), np.float32)
        self.total, self.df, self.seen = np.zeros(1), np.zeros(0), 0.0
        self._derive()

    # -- serving -----------------------------------------------------------------------------

    def ratios(self, request: Request, arms: ArmIndex) -> F64:
        """(n,) of the prompt with each candidate; 0 without words."""
        c, at = request.candidates, text_columns(request.task.prompt)
        if not len(at) or not len(self.N):
            return np.zeros(len(c))
        slots, w = arms.rows(c), self._rarity(at)
        with one_thread():
            said = w.astype(np.float32) @ np.minimum(self.N.take(at, axis=0), np.float32(1.0))
            said += np.ones(len(at), np.float32) @ self._logs.take(at, axis=0)
        out = _mean(said.astype(np.float64), len(at), self.total).take(slots, mode="clip")
        new = (self.total.take(slots, mode="clip") == 0.0).nonzero()[0]
        if len(new):
            out[new] = _by_cards(c.cards, c.rows[new], at, w)
        return np.asarray(out)

    def own(self, one: Request, row: int) -> float:
        """The same for a request's only candidate, arm ``row``, in float64 from the truth."""
        return self.ratio(self.facing(one, row))

    def facing(self, one: Request, row: int) -> Facing | None:
        """What arm ``row`` says at the text's columns; None where nothing is said.

        Counting a text leaves it as it is, since that moves the rarity of words alone.
        """
        at = text_columns(one.task.prompt)
        if not len(at) or not len(self.N):
            return None
        row = min(row, len(self.total) - 1)
        n, total = self.N[at, row].astype(np.float64), float(self.total[row])
        if total == 0.0:
            card = _card_columns(one)
            n, total = CARD * np.isin(at, card, assume_unique=True), CARD * len(card)
        return Facing(at, n, total)

    def ratio(self, facing: Facing | None) -> float:
        """The mean log ratio, by the rarity that the columns have now."""
        if facing is None:
            return 0.0
        n = facing.n
        said = self._rarity(facing.at) @ np.minimum(n, 1.0) + np.log(np.maximum(n, 1.0)).sum()
        return float(_mean(said, len(n), np.float64(facing.total)))

    # -- learning ----------------------------------------------------------------------------

    def read(self, one: Request, row: int, weight: float) -> None:
        """Count a text, whoever did it: words that all texts have tell nobody apart."""
        self._reach(row)
        at = text_columns(one.task.prompt)
        self.df[at] += weight
        self.seen += weight * len(at)

    def fold(self, one: Request, row: int, weight: float) -> None:
        """A text, read, that arm ``row`` did well to the extent of ``weight`` > 0."""
        if self.total[row] == 0.0:
            self._add(_card_columns(one), row, CARD)
        self._add(text_columns(one.task.prompt), row, weight)

    def reset(self, row: int) -> None:
        """Forget an arm."""
        if row < len(self.total):
            self.N[:, row] = self._logs[:, row] = self.total[row] = 0.0

    # -- saving ------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything, for a state."""
        own = {name: getattr(self, name).copy() for name in ("N", "total", "df")}
        return own | {"seen": np.array([self.seen])}

    def load(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Continue from ``arrays``."""
        self.N = np.array(arrays["N"], np.float32)
        self.total, self.df = (np.array(arrays[m], np.float64) for m in ("total", "df"))
        self.seen = float(np.asarray(arrays["seen"], np.float64)[0])
        self._derive()

    # -- inside ------------------------------------------------------------------------------

    def _add(self, at: Ints, row: int, weight: float) -> None:
        n = self.N[at, row] + np.float32(weight)
        self.N[at, row], self._logs[at, row] = n, np.log(np.maximum(n, np.float32(1.0)))
        self.total[row] += weight * len(at)

    def _derive(self) -> None:
        """``_logs`` (D, S): ln max(1, N)."""
        self._logs = np.log(np.maximum(self.N, np.float32(1.0)))

    def _rarity(self, at: Ints) -> F64:
        """(t,) ln(1 / (mu b(c))): how much one text with c says for an arm."""
        b = (self.df[at] + 0.5) / (self.seen + 0.5 * COLUMNS)
        return np.asarray(-np.log(MU * b))

    def _reach(self, row: int) -> None:
        if row < len(self.total) - 1:
            return
        size = max(row + 2, 2 * len(self.total))
        grown = np.zeros((COLUMNS, size), np.float32)
        grown[: len(self.N), : len(self.total)] = self.N
        self.total = np.append(self.total, np.zeros(size - len(self.total)))
        self.df = self.df if len(self.df) else np.zeros(COLUMNS)
        self.N = grown
        self._derive()


def _mean(said: Any, t: int, total: Any) -> F64:
    """The ratio of a text of ``t`` columns, where ``said`` was added up, for n_a ``total``."""
    return np.asarray((said / t - np.log1p(total / MU)) / SCALE)


def _by_cards(cards: CardSet, rows: Ints, at: Ints, w: F64) -> F64:
    """(n,) ratios of the cards ``rows`` (n,) alone, 0 for -1, at a text's columns and rarity."""
    has = card_presence(cards)
    said = (w + np.log(CARD)).astype(np.float32) @ has.take(at, axis=0)[:, rows]
    words = cards.derived("linucb.lengths", _lengths)
    ratio = _mean(said.astype(np.float64), len(at), CARD * words[rows])
    return np.where(rows >= 0, ratio, 0.0)


def card_presence(cards: CardSet) -> F32:
    """(D, N) 1 where a card of the set has a column, else 0; made once for a set."""
    return cards.derived("linucb.words", _presence)


def _presence(cards: CardSet) -> F32:
    has = np.zeros((COLUMNS, len(cards)), np.float32)
    for i, card in enumerate(cards.cards):
        has[text_columns(card.text()), i] = 1.0
    return has


def _lengths(cards: CardSet) -> F64:
    """(N,) how many columns each card has."""
    return np.asarray(card_presence(cards).sum(axis=0, dtype=np.float64))


def text_columns(text: str) -> Ints:
    """The distinct columns, ascending, of a text's words and pairs of neighbours."""
    return _columns(text[:CHARS])


@lru_cache(maxsize=4096)
def _columns(text: str) -> Ints:
    at = np.array(sorted(set(columns(grams(text), COLUMNS).tolist())), np.int64)
    at.flags.writeable = False
    return at


def _card_columns(one: Request) -> Ints:
    row = int(one.candidates.rows[0])
    return text_columns(one.candidates.cards.cards[row].text() if row >= 0 else "")
