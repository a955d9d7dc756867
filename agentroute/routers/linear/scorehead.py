"""The head for graded outcomes: shrunken means by feature, and what the text adds to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F32, F64
from agentroute.model.candidates import Examples
from agentroute.model.tasks import Task
from agentroute.routers.linear.means import FeatureMeans, Features, arm_means, fit_means
from agentroute.routers.linear.textmodel import TextModel, fit_text
from agentroute.routers.linear.views import STATS, columns, spread_of

MIN_ROWS = 120  # a group with fewer rows has no text model
MAX_ROWS = 20_000


class ScoreHead:
    """Expected quality = mean by features + difficulty of the task + what its text adds.

    The scores are split into a row's own level (its difficulty, equal for all arms) and the
    contrast between arms. Only the contrast decides, and it is much less noisy: the contrast has
    feature means (``FeatureMeans``) and, for each value of the leading feature that has rows
    enough, a ``TextModel``.
    """

    def __init__(self) -> None:
        self.contrast, self.level = FeatureMeans(), FeatureMeans()
        self.texts: dict[str, TextModel] = {}

    def fit(
        self,
        tasks: Sequence[Task],
        embedding: F32,
        quality: F64,
        weight: F64 | None = None,
        *,
        seed: int = 0,
    ) -> F64:
        """Learn from ``quality`` (m, n), NaN where not observed; returns left-out predictions.

        ``weight`` (m, n) is how much each label counts in the means; all 1 where None.
        """
        features = [t.features for t in tasks]
        level = _row_level(quality - arm_means(quality, weight))
        self.contrast, loo = fit_means(features, quality - level[:, None], weight)
        self.level, levels = fit_means(features, level[:, None])
        guess = self.contrast.predict(features)
        contrast = np.where(np.isnan(quality), guess, quality - level[:, None])
        added = self._fit_texts(tasks, embedding, contrast, guess, loo, np.random.default_rng(seed))
        return np.clip(loo + added + levels, 0.0, 1.0)

    def _fit_texts(
        self,
        tasks: Sequence[Task],
        embedding: F32,
        contrast: F64,
        guess: F64,
        loo: F64,
        rng: np.random.Generator,
    ) -> F64:
        """A model for each group that earns trust; returns what they add to rows left out."""
        self.texts = {}
        added = np.zeros_like(guess)
        spoken = np.flatnonzero(embedding.any(axis=1))
        groups = self._groups([t.features for t in tasks], spoken)
        if not groups:
            return added
        x = np.zeros((len(tasks), STATS + embedding.shape[1]), np.float32)
        x[spoken] = columns([tasks[int(i)].prompt for i in spoken], embedding[spoken])
        spread = spread_of(x[spoken])
        for name, rows in groups:
            r, without = contrast[rows] - guess[rows], contrast[rows] - loo[rows]
            mean = guess[rows].mean(axis=0)
            model, added[rows] = fit_text(x[rows], spread, r, without, mean, rng)
            if model.trust > 0:
                self.texts[name] = model
        return added

    def _groups(
        self, features: Features, spoken: NDArray[np.int64]
    ) -> list[tuple[str, NDArray[np.int64]]]:
        """The ``spoken`` rows of each value of the leading feature that has enough of them."""
        value = np.array([self.contrast.group(features[i]) for i in spoken], object)
        groups = [(v, spoken[value == v][:MAX_ROWS]) for v in sorted(set(value))]
        return [(v, rows) for v, rows in groups if len(rows) >= MIN_ROWS]

    def predict(self, task: Task, embedding: F32) -> tuple[F64, F64, F64]:
        """(n,) means by feature, (n,) what the text adds, and the task's level (n,)."""
        mean = self.contrast.values[self.contrast.row(task.features)]
        level = self.level.values[self.level.row(task.features)]
        model = self.texts.get(self.contrast.group(task.features)) if embedding.any() else None
        text = np.zeros(len(mean)) if model is None else model.predict(task.prompt, embedding)
        return mean, text, np.broadcast_to(level, len(mean))

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """JSON and arrays."""
        meta: dict[str, Any] = {"contrast": self.contrast.meta(), "level": self.level.meta()}
        arrays = {"contrast": self.contrast.values.copy(), "level": self.level.values.copy()}
        meta["texts"] = [[name, model.meta()] for name, model in self.texts.items()]
        for i, model in enumerate(self.texts.values()):
            arrays |= {f"text{i}.{k}": v.copy() for k, v in model.arrays().items()}
        return meta, arrays

    def load(self, meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from ``state``."""
        self.contrast = FeatureMeans.load(meta["contrast"], arrays["contrast"])
        self.level = FeatureMeans.load(meta["level"], arrays["level"])
        self.texts = {}
        for i, (name, about) in enumerate(meta["texts"]):
            start = f"text{i}."
            own = {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}
            self.texts[name] = TextModel.load(about, own)


def _row_level(r: F64) -> F64:
    """(m,) mean of the observed residuals of a row.

    0 where fewer than two were observed: one outcome does not tell a hard task from a weak arm.
    """
    seen = ~np.isnan(r)
    count = seen.sum(axis=1)
    return np.where(count > 1, np.where(seen, r, 0.0).sum(axis=1) / np.maximum(count, 1), 0.0)


def has_labels(examples: Examples) -> NDArray[np.bool_]:
    """(m,) rows in scope of which anything was observed."""
    return ~examples.abstain & ~np.isnan(examples.quality).all(axis=1)
