"""What a depth policy is set to on rows that the router did not learn from: never on test rows."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agentroute.choosing.depth import make_depth
from agentroute.choosing.depth.calibration import Knots, calibrated, fit_knots
from agentroute.choosing.depth.fixed import Fixed
from agentroute.evaluation.depths.playing import WORLDS, Played, Questions, play
from agentroute.evaluation.metrics import expected_calibration_error
from agentroute.evaluation.tables.outcomes import OutcomeTable
from agentroute.model.arrays import F64, Ints
from agentroute.model.plans import AgentUse, Spec

BINS = 10
GRID: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "cascade": {"accept_at": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), "k_max": (2, 3)},
    "confidence": {"tau_c": (0.2, 0.35, 0.5, 0.65, 0.8), "tau_a": (0.02, 0.05, 0.1, 0.2)},
    "sigma": {"probes": (2, 3, 4), "lite": (1, 2)},
    "entropy": {"temperature": (0.005, 0.01, 0.02, 0.05, 0.1, 0.2), "k_max": (3, 5)},
}
CALIBRATED = ("cascade", "confidence")


@dataclass(frozen=True)
class Reliability:
    """Expected beside got, before and after calibration.

    ``error`` are expected calibration errors; ``bins`` of equal width: (from, arms, expected, got).
    """

    error_before: float
    error_after: float
    bins_before: tuple[tuple[float, int, float, float], ...] = ()
    bins_after: tuple[tuple[float, int, float, float], ...] = ()


@dataclass(frozen=True)
class Tuned:
    """The spec that was best on the rows kept for it, as settings take it; and which rows."""

    spec: dict[str, Any]
    data: str
    sha256: str
    rows: int
    reliability: Reliability | None = field(default=None)


def tune(spec: Spec, q: Questions, *, seed: int = 0) -> dict[str, Any]:
    """The spec with the parameters of ``GRID`` that do best on ``q``; what it names itself stays.

    Best is the gain in quality over asking as many agents at random rows, the mean of both worlds;
    of equals the one with fewer calls. ``cascade`` and ``confidence`` are calibrated too.
    """
    use = AgentUse.of(spec, field="depth")
    fixed = {"name": use.name, **use.params}
    if use.name in CALIBRATED and "calibration" not in fixed:
        fixed["calibration"] = [list(k) for k in knots_of(q)]
    grid = {k: v for k, v in GRID.get(use.name, {}).items() if k not in fixed}
    ladders = {w: ladder(q, w, seed=seed) for w in WORLDS}
    best: tuple[float, float, dict[str, Any]] | None = None
    for values in itertools.product(*grid.values()):
        made = {**fixed, **dict(zip(grid, values, strict=True))}
        gains, calls = [], []
        for world in WORLDS:
            played = play(make_depth(made), q, world, seed=seed)
            like = at_equal_calls(played, ladders[world])
            gains.append(float((played.quality - like).mean()))
            calls.append(float(played.calls.mean()))
        found = (float(np.mean(gains)), -float(np.mean(calls)), made)
        if best is None or found[:2] > best[:2]:
            best = found
    assert best is not None
    return best[2]


def knots_of(q: Questions) -> Knots:
    """Calibration of what was expected of every arm, on what came of it."""
    known = ~np.isnan(q.quality)
    return fit_knots(q.expected[known], q.quality[known])


def reliability(knots: Knots, q: Questions) -> Reliability:
    """Over every arm of every row of ``q``."""
    known = ~np.isnan(q.quality)
    stated, got = q.expected[known], q.quality[known]
    after = np.clip(calibrated(knots, stated), 0.0, 1.0)
    return Reliability(
        expected_calibration_error(stated, got, BINS), expected_calibration_error(after, got, BINS),
        _bins(stated, got), _bins(after, got),
    )  # fmt: skip


def _bins(stated: F64, got: F64) -> tuple[tuple[float, int, float, float], ...]:
    place = np.clip((stated * BINS).astype(int), 0, BINS - 1)
    return tuple(
        (int(b) / BINS, int((place == b).sum()), float(stated[place == b].mean()),
         float(got[place == b].mean()))
        for b in np.unique(place)
    )  # fmt: skip


def ladder(q: Questions, world: Any, *, seed: int = 0) -> list[Played]:
    """Always 1, always 2, ..., always all."""
    return [play(Fixed(k), q, world, seed=seed) for k in range(1, len(q.candidates) + 1)]


def at_equal_calls(played: Played, rungs: list[Played]) -> F64:
    """(m,) what each row is expected to earn where the same numbers of calls fall on random rows.

    Rows on which nobody was called are left as they are.
    """
    somebody = played.calls > 0
    share = np.bincount(played.calls[somebody], minlength=len(rungs) + 1) / max(1, somebody.sum())
    mixed = sum(share[k] * rungs[k - 1].quality for k in range(1, len(rungs) + 1))
    return np.where(somebody, mixed, 0.0)


def data_hash(table: OutcomeTable, rows: Ints) -> str:
    """SHA-256 of the ids, prompts and scores of these rows."""
    found = hashlib.sha256()
    for i in rows:
        found.update(f"{table.ids[i]}\x00{table.prompts[i]}\x00".encode())
    found.update(np.ascontiguousarray(table.scores[rows]).tobytes())
    return found.hexdigest()
