"""What a prompt's text adds for each arm: a ridge and a forest, trusted as far as they earned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32, F64
from agentroute.routers.linear.forest import Forest, fit_forest
from agentroute.routers.linear.ridge import ridge_path
from agentroute.routers.linear.views import columns, scaled, scaling

PENALTY = 20.0  # of the ridge, where rows have a squared length near 2
LEADING = 0.1  # below the best mean, up to which an arm may be the choice: only these matter
MAX_TRUST = 1.5
PARTS = ("centre", "scale", "weights")


@dataclass(frozen=True, slots=True, eq=False)
class TextModel:
    """trust * (ridge + forest) / 2 over the columns of one prompt, for the rows of one group.

    ``weights`` (d, n) act on (columns - centre) / scale. ``trust`` (in [0, 1.5]) is the slope of
    the outcomes on what was predicted for rows left out, over the leading arms alone, because
    the others are never chosen.
    """

    centre: F32
    scale: F32
    weights: F32
    forest: Forest
    trust: float
    note: dict[str, float] = field(default_factory=dict)

    def predict(self, prompt: str, embedding: F32) -> F64:
        """(n,) to be added to the means."""
        x = columns([prompt], embedding[None])
        with one_thread():
            ridge = scaled(x, self.centre, self.scale)[0] @ self.weights
        return np.asarray(self.trust / 2 * (ridge + self.forest.predict(x[0])), np.float64)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By name, for a state."""
        own = {p: getattr(self, p) for p in PARTS}
        return own | {f"forest.{k}": v for k, v in self.forest.arrays().items()}

    def meta(self) -> dict[str, Any]:
        """As JSON."""
        return {"trust": self.trust, "note": self.note}

    @classmethod
    def load(cls, meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> TextModel:
        """From ``meta`` and ``arrays``."""
        centre, scale, weights = (arrays[p] for p in PARTS)
        trees = {k.removeprefix("forest."): v for k, v in arrays.items() if k.startswith("forest.")}
        return cls(
            centre, scale, weights, Forest(**trees), float(meta["trust"]), dict(meta["note"])
        )


def fit_text(
    x: F32,
    spread: F32,
    residual: F64,
    left_out: F64,
    mean: F64,
    rng: np.random.Generator,
) -> tuple[TextModel, F64]:
    """From the rows of one group; also returns (m, n) what it adds to each row left out.

    ``x`` (m, d) are their columns, ``spread`` the statistics' spread over all groups.
    ``residual`` (m, n) is outcome less row level less mean, ``left_out`` (m, n) the same where
    the mean does not know the row, ``mean`` (n,) the arms' mean in the group.
    """
    centre, scale = scaling(x, spread)
    r = residual - residual.mean(axis=0)
    _, weights, loo = next(ridge_path(scaled(x, centre, scale), r, (PENALTY,)))
    loo += r / max(len(r) - 1, 1)  # less the mean, which leaving a row out moves too
    forest, out_of_bag = fit_forest(x, r, rng)
    added = (loo + out_of_bag) / 2
    trust = _slope(left_out, added, _leading(mean))
    model = TextModel(
        centre, scale, weights.astype(np.float32), forest, trust, {"rows": float(len(r))}
    )
    return model, trust * added


def _leading(mean: F64) -> NDArray[np.int64]:
    """The arms that may be the choice: near the best mean, two at least."""
    arms = np.flatnonzero(mean >= mean.max() - LEADING)
    return arms if len(arms) > 1 else np.argsort(-mean)[:2]


def _slope(r: F64, a: F64, arms: NDArray[np.int64]) -> float:
    """sum(a r) / sum(a a), both among ``arms``: how far to trust what is added."""
    a, r = (v[:, arms] - v[:, arms].mean(axis=1, keepdims=True) for v in (a, r))
    power = float((a * a).sum())
    return float(np.clip((a * r).sum() / power, 0.0, MAX_TRUST)) if power > 0 else 0.0
