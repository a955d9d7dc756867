"""What is expected of an agent before the graph says anything: shrunken means of its outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F64
from agentroute.model.tasks import Task

KAPPA = 10.0
I64 = NDArray[np.int64]


def _one_key(name: str, value: str) -> str:
    return f"{name}={value}"


def _joint_key(task: Task) -> str:
    return "\n".join(_one_key(k, task.features[k]) for k in sorted(task.features))


@dataclass(frozen=True, slots=True, eq=False)
class ShrunkenMeans:
    """Mean quality of N agents: overall, by feature value, and by the whole set of features.

    mu_v = (S_v + kappa mu) / (n_v + kappa) for one value v, and the joint cell shrinks in the same
    way towards the average of its values' mu_v (James-Stein in two levels). A value that was never
    seen has n = 0, which leaves the overall mean.

    Shapes: ``total``, ``count`` (1 + cells, N): row 0 is overall, row ``cells[key]`` is a cell.
    """

    cells: dict[str, int]
    total: F64
    count: F64

    @classmethod
    def learn(cls, tasks: Sequence[Task], quality: F64, weight: F64 | None = None) -> ShrunkenMeans:
        """Means over training rows; ``quality`` (m, N), NaN where not observed.

        ``weight`` (m, N) is how much each label counts; all 1 where None.
        """
        keys = [cls.keys_of(t) for t in tasks]
        cells = {k: i + 1 for i, k in enumerate(dict.fromkeys(k for ks in keys for k in ks))}
        total, count = np.zeros((2, 1 + len(cells), quality.shape[1]))
        seen = label_weight(quality, weight)
        known = seen * np.nan_to_num(quality)
        for i, ks in enumerate(keys):
            rows = [0, *(cells[k] for k in ks)]
            total[rows] += known[i]
            count[rows] += seen[i]
        return cls(cells, total, count)

    @staticmethod
    def keys_of(task: Task) -> list[str]:
        """The cells of a task: one for each feature value, then the joint one if there are two."""
        ones = [_one_key(k, task.features[k]) for k in sorted(task.features)]
        return [*ones, _joint_key(task)] if len(ones) > 1 else ones

    def overall(self, out_total: F64 | float = 0.0, out_count: F64 | float = 0.0) -> F64:
        """(N,) overall means, shrunken to their average by ``KAPPA`` tasks."""
        s, n = self.total[0] - out_total, self.count[0] - out_count
        grand = s.sum() / max(n.sum(), 1.0)
        return np.asarray((s + KAPPA * grand) / (n + KAPPA))

    def expected(self, task: Task, leave_out: F64 | None = None, weight: F64 | None = None) -> F64:
        """(N,) expected quality.

        ``leave_out`` and ``weight`` (N,) are the task's own row, if it was learned.
        """
        own, one = np.zeros((2, self.total.shape[1]))
        if leave_out is not None:
            one = label_weight(leave_out, weight)
            own = one * np.nan_to_num(leave_out)
        mu = self.overall(own, one)
        keys = self.keys_of(task)
        if not keys:
            return mu
        values = keys[:-1] if len(keys) > 1 else keys
        mu = np.mean([self._cell(k, mu, own, one) for k in values], axis=0)
        return self._cell(keys[-1], mu, own, one) if len(keys) > 1 else mu

    def _cell(self, key: str, towards: F64, own: F64, one: F64) -> F64:
        row = self.cells.get(key)
        if row is None:
            return towards
        s, n = self.total[row] - own, self.count[row] - one
        return np.asarray((s + KAPPA * towards) / (n + KAPPA))

    def expected_all(
        self, tasks: Sequence[Task], leave_out: F64 | None = None, weight: F64 | None = None
    ) -> F64:
        """(m, N) ``expected`` of many tasks."""
        nothing = [None] * len(tasks)
        own = nothing if leave_out is None else list(leave_out)
        weights = nothing if weight is None else list(weight)
        rows = zip(tasks, own, weights, strict=True)
        return np.array([self.expected(t, o, w) for t, o, w in rows])


def label_weight(quality: F64, weight: F64 | None) -> F64:
    """How much each label counts, in the shape of ``quality``: 0 where there is none."""
    return np.where(np.isnan(quality), 0.0, 1.0 if weight is None else weight)
