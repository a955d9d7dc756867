"""Kernel ridge regression over n-grams and embedding, served from its own training rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32
from agentroute.routers.linear.classes.ngrams import NGrams, Sparse

GAMMA, LAM = 2.0, 0.2
RARE = 1.0 + float(
    np.log(10.0)
)  # idf of a gram of a tenth of the texts; commoner ones are left out
MAX_ROWS = 20_000  # training rows kept: fitting takes 4 bytes for each pair of them
KEPT = 128  # directions of the embedding kept, those of most variance
STRIP = 1_024
PARTS = ("P", "E", "C", "rare", "start", "rows", "values")


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """f(x) = k(x)' C + 1 / K with k_i = exp(gamma ((g'g_i + e'e_i) / 2 - 1)) over n rows.

    g are a text's rare n-grams scaled to length 1, e is its embedding on the leading principal
    directions ``P`` (d, r), the rest being noise (kernel ridge regression: Saunders et al. 1998).
    Shapes: ``E`` (n, r), ``C`` (n, K), all float32. ``rare`` (v,) says which grams count; the
    rows that have gram j are ``rows[start[j]:start[j + 1]]``, with ``values`` beside them.
    """

    P: F32
    E: F32
    C: F32
    rare: NDArray[np.bool_]
    start: NDArray[np.int64]
    rows: NDArray[np.int32]
    values: F32

    def scores(self, grams: Sparse, embedding: F32) -> F32:
        """(K,) of one text: estimates of its shares, near 1 / K far from all rows."""
        with one_thread():
            k = np.exp(GAMMA / 2 * (self._shared(grams) + self.E @ (embedding @ self.P) - 2.0))
            return np.asarray(k @ self.C + 1.0 / self.C.shape[1], np.float32)

    def _shared(self, grams: Sparse) -> F32:
        """(n,) g'g_i, by the lists of rows of the grams of one text."""
        some = self.rare[grams[0]]
        columns, values = grams[0][some], grams[1][some]
        if not len(columns):
            return np.zeros(len(self.E), np.float32)
        first, last = self.start[columns], self.start[columns + 1]
        lists = list(zip(first.tolist(), last.tolist(), strict=True))
        rows = np.concatenate([self.rows[a:b] for a, b in lists])
        held = np.concatenate([self.values[a:b] for a, b in lists])
        held *= np.repeat(values / np.linalg.norm(values), last - first)
        return np.bincount(rows, held, len(self.E)).astype(np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By name, for a state."""
        return {k: getattr(self, k) for k in PARTS}


def fit_kernel(
    grams: NGrams, s: Any, embedding: F32, target: F32, *, held: int = 0
) -> tuple[Kernel, F32]:
    """From n-grams (n, v), embeddings (n, d) and shares (n, K): C = (G + lambda I)^-1 (Y - 1 / K).

    Also returns (held, K): the predictions of the last ``held`` rows by a fit without all of
    them. With G + lambda I = L L' these are Y_h - L_h L_h' C_h, L_h the last block of L, so one
    decomposition serves both (block form of the leave-one-out identity).
    """
    from scipy.linalg import cho_solve, cholesky

    p = _directions(embedding)
    rare = grams.idf > RARE
    g, e = _rare(rare, s), embedding @ p
    y = target - np.float32(1.0 / target.shape[1])
    with one_thread():
        upper = cholesky(_gram(g, e).T, overwrite_a=True, check_finite=False)
        c = np.ascontiguousarray(cho_solve((upper, False), y, check_finite=False), np.float32)
        last = np.triu(upper[len(y) - held :, len(y) - held :])
        left_out = y[len(y) - held :] - last.T @ (last @ c[len(y) - held :])
    by_column = g.tocsc()
    by_column.sort_indices()
    start, rows = by_column.indptr.astype(np.int64), by_column.indices.astype(np.int32)
    kernel = Kernel(p, e, c, rare, start, rows, by_column.data)
    return kernel, left_out + np.float32(1.0 / target.shape[1])


def _directions(embedding: F32) -> F32:
    """(d, r) leading eigenvectors of e'e over the rows, not centred."""
    with one_thread():
        _, q = np.linalg.eigh(embedding.T.astype(np.float64) @ embedding)
    return np.ascontiguousarray(q[:, ::-1][:, :KEPT], np.float32)


def _rare(rare: NDArray[np.bool_], s: Any) -> Any:
    """The columns of rare grams alone, rows scaled to length 1; the shape stays (n, v)."""
    from scipy.sparse import diags

    part = s @ diags(rare.astype(np.float32))
    part.eliminate_zeros()
    length = np.sqrt(np.asarray(part.multiply(part).sum(axis=1)).ravel())
    return (diags(1.0 / np.maximum(length, 1e-6)) @ part).tocsr().astype(np.float32)


def _gram(g: Any, e: F32) -> F32:
    """(n, n) kernel plus lambda on the diagonal, a strip at a time."""
    out, across = np.empty((len(e), len(e)), np.float32), g.T.tocsc()
    for i in range(0, len(e), STRIP):
        strip = out[i : i + STRIP]
        strip[:] = (g[i : i + STRIP] @ across).toarray()
        strip += e[i : i + STRIP] @ e.T - np.float32(2.0)
        np.exp(np.float32(GAMMA / 2) * strip, out=strip)
    out[np.diag_indices(len(e))] += LAM
    return out
