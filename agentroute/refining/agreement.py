"""How far answers agree: by class, and by meaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from agentroute.model.arrays import F32
from agentroute.refining.extract import canonical, normal


def modal_share(answers: Sequence[str], *, key: Callable[[str], str] = canonical) -> float:
    """Share of the answers in the largest class, in (0, 1]; 1 for a single answer.

    Raises:
        ValueError: no answers.
    """
    if not answers:
        raise ValueError("agreement needs at least one answer")
    return max(Counter(map(key, answers)).values()) / len(answers)


def sigma(answers: Sequence[str], *, key: Callable[[str], str] = canonical) -> float:
    """Sigma = (|distinct a_i| - 1) / (N - 1) in [0, 1] (ACAR, arXiv 2602.21231); 0 for N = 1.

    Raises:
        ValueError: no answers.
    """
    if not answers:
        raise ValueError("agreement needs at least one answer")
    return (len(set(map(key, answers))) - 1) / max(len(answers) - 1, 1)


def consistency(outputs: F32, inputs: F32 | None = None) -> float:
    """CS = mean over pairs of cosine (AdaptOrch, arXiv 2602.16873, Algorithm 2), in [0, 1].

    Shapes: ``outputs`` (k, e) embeddings of the answers, k >= 1; ``inputs`` (m, e) of what they
    were made from. For k = 1, which the paper leaves undefined: mean cosine to the inputs, and 1
    without any. Negative cosines count as 0; a row of zeros agrees with nothing.

    Raises:
        ValueError: no outputs.
    """
    x = _unit(outputs)
    k = len(x)
    if k == 0:
        raise ValueError("consistency needs at least one output")
    if k == 1:
        if inputs is None or not len(inputs):
            return 1.0
        return float(np.clip(_unit(inputs) @ x[0], 0.0, 1.0).mean())
    cosine = np.clip(x @ x.T, 0.0, 1.0)
    return float((cosine.sum() - np.trace(cosine)) / (k * (k - 1)))


def word_vectors(texts: Sequence[str]) -> F32:
    """(k, v) how often each of the v words that occur stands in each of k texts, in any case."""
    counts = [Counter(normal(t).split()) for t in texts]
    column = {w: j for j, w in enumerate(dict.fromkeys(w for c in counts for w in c))}
    out = np.zeros((len(texts), max(1, len(column))), np.float32)
    for i, c in enumerate(counts):
        out[i, [column[w] for w in c]] = list(c.values())
    return out


def _unit(x: F32) -> F32:
    x = np.atleast_2d(np.asarray(x, np.float64))
    n = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(n > 0, n, 1.0))
