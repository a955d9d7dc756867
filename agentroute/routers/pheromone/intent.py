"""What kind of task it is: a mixture over the kinds that the rows themselves showed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32
from agentroute.model.tasks import Task

GENERAL = "general"
SHARPNESS = 20.0  # of the softmax over cosines
JOIN_AT = 0.45  # cosine at which a text joins a kind instead of founding one
VAGUE = 0.25  # cosine at which a kind weighs as much as ``general``


class Intent:
    """w(q) in the simplex over kinds; offline, deterministic, learned from rows alone.

    A task with feature values or required skills belongs to those, in equal parts
    (``lang=py``, ``skill:refunds``). A task with text alone is compared with the centroid of each
    kind's texts, w_t ~ exp(20 cos), over the ``top`` nearest, and ``general`` with the weight of
    a cosine of 0.25. When it is learned, a text far from all (cosine under 0.45) founds a kind of
    its own (``text:7``), up to ``max_kinds``; named kinds stop at four times as many.
    A share 8 / (m + 8) of every kind with m rows is ``general`` too: a young specialist leans on
    what holds for all.
    """

    SHRINK = 8.0

    def __init__(self, *, max_kinds: int = 64, top: int = 4) -> None:
        self.max_kinds, self.top = max_kinds, top
        self.index: dict[str, int] = {}
        self.count: list[float] = []
        self.sums: F32 = np.zeros((4, 0), np.float32)
        self.units: F32 = np.zeros((4, 0), np.float32)

    def mixture(self, task: Task, x: F32) -> dict[str, float]:
        """Kinds and their weights, which add up to 1; ``x`` (e,) is the prompt's embedding."""
        raw = self._raw(task, x)
        w = {k: v * self._own(k) for k, v in raw.items() if k in self.index}
        return {**w, GENERAL: max(0.0, 1.0 - sum(w.values()))}

    def learn(self, task: Task, x: F32) -> dict[str, float]:
        """Count a row to its kinds, founding what is new; returns their weights, at most 1."""
        named = bool(task.features or task.skills)
        w = {} if not named and self._is_new(x) else self._raw(task, x)
        w = {k: v for k, v in (w or self._founded(x)).items() if k != GENERAL}
        w = {k: v for k, v in w.items() if k in self.index or len(self.index) < 4 * self.max_kinds}
        for kind, weight in w.items():
            self._count(kind, x, weight)
        return w

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Counts and sums of embeddings of the kinds."""
        n = len(self.index)
        return {"kind.count": np.array(self.count), "kind.sums": self.sums[:n].copy()}

    def load(self, names: list[str], arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from the kinds' ``names`` and ``arrays()``."""
        self.index = {name: i for i, name in enumerate(names)}
        self.count = arrays["kind.count"].tolist()
        self.sums = np.array(arrays["kind.sums"], np.float32)
        self.units = np.array([_unit(row) for row in self.sums], np.float32).reshape(
            self.sums.shape
        )

    def _raw(self, task: Task, x: F32) -> dict[str, float]:
        named = [f"{k}={v}" for k, v in task.features.items()]
        named += [f"skill:{s}" for s in task.skills]
        if named:
            return dict.fromkeys(named, 1.0 / len(named))
        near = {**self._nearest(x), GENERAL: VAGUE}
        w = np.exp(SHARPNESS * np.array([*near.values()]))
        return dict(zip(near, (w / w.sum()).tolist(), strict=True))

    def _nearest(self, x: F32) -> dict[str, float]:
        """The ``top`` kinds by cosine, nearest first (ties: the older)."""
        n = len(self.index)
        if not n or self.units.shape[1] != len(x) or not x.any():
            return {}
        with one_thread():
            cos = self.units[:n] @ x
        order = np.argsort(-cos, kind="stable")[: self.top]
        names = list(self.index)
        return {names[i]: float(cos[i]) for i in order}

    def _own(self, kind: str) -> float:
        m = self.count[self.index[kind]]
        return m / (m + self.SHRINK)

    def _is_new(self, x: F32) -> bool:
        """Whether a text is far from every kind, and there is room for one more."""
        room = len(self.index) < self.max_kinds and bool(x.any())
        return room and max(self._nearest(x).values(), default=0.0) < JOIN_AT

    def _founded(self, x: F32) -> dict[str, float]:
        return {f"text:{len(self.index)}": 1.0} if self._is_new(x) else {}

    def _count(self, kind: str, x: F32, weight: float) -> None:
        if kind not in self.index:
            self.index[kind] = len(self.index)
            self.count.append(0.0)
        self._grow(len(self.index), len(x))
        i = self.index[kind]
        self.count[i] += weight
        self.sums[i] += np.float32(weight) * x
        self.units[i] = _unit(self.sums[i])

    def _grow(self, rows: int, e: int) -> None:
        have, width = self.sums.shape
        if rows > have or e > width:
            more = [(0, max(0, 2 * rows - have)), (0, max(0, e - width))]
            self.sums, self.units = np.pad(self.sums, more), np.pad(self.units, more)


def _unit(v: F32) -> F32:
    length = float(np.sqrt(v @ v))
    return v / np.float32(length) if length > 0 else v
