"""The head for graded outcomes: shrunken means by feature, and what the text adds to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.scores import F32, F64, Examples
from agentroute.model.tasks import Task
from agentroute.routers.supervised.means import FeatureMeans, arm_means, fit_means
from agentroute.routers.supervised.ridge import best_ridge
from agentroute.routers.supervised.views import KINDS, Views, scaled, scaling

MIN_ROWS = 60  # a group with fewer rows has no text model of its own
MAX_ROWS = 20_000
EVERYBODY = "*"
PARTS = ("centre", "scale", "weights")


@dataclass(slots=True, eq=False)
class TextModel:
    """One ridge on one view of the text: (block - centre) / scale times ``weights`` (d, n)."""

    kind: str
    centre: F32
    scale: F32
    weights: F32
    note: dict[str, float] = field(default_factory=dict)

    def predict(self, block: F32) -> F64:
        """(m, n) from an unscaled block (m, d)."""
        z = scaled(block, self.centre, self.scale)
        with one_thread():
            return np.asarray(z @ self.weights, np.float64)


class ScoreHead:
    """Expected quality = mean by features + difficulty of the task + what its text adds.

    The scores are split into a row's own level (its difficulty, equal for all arms) and the
    contrast between arms. Only the contrast decides, and it is much less noisy: the contrast has
    feature means (``FeatureMeans``) and, for all rows and then for each value of the leading
    feature, a ridge on that view of the text which gains most when rows are left out; where none
    gains by 1.5 standard errors the text adds nothing.
    """

    def __init__(self, e: int) -> None:
        self.views = Views(e)
        self.contrast, self.level = FeatureMeans(), FeatureMeans()
        self.texts: dict[str, TextModel] = {}

    def fit(self, tasks: Sequence[Task], embedding: F32, quality: F64) -> F64:
        """Learn from ``quality`` (m, n), NaN where not observed; returns left-out predictions."""
        features = [t.features for t in tasks]
        level = _row_level(quality - arm_means(quality))
        self.contrast, loo = fit_means(features, quality - level[:, None])
        self.level, levels = fit_means(features, level[:, None])
        guess = self.contrast.predict(features)
        self.texts = {}
        spoken = np.flatnonzero(embedding.any(axis=1))
        filled = np.where(np.isnan(quality), guess + level[:, None], quality)
        for name, rows in self._groups(tasks, spoken):
            self._fit_text(name, rows[:MAX_ROWS], tasks, embedding, filled, guess, loo)
        return np.clip(loo + levels, 0.0, 1.0)

    def _groups(
        self, tasks: Sequence[Task], spoken: NDArray[np.int64]
    ) -> list[tuple[str, NDArray[np.int64]]]:
        """All rows with a text, then those of each value of the leading feature."""
        out = [(EVERYBODY, spoken)]
        if self.contrast.chain:
            value = np.array([self.contrast.group(tasks[i].features) for i in spoken], object)
            out += [(f"={v}", spoken[value == v]) for v in sorted(set(value))]
        return [(name, rows) for name, rows in out if len(rows) >= MIN_ROWS]

    def _fit_text(
        self,
        name: str,
        rows: NDArray[np.int64],
        tasks: Sequence[Task],
        embedding: F32,
        quality: F64,
        guess: F64,
        loo: F64,
    ) -> None:
        """The best view for a group, if any; ``guess`` and ``loo`` move by its left-out values."""
        q, base = quality[rows], loo[rows]
        r = q - guess[rows]
        r -= r.mean(axis=1, keepdims=True)
        r -= r.mean(axis=0)
        prompts = [tasks[i].prompt for i in rows]
        best: tuple[float, TextModel, F64] | None = None
        for kind in KINDS:
            block = self.views.block(kind, prompts, embedding[rows])
            centre, scale = scaling(kind, block)
            found = best_ridge(scaled(block, centre, scale), r, q, base)
            if found is not None and (best is None or found[0].gain > best[0]):
                ridge, moved = found
                note = {"penalty": ridge.penalty, "gain": ridge.gain, "t": ridge.t}
                model = TextModel(kind, centre, scale, ridge.weights, note)
                best = ridge.gain, model, moved
        if best is not None:
            self.texts[name] = best[1]
            guess[rows] += best[2]
            loo[rows] += best[2]

    def predict(self, task: Task, embedding: F32) -> tuple[F64, F64, F64]:
        """(n,) means by feature, (n,) what the text adds, and the task's level (n,)."""
        n = self.contrast.values.shape[1]
        mean = self.contrast.values[self.contrast.row(task.features)]
        level = self.level.values[self.level.row(task.features)]
        text = np.zeros(n)
        if embedding.any():
            for name in (EVERYBODY, f"={self.contrast.group(task.features)}"):
                if name in self.texts:
                    model = self.texts[name]
                    block = self.views.block(model.kind, [task.prompt], embedding[None])
                    text += model.predict(block)[0]
        return mean, text, np.broadcast_to(level, n)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """JSON and arrays."""
        meta: dict[str, Any] = {"contrast": self.contrast.meta(), "level": self.level.meta()}
        arrays = {"contrast": self.contrast.values.copy(), "level": self.level.values.copy()}
        meta["texts"] = [[k, m.kind, m.note] for k, m in self.texts.items()]
        for i, m in enumerate(self.texts.values()):
            for part in PARTS:
                arrays[f"text{i}.{part}"] = getattr(m, part).copy()
        return meta, arrays

    def load(self, meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from ``state``."""
        self.contrast = FeatureMeans.load(meta["contrast"], arrays["contrast"])
        self.level = FeatureMeans.load(meta["level"], arrays["level"])
        self.texts = {}
        for i, (name, kind, note) in enumerate(meta["texts"]):
            centre, scale, weights = (arrays[f"text{i}.{p}"] for p in PARTS)
            self.texts[name] = TextModel(kind, centre, scale, weights, dict(note))


def _row_level(r: F64) -> F64:
    """(m,) mean of the observed residuals of a row; 0 where nothing was observed."""
    seen = ~np.isnan(r)
    return np.asarray(np.where(seen, r, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1))


def has_labels(examples: Examples) -> NDArray[np.bool_]:
    """(m,) rows in scope of which anything was observed."""
    return ~examples.abstain & ~np.isnan(examples.quality).all(axis=1)
