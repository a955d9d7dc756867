"""Words as evidence: plain tokens for cards and prompts, hashed columns for what is learned."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from agentroute.config.stopwords import STOP
from agentroute.model.tasks import Task

MAX_WORDS = 400
HISTORY_TURNS = 6

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_ENDINGS = ("ings", "ing", "edly", "ed", "ies", "es", "s", "ly")


@lru_cache(maxsize=2**14)
def stem(word: str) -> str:
    """``word`` without a common English ending and a last ``e``; at least three letters stay."""
    for end in _ENDINGS:
        if word.endswith(end) and len(word) - len(end) >= 3:
            word = word[: -len(end)]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def tokens(text: str) -> list[str]:
    """Lower-case stems of the first 400 words, in order."""
    return [stem(w) for w in _WORD.findall(text.lower())[:MAX_WORDS]]


def content(text: str) -> list[str]:
    """The tokens that are not stop words, each once, in order of appearance."""
    return list(dict.fromkeys(w for w in tokens(text) if w not in STOP))


def grams(text: str) -> list[str]:
    """Distinct tokens and pairs of neighbours (``a b``), in order of appearance."""
    words = tokens(text)
    return list(dict.fromkeys([*words, *(f"{a} {b}" for a, b in pairwise(words))]))


def columns(terms: Iterable[str], width: int) -> NDArray[np.int64]:
    """The hashed column of each term in [0, width) (Weinberger et al. 2009, unsigned)."""
    return np.array([zlib.crc32(t.encode()) % width for t in terms], np.int64)


def task_text(task: Task) -> str:
    """What a task asks: its prompt, and before it the user's earlier turns where it follows up.

    A prompt with fewer than three words of its own ("and the second one?") follows up; a longer
    one is a topic by itself, so that a change of topic is not held back by the old one.
    """
    if not follows_up(task):
        return task.prompt
    turns = [m.text for m in task.history[-HISTORY_TURNS:] if m.role == "user"]
    return "\n".join([*turns, task.prompt])


def follows_up(task: Task) -> bool:
    """Whether the prompt needs the history to be understood."""
    return bool(task.history) and len(content(task.prompt)) < 3
