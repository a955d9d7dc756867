"""Evidence for each agent as numbers that add up: by cards at once, by what was learned later."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32, F64
from agentroute.model.candidates import Request
from agentroute.model.tasks import Task
from agentroute.routers.parts.index import ArmIndex
from agentroute.routers.parts.words import columns, content, grams, task_text
from agentroute.routers.reasoning.cardwords import CardWords, card_words

WORD_COLUMNS, FEATURE_COLUMNS = 8192, 512
NEWCOMER = 0.7  # how far a card's own prior counts against the typical record
ALPHA, KAPPA = 5.0, 8.0  # smoothing of word counts and of feature means, in observations

# Trust in each kind of evidence before anything is learned.
TERMS: dict[str, float] = {
    "base": 0.0,
    "record": 0.3,
    "meaning": 0.9,
    "unlike": -0.1,
    "words": 0.9,
    "unwords": -0.1,
    "cards": 0.15,
    "skills": 0.2,
    "refuses": -0.3,
    "features": 0.9,
}


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A request as evidence: ``phi`` (n, 10) by ``TERMS``, and what it was read from.

    ``columns`` are those of ``grams``, the words of the prompt; ``scope`` is how well the best
    agent matches, whatever its record; ``support`` (n,) counts what was observed of each agent on
    tasks with the same feature values (on any task, where it has none).
    """

    phi: F64
    support: F64
    scope: float
    words: tuple[str, ...]
    grams: tuple[str, ...]
    columns: NDArray[np.int64]


