"""Words and pieces of words as sparse columns, over a vocabulary of hashes."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F32

MAX_CHARS = 1_000
MAX_COLUMNS = 60_000
MIN_ROWS = 2  # a gram of one text alone cannot be told from noise
SIZES = (2, 3, 4, 5)

_WORD = re.compile(r"\w+", re.UNICODE)
Sparse = tuple[NDArray[np.int64], F32]  # columns, ascending, and values of one row


@dataclass(frozen=True, slots=True, eq=False)
class NGrams:
    """TF-IDF of words and word pairs, and of 2 to 5 characters inside blanks.

    Value = (1 + ln tf)(1 + ln((1 + m) / (1 + df))), each of the two blocks scaled to length 1
    (Salton and Buckley 1988). Shapes: ``keys`` (v,) uint32, ascending CRC-32 of the grams kept;
    ``idf`` (v,) float32. The vocabulary is explicit, so a gram never seen has no column.
    Only the first ``MAX_CHARS`` characters of a text are read.
    """

    keys: NDArray[np.uint32]
    idf: F32

    def row(self, text: str) -> Sparse:
        """The non-zero columns of a text and their values."""
        blocks = [self._block(b) for b in _blocks(text)]
        columns = np.concatenate([c for c, _ in blocks])
        values = np.concatenate([v for _, v in blocks])
        order = columns.argsort(kind="stable")
        return columns[order], values[order]

    def matrix(self, texts: Sequence[str]) -> Any:
        """``row`` of each text, as a SciPy CSR matrix (m, v) float32."""
        from scipy.sparse import csr_matrix

        rows = [self.row(t) for t in texts]
        indptr = np.cumsum([0, *(len(c) for c, _ in rows)])
        columns = np.concatenate([c for c, _ in rows]) if rows else np.empty(0, np.int64)
        values = np.concatenate([v for _, v in rows]) if rows else np.empty(0, np.float32)
        return csr_matrix((values, columns, indptr), shape=(len(texts), len(self.keys)))

    def _block(self, counted: tuple[NDArray[np.uint32], F32]) -> Sparse:
        hashes, tf = counted
        if not len(self.keys) or not len(hashes):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        at = np.minimum(self.keys.searchsorted(hashes), len(self.keys) - 1)
        known = self.keys[at] == hashes
        columns = at[known]
        values = (1.0 + np.log(tf[known])) * self.idf[columns]
        length = float(np.sqrt(values @ values))
        return columns, (values / length if length else values).astype(np.float32)


def fit_ngrams(texts: Iterable[str]) -> NGrams:
    """The grams of at least ``MIN_ROWS`` texts, at most the ``MAX_COLUMNS`` most frequent."""
    per_text = [np.concatenate([h for h, _ in _blocks(t)]) for t in texts]
    if not per_text:
        return NGrams(np.empty(0, np.uint32), np.empty(0, np.float32))
    keys, df = np.unique(np.concatenate(per_text), return_counts=True)
    keep = np.flatnonzero(df >= MIN_ROWS)
    if len(keep) > MAX_COLUMNS:
        keep = np.sort(keep[np.lexsort((keep, -df[keep]))[:MAX_COLUMNS]])
    idf = 1.0 + np.log((1.0 + len(per_text)) / (1.0 + df[keep]))
    return NGrams(keys[keep], idf.astype(np.float32))


def _blocks(text: str) -> list[tuple[NDArray[np.uint32], F32]]:
    """Hashes and counts of the word grams and of the character grams."""
    text = text[:MAX_CHARS].lower()
    words = _WORD.findall(text)
    pairs = [f"{a} {b}" for a, b in pairwise(words)]
    return [_counted("w", [*words, *pairs]), _counted("c", _pieces(text))]


def _pieces(text: str) -> list[str]:
    padded = [f" {w} " for w in text.split()]
    return [w[i : i + n] for w in padded for n in SIZES for i in range(len(w) - n + 1)]


def _counted(kind: str, grams: list[str]) -> tuple[NDArray[np.uint32], F32]:
    tf = Counter(zlib.crc32(f"{kind}{g}".encode()) for g in grams)
    hashes = np.fromiter(tf.keys(), np.uint32, len(tf))
    return hashes, np.fromiter(tf.values(), np.float32, len(tf))
