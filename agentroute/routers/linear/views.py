"""Columns of a task's text: cheap statistics of the prompt, then its embedding."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from agentroute.model.arrays import F32

MAX_CHARS = 20_000  # of a prompt that are read; longer prompts differ early or not at all
CLIP = 0.5  # of scaled columns
FLAT = 1e-6  # spread below which a column counts as constant
LARGEST = np.float32(1e30)

_OPTION = re.compile(r"(?m)^\s*\(?[A-Ea-e][).:]\s")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_SENTENCE = re.compile(r"[.!?]+(?:\s|$)")
_ASKS = ("what", "who", "when", "where", "which", "how", "why", "whose", "whom", "is")
_STARTS = (*_ASKS, "are", "if", "in", "the", "a", "write", "find", "compute", "let", "given",
           "suppose", "name")  # fmt: skip
_MARKS = ("\n", ",", ".", "(", "[", "=", "$", "\\", "?", "frac", "sqrt", "begin", "traceback", ":",
          ";", "'", '"', "-", "+", "*", "/", "^", "_", "%", "<", "{", "&", ">>>", "def ", "http",
          "```")  # fmt: skip
_WORDS = (  # of mathematics, of code, of questions about the world and about science
    "how many", "how much", "number", "integer", "triangle", "probability", "polynomial", "matrix",
    "prove", "simplify", "evaluate", "value", "sum", "product", "angle", "area", "real",
    "positive", "equation", "percent", "hour", "day", "week", "dollar", "times", "more than",
    "less than", "each", "function", "list", "string", "returns", "return", "sort", "tuple",
    "array", "regex", "dict", "python", "not", "following", "true", "false", "except", "first",
    "most", "best", "example", "cause", "likely", "because", "name", "film", "song", "country",
    "city", "world", "war", "king", "president", "book", "played", "written", "year", "who",
    "which", "what", "when", "where", "why", "energy", "water", "plant", "animal", "cell", "law",
    "court", "patient", "molecule", "reaction", "mass", "electron", "velocity",
)  # fmt: skip
_ENDS = ("?", ".", ":", "}")

STATS = 9 + 14 + len(_MARKS) + len(_STARTS) + len(_ASKS) + len(_ENDS) + 1 + len(_WORDS)


def statistics(text: str) -> F32:
    """(STATS,) cheap numbers: shares of characters, lengths, numbers, marks, words, first words."""
    text = text[:MAX_CHARS]
    lower, words = text.lower(), text.split()
    plain = [w.lower().strip(".,?!:;()\"'") for w in words]
    sentences = [s.split() for s in _SENTENCE.split(text) if s.strip()]
    last = sentences[-1] if sentences else []
    counts = [*_sizes(text, words, sentences), *(lower.count(m) for m in _MARKS)]
    firsts = [
        *(plain[:1] == [s] for s in _STARTS),
        *(bool(last) and last[0].lower() == a for a in _ASKS),
        *(text.rstrip().endswith(e) for e in _ENDS),
        text[:1].islower(),
    ]
    said = np.log1p([lower.count(w) for w in _WORDS])
    whole = [*_shares(text, words, plain), *np.log1p(counts), *map(float, firsts), *said]
    return np.array(whole, np.float32)


def _shares(text: str, words: list[str], plain: list[str]) -> list[float]:
    """Shares of kinds of characters and words, and lengths of words."""
    size, many = len(text) + 1, len(words) + 1
    lengths = [len(w) for w in words] or [0]
    return [
        sum(c.isdigit() for c in text) / size,
        sum(c.isupper() for c in text) / size,
        sum(not c.isalnum() and not c.isspace() for c in text) / size,
        len(set(plain)) / many,
        sum(lengths) / len(lengths),
        float(min(max(lengths), 100)),
        sum(w[:1].isupper() for w in words[1:]) / many,
        sum(n > 7 for n in lengths) / many,
        sum(not c.isascii() for c in text) / size,
    ]


def _sizes(text: str, words: list[str], sentences: list[list[str]]) -> list[float]:
    """Lengths in characters, words and sentences, and what numbers there are."""
    numbers = [float(x) for x in _NUMBER.findall(text)[:80] if len(x) < 12]
    years = sum(1000 <= x < 2100 and x == int(x) for x in numbers)
    mean = sum(numbers) / len(numbers) if numbers else 0.0
    return [
        len(text), len(words), len(numbers), max(numbers, default=0.0),
        min(numbers, default=0.0), mean, len(sentences), len(words) / max(len(sentences), 1),
        len(sentences[-1]) if sentences else 0, len(_OPTION.findall(text)),
        sum(w[:1].isupper() for w in words[1:]), sum(x != int(x) for x in numbers), years,
        sum(x > 100 for x in numbers),
    ]  # fmt: skip


def columns(texts: Sequence[str], embedding: F32) -> F32:
    """(m, STATS + e): the statistics of each text beside its embedding (m, e)."""
    stats = np.array([statistics(t) for t in texts], np.float32).reshape(-1, STATS)
    return np.hstack([stats, embedding])


def spread_of(block: F32) -> F32:
    """(STATS,) standard deviation of the statistics over all rows, whatever their group."""
    return np.asarray(block[:, :STATS].std(axis=0), np.float32)


def scaling(block: F32, spread: F32) -> tuple[F32, F32]:
    """Centre and scale (d,) of the ``columns`` of a group; rows then have a squared length near 2.

    Statistics are divided by their ``spread`` over all rows, so that what hardly varies in a group
    stays small there; then they, and the embedding, come to length 1. What does not vary at all is
    divided by ``LARGEST``: that is 0 for all purposes, and a state can be saved with it.
    """
    centre = block.mean(axis=0)
    scale = np.ones(block.shape[1], np.float32)
    scale[:STATS] = np.where(spread > FLAT, spread, np.inf)
    z = (block - centre) / scale
    for part in (slice(0, STATS), slice(STATS, None)):
        length = float(np.sqrt((z[:, part] ** 2).sum(axis=1).mean()))
        scale[part] *= length if length > FLAT else np.inf
    return centre.astype(np.float32), np.minimum(scale, LARGEST)


def scaled(block: F32, centre: F32, scale: F32) -> F32:
    """(block - centre) / scale, clipped so that one odd text cannot run away."""
    return np.asarray(np.clip((block - centre) / scale, -CLIP, CLIP), np.float32)
