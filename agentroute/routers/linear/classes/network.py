"""Multinomial regression over words, n-grams and one hidden layer: trained and served by NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32
from agentroute.routers.linear.classes.ngrams import Sparse

SCALE = 4.0  # of embeddings of length 1: brings them to the scale of the n-gram blocks
BATCH = 128
DENSE = ("U", "c", "V", "L")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained. Rates fall linearly to 0; ``drop_*`` are dropout shares."""

    hidden: int = 512
    epochs: int = 8
    rate_sparse: float = 1.0
    rate_dense: float = 0.002
    drop_sparse: float = 0.3
    drop_hidden: float = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Logits z = b + s W + e L + relu(e U + c) V over K classes.

    s is the sparse n-gram row (v,), e the embedding (d,) times ``SCALE``. Shapes: ``W`` (v, K),
    ``L`` (d, K), ``U`` (d, h), ``c`` (h,), ``V`` (h, K), ``b`` (K,), all float32.
    """

    W: F32
    L: F32
    U: F32
    c: F32
    V: F32
    b: F32

    def logits(self, grams: Sparse, embedding: F32) -> F32:
        """(K,) of one text."""
        columns, values = grams
        e = SCALE * embedding
        with one_thread():
            h = np.maximum(e @ self.U + self.c, 0.0)
            z = values @ self.W[columns] + h @ self.V + e @ self.L + self.b
        return np.asarray(z, np.float32)

    def all_logits(self, s: Any, embedding: F32) -> F32:
        """(m, K) of a sparse matrix (m, v) and embeddings (m, d)."""
        e = SCALE * embedding
        with one_thread():
            h = np.maximum(e @ self.U + self.c, 0.0)
            return np.asarray(s @ self.W + h @ self.V + e @ self.L + self.b)

    def arrays(self) -> dict[str, F32]:
        """By name, for a state."""
        return {k: getattr(self, k) for k in ("W", "L", "U", "c", "V", "b")}


def softmax(z: F32) -> F32:
    """exp(z) / sum exp(z) over the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def train_network(
    s: Any, embedding: F32, target: F32, *, recipe: Recipe, rng: np.random.Generator
) -> Network:
    """Minimise the cross entropy to ``target`` (m, K), rows that add up to 1.

    The sparse weights move by AdaGrad with one rate a row (Duchi et al. 2011), in time
    proportional to a batch's own columns; the dense ones by Adam (Kingma and Ba 2015).
    Inverted dropout on both (Srivastava et al. 2014).
    """
    trainer = _Trainer(s, SCALE * embedding, target, recipe, rng)
    batches = -(-len(target) // BATCH)
    with one_thread():
        for step in range(recipe.epochs * batches):
            if step % batches == 0:
                order = rng.permutation(len(target))
            i = (step % batches) * BATCH
            trainer.step(order[i : i + BATCH], 1.0 - step / (recipe.epochs * batches))
    return trainer.network()


class _Trainer:
    def __init__(
        self, s: Any, e: F32, target: F32, recipe: Recipe, rng: np.random.Generator
    ) -> None:
        self.s, self.e, self.target, self.recipe, self.rng = s, e, target, recipe, rng
        d, k, h = e.shape[1], target.shape[1], recipe.hidden
        he = np.sqrt(2.0 / max(d, 1))
        self.W, self.seen = np.zeros((s.shape[1], k), np.float32), np.full(s.shape[1], 1e-4)
        self.b = np.zeros(k, np.float32)
        self.p = {
            "U": (he * rng.standard_normal((d, h))).astype(np.float32),
            "c": np.zeros(h, np.float32),
            "V": np.zeros((h, k), np.float32),
            "L": np.zeros((d, k), np.float32),
        }
        self.adam = _Adam(self.p)

    def step(self, rows: NDArray[np.int64], decay: float) -> None:
        """One batch; ``decay`` in (0, 1] scales the rates."""
        r = self.recipe
        x, used = self._sparse(rows)
        e, weights = self.e[rows], self.W[used]
        a = e @ self.p["U"] + self.p["c"]
        gate = (a > 0) * _kept(self.rng, a.shape, r.drop_hidden)
        h = a * gate
        g = softmax(x @ weights + h @ self.p["V"] + e @ self.p["L"] + self.b) - self.target[rows]
        g /= len(rows)
        back = (g @ self.p["V"].T) * gate
        grads = {"U": e.T @ back, "c": back.sum(axis=0), "V": h.T @ g, "L": e.T @ g}
        self._adagrad(used, weights, x.T @ g, decay * r.rate_sparse)
        self.adam.step(grads, decay * r.rate_dense)
        self.b -= decay * r.rate_sparse * g.sum(axis=0)

    def _sparse(self, rows: NDArray[np.int64]) -> tuple[Any, NDArray[np.int64]]:
        """The batch over its own columns alone, and those columns."""
        from scipy.sparse import csr_matrix

        part = self.s[rows]
        used, place = np.unique(part.indices, return_inverse=True)
        data = part.data * _kept(self.rng, part.data.shape, self.recipe.drop_sparse)
        return csr_matrix((data, place, part.indptr), shape=(len(rows), len(used))), used

    def _adagrad(self, used: NDArray[np.int64], weights: F32, g: F32, rate: float) -> None:
        self.seen[used] += (g * g).sum(axis=1)
        step = (rate / np.sqrt(self.seen[used])).astype(np.float32)
        self.W[used] = weights - step[:, None] * g

    def network(self) -> Network:
        return Network(self.W, self.p["L"], self.p["U"], self.p["c"], self.p["V"], self.b)


class _Adam:
    """Adam over named arrays, in place."""

    B1, B2, EPS = 0.9, 0.99, 1e-8

    def __init__(self, p: Mapping[str, F32]) -> None:
        self.p, self.t = p, 0
        self.m = {k: np.zeros_like(v) for k, v in p.items()}
        self.v = {k: np.zeros_like(v) for k, v in p.items()}

    def step(self, grads: Mapping[str, F32], rate: float) -> None:
        self.t += 1
        scale = rate * np.sqrt(1.0 - self.B2**self.t) / (1.0 - self.B1**self.t)
        for k, g in grads.items():
            m, v = self.m[k], self.v[k]
            m += (1.0 - self.B1) * (g - m)
            v += (1.0 - self.B2) * (g * g - v)
            self.p[k][...] -= np.float32(scale) * m / (np.sqrt(v) + np.float32(self.EPS))


def _kept(rng: np.random.Generator, shape: tuple[int, ...], drop: float) -> F32:
    """Inverted dropout mask: 0 with probability ``drop``, else 1 / (1 - drop)."""
    if not drop:
        return np.ones(shape, np.float32)
    return np.float32(1.0 / (1.0 - drop)) * (rng.random(shape, np.float32) >= drop)
