"""Whether anybody should be called at all, for tables of graded outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32, F64
from agentroute.model.candidates import Examples
from agentroute.model.tasks import Task
from agentroute.routers.linear.means import FeatureMeans, fit_means
from agentroute.routers.linear.ridge import ridge_path
from agentroute.routers.linear.threshold import (
    MIN_ABSTAIN,
    NEVER,
    choose_threshold,
    out_of_scope,
)


class ScopeModel:
    """Confidence = 1 - P(abstain), by feature means and a ridge over the embedding.

    The penalty is the one of least left-out error; the threshold is chosen on left-out values.
    """

    def __init__(self) -> None:
        self.threshold = NEVER
        self.means = FeatureMeans(values=np.zeros((1, 1)))
        self.weights: F32 = np.zeros(0, np.float32)
        self.centre: F32 = np.zeros(0, np.float32)

    def fit(self, examples: Examples, earned: F64) -> None:
        """Learn from ``abstain``; ``earned`` (m,) is what the choice of each row earned."""
        away = examples.abstain
        if away.sum() < MIN_ABSTAIN or away.all():
            return
        features = [t.features for t in examples.tasks]
        self.means, loo = fit_means(features, away.astype(np.float64)[:, None])
        r = away[:, None] - self.means.predict(features)
        x = examples.embedding
        self.centre = x.mean(axis=0)
        moved = np.zeros_like(r)
        if x.any():
            path = list(ridge_path(x - self.centre, r - r.mean()))
            _, weights, moved = min(path, key=lambda p: float(((r - p[2]) ** 2).sum()))
            self.weights = weights[:, 0].astype(np.float32)
        confidence = np.clip(1.0 - (loo + moved)[:, 0], 0.0, 1.0)
        self.threshold = choose_threshold(confidence, earned, away)

    def out_of_scope(self, task: Task, embedding: F32) -> float:
        """In [0, 1]; at 0.5 and above nobody should be called."""
        if self.threshold <= NEVER:
            return 0.0
        p = float(self.means.values[self.means.row(task.features), 0])
        if len(self.weights):
            with one_thread():
                p += float((embedding - self.centre) @ self.weights)
        return out_of_scope(1.0 - p, self.threshold)

    def meta(self) -> dict[str, Any]:
        """As JSON."""
        return {"threshold": self.threshold, "means": self.means.meta()}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As arrays."""
        return {
            "scope.values": self.means.values.copy(),
            "scope.weights": self.weights.copy(),
            "scope.centre": self.centre.copy(),
        }

    def load(self, meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from ``meta`` and ``arrays``."""
        self.threshold = float(meta["threshold"])
        self.means = FeatureMeans.load(meta["means"], arrays["scope.values"])
        self.weights, self.centre = arrays["scope.weights"], arrays["scope.centre"]