class Tally:
    """Sums of quality and of weight by hashed column and agent: ``good``, ``seen`` (D, S)."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.good: F32 = np.zeros((width, 1), np.float32)
        self.seen: F32 = np.zeros((width, 1), np.float32)

    def grow(self, size: int) -> None:
        """Room for ``size`` agents."""
        if size > self.good.shape[1]:
            more = [(0, 0), (0, 2 * size - self.good.shape[1])]
            self.good, self.seen = np.pad(self.good, more), np.pad(self.seen, more)

    def add(self, at: NDArray[np.int64], slot: int, quality: float, weight: float) -> None:
        """One observation with the columns ``at`` (distinct terms; equal columns count once)."""
        self.good[at, slot] += np.float32(weight * quality)
        self.seen[at, slot] += np.float32(weight)

    def add_row(self, at: NDArray[np.int64], slots: NDArray[np.int64], quality: F32) -> None:
        """One observation of each of several agents with the same columns."""
        grid = np.ix_(at, slots)
        self.good[grid] += quality
        self.seen[grid] += np.float32(1)

    def take(
        self, at: NDArray[np.int64], slots: NDArray[np.int64]
    ) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
        """(t, n) sums at columns and agents."""
        return self.good[at][:, slots], self.seen[at][:, slots]

    def arrays(self, size: int) -> dict[str, NDArray[Any]]:
        """The non-zero cells of the first ``size`` agents."""
        at = np.flatnonzero(self.seen[:, :size])
        return {
            "at": at,
            "good": self.good[:, :size].ravel()[at],
            "seen": self.seen[:, :size].ravel()[at],
        }

    def load(self, arrays: dict[str, NDArray[Any]], size: int) -> None:
        """Continue from ``arrays(size)``."""
        for name in ("good", "seen"):
            flat = np.zeros(self.width * size, np.float32)
            flat[arrays["at"]] = arrays[name]
            setattr(self, name, flat.reshape(self.width, size))


class Evidence:
    """What is known of the agents: records, prototypes, words and feature values.

    For agent a, over observations i with quality q_i and weight w_i:
    record r_a = (sum w q + 2 prior_a) / (sum w + 2), where prior_a = m + 0.7 (card's prior - m)
    and m is the typical quality of all agents (0.5 at first): where quality is rare, a newcomer is
    not taken for a marvel;
    prototypes p+_a = card + sum w q x, p-_a = sum w (1 - q) x (x the prompt's embedding);
    words: sum over the prompt's words t of log P(t | good a) / P(t), over sqrt(#t) and 20, with
    P(t | good a) = (good_ta + alpha P(t)) / (n_a + alpha) (naive Bayes against the traffic; the
    root tempers words that repeat each other); unwords: the same of the bad outcomes;
    features: mean over the task's feature values of their shrunken mean quality less r_a.
    Row 0 of every array is the agent nobody has observed. In what only observation can show
    (unlike, words, unwords) such an agent counts as the mean of the known candidates: silence is
    neither praise nor blame.
    """

    def __init__(self) -> None:
        self.index = ArmIndex()
        self.words = Tally(WORD_COLUMNS)
        self.features = Tally(FEATURE_COLUMNS)
        self.traffic = np.zeros(WORD_COLUMNS)
        self.count = 0.0
        self.good, self.seen = np.zeros(1), np.zeros(1)
        self.liked: F32 = np.zeros((1, 0), np.float32)
        self.disliked: F32 = np.zeros((1, 0), np.float32)

    def read(self, request: Request, embedding: F32) -> Reading:
        """The evidence of a request; ``embedding`` (e,) is what its text means."""
        c = request.candidates
        slots, text = self.index.rows(c), task_text(request.task)
        words, terms = tuple(content(text)), tuple(grams(text))
        at = np.unique(columns(terms, WORD_COLUMNS))
        card = card_words(c.cards)
        like, unlike = self._meaning(embedding, c.embedding, slots)
        good, bad = self._words(at, slots)
        claimed = card.claimed(words)[c.rows]
        known = self.seen[slots] > 0.0
        unlike, good, bad = (_like_the_known(part, known) for part in (unlike, good, bad))
        expected = np.clip(self._typical() + NEWCOMER * (c.prior - self._typical()), 0.0, 1.0)
        record = (self.good[slots] + 2.0 * expected) / (self.seen[slots] + 2.0)
        parts = (
            np.ones(len(c)), record, like, unlike, good, bad, claimed,
            self._skilled(request, card, words), card.refused(words)[c.rows],
            self._features(request.task, slots, record),
        )  # fmt: skip
        phi = np.column_stack(parts)
        scope = float((like + good + 0.2 * claimed).max()) if embedding.any() else float("nan")
        return Reading(phi, self._support(request.task, slots), scope, words, terms, at)

    def add(
        self,
        reading: Reading,
        embedding: F32,
        task: Task,
        agent: str,
        quality: float,
        weight: float,
    ) -> None:
        """Fold one observed quality, O(words), whatever the number of agents."""
        slot = self._slot(agent, len(embedding))
        self.words.add(reading.columns, slot, quality, weight)
        self.features.add(self._feature_columns(task), slot, quality, weight)
        self.good[slot] += weight * quality
        self.seen[slot] += weight
        self.liked[slot] += np.float32(weight * quality) * embedding
        self.disliked[slot] += np.float32(weight * (1.0 - quality)) * embedding
        self.meet(reading, weight)

    def register(self, agents: Iterable[str], e: int) -> NDArray[np.int64]:
        """The slots of ``agents``, new where they have none; ``e`` is the embedding's width."""
        return np.array([self._slot(a, e) for a in agents], np.int64)

    def add_row(
        self,
        reading: Reading,
        embedding: F32,
        task: Task,
        slots: NDArray[np.int64],
        quality: F64,
    ) -> None:
        """Fold one task with the quality (s,) of several agents, by their ``slots``."""
        q32 = quality.astype(np.float32)
        self.words.add_row(reading.columns, slots, q32)
        self.features.add_row(self._feature_columns(task), slots, q32)
        self.good[slots] += quality
        self.seen[slots] += 1.0
        self.liked[slots] += q32[:, None] * embedding
        self.disliked[slots] += (1 - q32)[:, None] * embedding
        self.meet(reading)

    def meet(self, reading: Reading, weight: float = 1.0) -> None:
        """Count the words of one task in the traffic."""
        self.traffic[reading.columns] += weight
        self.count += weight

    def strongest(self, reading: Reading, slot: int, limit: int = 3) -> list[str]:
        """The prompt's words that speak most for the agent at ``slot``, by what was learned."""
        if not slot:
            return []
        at = columns(reading.grams, WORD_COLUMNS)
        e = self._log_lifts(at, np.array([slot]))[0][:, 0]
        order = np.argsort(-e, kind="stable")[:limit]
        return [reading.grams[i] for i in order if e[i] > 0.5]

    # -- saving ------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything, as arrays."""
        n = len(self.index)
        self._grow(n, self.liked.shape[1])
        out: dict[str, NDArray[Any]] = {"traffic": self.traffic.copy()}
        for name in ("good", "seen", "liked", "disliked"):
            out[name] = getattr(self, name)[:n].copy()
        for tally in ("words", "features"):
            cells = getattr(self, tally).arrays(n)
            out |= {f"{tally}.{k}": v for k, v in cells.items()}
        return out

    def load(self, names: list[str], count: float, arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from ``arrays()``, the agents' ``names`` and the ``count`` of tasks."""
        self.index, self.count = ArmIndex(names), count
        self.traffic = np.array(arrays["traffic"])
        for name in ("good", "seen", "liked", "disliked"):
            setattr(self, name, np.array(arrays[name]))
        for tally in ("words", "features"):
            cells = {k: arrays[f"{tally}.{k}"] for k in ("at", "good", "seen")}
            getattr(self, tally).load(cells, len(self.index))

    # -- inside ------------------------------------------------------------------------------

    def _slot(self, agent: str, e: int) -> int:
        slot = self.index.add(agent)
        self._grow(slot + 1, e)
        return slot

    def _grow(self, size: int, e: int) -> None:
        self.words.grow(size)
        self.features.grow(size)
        if size > len(self.good):
            more = 2 * size - len(self.good)
            self.good, self.seen = np.pad(self.good, (0, more)), np.pad(self.seen, (0, more))
        rows, width = len(self.good), max(e, self.liked.shape[1])
        pad = [(0, rows - len(self.liked)), (0, width - self.liked.shape[1])]
        if pad != [(0, 0), (0, 0)]:
            self.liked, self.disliked = np.pad(self.liked, pad), np.pad(self.disliked, pad)

    def _meaning(self, x: F32, cards: F32, slots: NDArray[np.int64]) -> tuple[F64, F64]:
        """Cosines of x with the prototypes p+ and p- of the candidates, each (n,)."""
        if not self.liked.shape[1]:
            with one_thread():
                return (cards @ x).astype(np.float64), np.zeros(len(slots))
        plus, minus = cards + self.liked[slots], self.disliked[slots]
        return _cosines(plus, x), _cosines(minus, x)

    def _words(self, at: NDArray[np.int64], slots: NDArray[np.int64]) -> tuple[F64, F64]:
        if not len(at) or not self.count:
            return np.zeros(len(slots)), np.zeros(len(slots))
        good, bad = self._log_lifts(at, slots)
        scale = 20.0 * len(at) ** 0.5
        return good.sum(axis=0) / scale, bad.sum(axis=0) / scale

    def _log_lifts(self, at: NDArray[np.int64], slots: NDArray[np.int64]) -> tuple[F64, F64]:
        """(t, n) log P(t | a's good outcomes) / P(t), and of the bad; 0 for unknown agents."""
        good, seen = self.words.take(at, slots)
        p = ((self.traffic[at] + 0.5) / (self.count + 1.0))[:, None]
        n, m = self.good[slots], self.seen[slots]
        return _log_lift(good, n, p), _log_lift(seen - good, m - n, p)

    def _typical(self) -> float:
        """Mean quality over all observations, shrunk to 0.5 by ten of them."""
        return float((self.good.sum() + 5.0) / (self.seen.sum() + 10.0))

    def _skilled(self, request: Request, card: CardWords, words: tuple[str, ...]) -> F64:
        """1 where the task names skills (a candidate has them all), else by the card's tags."""
        if request.task.skills:
            return np.ones(len(request.candidates))
        return card.skilled(words)[request.candidates.rows]

    def _features(self, task: Task, slots: NDArray[np.int64], record: F64) -> F64:
        at = self._feature_columns(task)
        if not len(at):
            return np.zeros(len(slots))
        good, seen = self.features.take(at, slots)
        means = (good + KAPPA * record) / (seen + KAPPA)
        return np.asarray((means - record).mean(axis=0), np.float64)

    def _support(self, task: Task, slots: NDArray[np.int64]) -> F64:
        at = self._feature_columns(task)
        if not len(at):
            return self.seen[slots]
        return np.asarray(self.features.take(at, slots)[1].min(axis=0), np.float64)

    @staticmethod
    def _feature_columns(task: Task) -> NDArray[np.int64]:
        return np.unique(columns((f"{k}={v}" for k, v in task.features.items()), FEATURE_COLUMNS))


def _like_the_known(part: F64, known: NDArray[np.bool_]) -> F64:
    """``part`` (n,) with the mean of the known where an agent is unknown."""
    if known.all() or not known.any():
        return part
    return np.where(known, part, part[known].mean())


def _log_lift(hits: NDArray[Any], n: F64, p: F64) -> F64:
    """Log ((hits + alpha p) / (n + alpha) / p), for (t, n) hits in n outcomes."""
    lift = (hits + ALPHA * p) / ((n + ALPHA) * p)
    return np.asarray(np.log(np.maximum(lift, 1e-6)), np.float64)


def _cosines(rows: F32, x: F32) -> F64:
    with one_thread():
        dots = rows @ x
    length = np.sqrt(np.einsum("ne,ne->n", rows, rows))
    return np.asarray(dots / np.maximum(length, 1e-9), np.float64)
