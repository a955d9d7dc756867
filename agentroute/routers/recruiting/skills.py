"""Which skills a task needs: its own words matched to a vocabulary of skills."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np

from agentroute.features.text import HashingEncoder
from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32, Embedder
from agentroute.model.candidates import CardSet
from agentroute.model.tasks import Task

MAX_PHRASES = 48
_WORD = re.compile(r"[^\W\d_]{3,}")


class SkillMatcher:
    """Maps words to the nearest skill of a vocabulary, if it is near enough.

    Nearness is the larger of two cosines: of character n-grams, which forgives typos and
    inflections, and of the embedder's vectors where one is given, which knows paraphrases.
    """

    def __init__(self, embedder: Embedder | None = None, *, near: float = 0.6) -> None:
        self._spaces: list[Embedder] = [HashingEncoder(512)]
        if embedder is not None:
            self._spaces.append(embedder)
        self.near = near
        self._vectors: dict[tuple[str, str], F32] = {}

    def needed(self, task: Task, vocabulary: tuple[str, ...]) -> list[str]:
        """The skills of a task: stated ones and feature values, then what its prompt matches."""
        own = [f"{k}={v}" for k, v in task.features.items()]
        stated = self.match(list(task.skills), vocabulary) if task.skills else {}
        own += [stated.get(s) or s for s in task.skills]
        spoken = self.match(_phrases(task.prompt), vocabulary)
        return list(dict.fromkeys([*own, *spoken.values()]))

    def match(self, phrases: list[str], vocabulary: tuple[str, ...]) -> dict[str, str]:
        """Phrase -> its nearest skill (top 1), for those nearer than ``near``."""
        if not phrases or not vocabulary:
            return {}
        with one_thread():
            cos = np.max([self._cosines(s, phrases, vocabulary) for s in self._spaces], axis=0)
        best = cos.argmax(axis=1)
        return {
            p: vocabulary[b]
            for p, b, c in zip(phrases, best, cos[np.arange(len(best)), best], strict=True)
            if c >= self.near
        }

    def _cosines(self, space: Embedder, phrases: list[str], vocabulary: tuple[str, ...]) -> F32:
        missing = [w for w in {*phrases, *vocabulary} if (space.id, w) not in self._vectors]
        plain = [w.replace("_", " ").replace("-", " ") for w in missing]
        if len(self._vectors) > 20_000:
            self._vectors.clear()
            return self._cosines(space, phrases, vocabulary)
        self._vectors |= zip([(space.id, w) for w in missing], space.encode(plain), strict=True)
        a, b = (np.array([self._vectors[space.id, w] for w in ws]) for ws in (phrases, vocabulary))
        return np.asarray(a @ b.T, np.float32)


def skills_of(cards: CardSet) -> tuple[str, ...]:
    """The controlled vocabulary: all skill ids on the cards, sorted."""
    return tuple(sorted({s for c in cards.cards for s in c.skill_ids}))


def _phrases(prompt: str) -> list[str]:
    """Words and pairs of words, in order, the first ``MAX_PHRASES`` different ones."""
    words = _WORD.findall(prompt[:4_000].lower())
    pairs = [f"{a} {b}" for a, b in pairwise(words)]
    return list(dict.fromkeys([*words, *pairs]))[:MAX_PHRASES]
