"""Views of a task's text: the blocks of numbers that a ridge may use."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from agentroute.features.text import HashingEncoder
from agentroute.model.scores import F32

MAX_CHARS = 1_000  # of the hashed view; longer prompts differ early or not at all
KINDS = ("stats", "embedding", "both", "waves", "words")
WAVES = 256
HASHED = 512

_OPTION = re.compile(r"(?m)^\s*\(?[A-Ea-e][).:]\s")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_STARTS = ("what", "who", "when", "where", "which", "how", "why", "write", "find", "compute")
_COUNTED = ("\n", ",", ".", "(", "[", "=", "$", "\\", "?", "frac", "sqrt", "begin", "Traceback")

STATS = 6 + 3 + len(_COUNTED) + len(_STARTS)


def statistics(text: str) -> F32:
    """(STATS,) cheap numbers: lengths, shares of kinds of characters, counts of marks."""
    words, size = text.split(), len(text) + 1
    numbers = [float(x) for x in _NUMBER.findall(text)[:50] if len(x) < 12]
    first = words[0].lower() if words else ""
    shares = (
        sum(c.isdigit() for c in text) / size,
        sum(c.isupper() for c in text) / size,
        sum(not c.isalnum() and not c.isspace() for c in text) / size,
        len(set(words)) / (len(words) + 1),
    )
    counts = (len(text), len(words), len(numbers), max(numbers, default=0.0))
    marks = (len(_OPTION.findall(text)), *(text.count(m) for m in _COUNTED))
    starts = [float(first == s) for s in _STARTS]
    return np.array([*shares, *np.log1p([*counts, *marks]), *starts], np.float32)


def waves(e: int) -> tuple[F32, F32]:
    """Frequencies (e, WAVES) and phases (WAVES,) of random Fourier features, fixed by a seed.

    cos(x w + p) sqrt(2 / WAVES) has the inner products of a Gaussian kernel of width 0.5 over
    embeddings of length 1 (Rahimi and Recht 2007).
    """
    rng = np.random.default_rng(e)
    w = rng.standard_normal((e, WAVES)) / 0.5
    return w.astype(np.float32), rng.uniform(0, 2 * np.pi, WAVES).astype(np.float32)


class Views:
    """Computes the block of a kind for texts and their embeddings (m, e)."""

    def __init__(self, e: int) -> None:
        self.e = e
        self._waves = waves(e)
        self._encoder = HashingEncoder(HASHED)

    def block(self, kind: str, texts: Sequence[str], embedding: F32) -> F32:
        """(m, d_kind) before scaling."""
        if kind == "stats":
            return np.array([statistics(t) for t in texts], np.float32).reshape(-1, STATS)
        if kind == "embedding":
            return embedding
        if kind == "both":
            parts = [self.block(k, texts, embedding) for k in ("stats", "embedding")]
            return np.hstack(parts)
        if kind == "waves":
            w, p = self._waves
            return np.asarray(np.cos(embedding @ w + p) * np.sqrt(2.0 / WAVES), np.float32)
        return self._encoder.encode([t[:MAX_CHARS] for t in texts])


def scaling(kind: str, block: F32) -> tuple[F32, F32]:
    """Centre and scale (d,) of each column; statistics to unit variance, the rest as it is.

    The scale makes rows of any kind have a squared length near 1.
    """
    centre = block.mean(axis=0)
    scale = np.ones(block.shape[1], np.float32)
    if kind in ("stats", "both"):
        scale[:STATS] = block[:, :STATS].std(axis=0) * np.sqrt(STATS)
    if kind != "stats":
        rest = block[:, STATS if kind == "both" else 0 :]
        length = np.sqrt(((rest - rest.mean(axis=0)) ** 2).sum(axis=1).mean())
        scale[STATS if kind == "both" else 0 :] = length
    return centre.astype(np.float32), np.where(scale > 1e-6, scale, np.inf).astype(np.float32)


def scaled(block: F32, centre: F32, scale: F32) -> F32:
    """(block - centre) / scale, clipped so that one odd text cannot run away."""
    z = (block - centre) / scale
    return np.asarray(np.clip(z, -1.0, 1.0), np.float32)
