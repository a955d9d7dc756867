"""Linear support vectors over the same columns, folded into a network's own weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from agentroute.model.arrays import F32
from agentroute.routers.linear.classes.network import SCALE, Network

EMBEDDING = 2.0  # scale of the embedding beside n-gram blocks of length 1
MARGIN, TEMPERATURE = 4.0, 0.5
C, TOLERANCE = 0.3, 0.1
LEAST = 3  # classes; with fewer the network stands alone


def add_margins(net: Network, s: Any, embedding: F32, target: F32, *, seed: int) -> Network:
    """Logits (z + 4 m) / 2, where m are the margins of one-vs-rest linear support vectors.

    The product of the two experts (Hinton 2002) is better than either on intent tables, and
    since both are linear in the same columns it costs nothing at serving time.
    """
    from scipy.sparse import csr_matrix, hstack
    from sklearn.svm import LinearSVC

    told = target.max(axis=1) > 0.5  # rows that say who
    label = target[told].argmax(axis=1)
    if len(np.unique(label)) < LEAST:
        return net
    x = hstack([s[told], csr_matrix(EMBEDDING * embedding[told])]).tocsr()
    svm = LinearSVC(C=C, tol=TOLERANCE, random_state=seed).fit(x, label)
    weights = np.zeros((x.shape[1], target.shape[1]), np.float32)
    bias = np.full(target.shape[1], -1.0, np.float32)  # a class without a row: the margin's floor
    weights[:, svm.classes_], bias[svm.classes_] = svm.coef_.T, svm.intercept_
    v = s.shape[1]
    mixed = {
        "W": net.W + MARGIN * weights[:v],
        "L": net.L + MARGIN * EMBEDDING / SCALE * weights[v:],
        "b": net.b + MARGIN * bias,
        "V": net.V,
    }
    return replace(net, **{k: (TEMPERATURE * a).astype(np.float32) for k, a in mixed.items()})
