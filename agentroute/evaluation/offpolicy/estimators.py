"""What another policy would have got, estimated from decisions that were logged.

For row t with context x, action a, reward r, logging probability p = b(a|x) > 0 and target policy
pi, with weight w = pi(a|x) / p:

    IPS    V = mean(w r)                                    (Horvitz and Thompson 1952)
    SNIPS  V = sum(w r) / sum(w)                            (Swaminathan and Joachims 2015)
    DR     V = mean(sum_a' pi(a'|x) q(x, a') + w (r - q(x, a)))      (Dudik, Langford and Li 2011)

q is a table of means by group and arm, shrunk to the arm's mean, fitted on the other folds.
IPS is unbiased where the logging policy could have taken whatever the target takes; without that
overlap no number is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from agentroute.errors import OverlapError, UsageError
from agentroute.evaluation.tables.splits import folds
from agentroute.model.arrays import F64, Ints
from agentroute.model.ids import keyed_rng

Z95 = 1.959964
MIN_EFFECTIVE = 10.0
MAX_UNSUPPORTED = 0.05
WARN_UNSUPPORTED, WARN_EFFECTIVE = 0.001, 0.1
KAPPA, FOLDS = 5.0, 5


@dataclass(frozen=True, slots=True, eq=False)
class LoggedRows:
    """Decisions with the probability they were taken with, and what came of them.

    Shapes: ``chosen`` (T,) arm numbers; ``propensity`` (T,) of the chosen arm, in (0, 1];
    ``reward`` (T,) in [0, 1]; ``target`` (T, n) probability of each arm under the policy that is
    asked about; ``logging`` (T, n) of each arm under the policy that logged, None where only the
    chosen one's is known; ``group`` (T,) a key of the context that the direct model may use.
    """

    chosen: Ints
    propensity: F64
    reward: F64
    target: F64
    logging: F64 | None = None
    group: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.chosen)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    lo: float
    hi: float


@dataclass(frozen=True, slots=True)
class OffPolicy:
    """Three estimates of the target's mean reward, and how far they can be trusted.

    ``logged`` is the mean reward of the policy that logged; ``effective`` the sample size that the
    weights leave, (sum w)^2 / sum w^2; ``unsupported`` the share of the target's probability on
    arms that could not have been logged; ``max_weight`` the largest w.
    """

    rows: int
    logged: Estimate
    ips: Estimate
    snips: Estimate
    dr: Estimate
    effective: float
    unsupported: float
    max_weight: float
    warnings: tuple[str, ...] = field(default=())


def estimate(rows: LoggedRows, *, seed: int = 0) -> OffPolicy:
    """IPS, SNIPS and doubly robust estimates.

    Raises:
        UsageError: arrays that do not fit together, or a propensity that is not in (0, 1].
        OverlapError: every propensity is 1 (nothing was explored), the target takes arms that
            were never possible, or fewer than 10 effective rows are left.
    """
    _check(rows)
    w = _weights(rows)
    unsupported = _unsupported(rows)
    effective = float(w.sum() ** 2 / max((w**2).sum(), 1e-300))
    _refuse(rows, unsupported, effective)
    return OffPolicy(
        rows=len(rows),
        logged=_mean(rows.reward),
        ips=_mean(w * rows.reward),
        snips=_self_normalised(w, rows.reward),
        dr=_mean(_doubly_robust(rows, w, seed)),
        effective=effective,
        unsupported=unsupported,
        max_weight=float(w.max()),
        warnings=_warnings(rows, unsupported, effective),
    )


def difference(rows: LoggedRows, *, seed: int = 0) -> Estimate:
    """Doubly robust estimate of the target's mean reward less the logged one's, row by row.

    The interval is that of the paired differences, so that what both share does not widen it.
    The reward may have any unit.

    Raises:
        UsageError, OverlapError: see ``estimate``.
    """
    _check(rows)
    w = _weights(rows)
    _refuse(rows, _unsupported(rows), float(w.sum() ** 2 / max((w**2).sum(), 1e-300)))
    return _mean(_doubly_robust(rows, w, seed) - rows.reward)


def _weights(rows: LoggedRows) -> F64:
    return np.asarray(rows.target[np.arange(len(rows)), rows.chosen] / rows.propensity)


def _mean(values: F64) -> Estimate:
    v, se = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    return Estimate(v, v - Z95 * se, v + Z95 * se)


def _self_normalised(w: F64, r: F64) -> Estimate:
    """Ratio estimate; its variance by linearisation: mean(w^2 (r - V)^2) / (T mean(w)^2)."""
    v = float((w * r).sum() / w.sum())
    se = float(np.sqrt((w**2 * (r - v) ** 2).sum()) / w.sum())
    return Estimate(v, v - Z95 * se, v + Z95 * se)


def _doubly_robust(rows: LoggedRows, w: F64, seed: int) -> F64:
    """(T,) terms of the doubly robust mean; q of a row never saw that row."""
    at = np.arange(len(rows))
    q = direct_model(rows, seed=seed)
    return np.asarray((rows.target * q).sum(axis=1) + w * (rows.reward - q[at, rows.chosen]))


def direct_model(rows: LoggedRows, *, seed: int = 0) -> F64:
    """(T, n) cross-fitted mean reward by group and arm, shrunk to the arm, to the mean of all."""
    n = rows.target.shape[1]
    keys = list(rows.group) if len(rows.group) else [""] * len(rows)
    group = np.unique(keys, return_inverse=True)[1].ravel()
    q = np.empty((len(rows), n))
    for fit, held in folds(len(rows), FOLDS, keyed_rng(seed, "direct")):
        arm, r = rows.chosen[fit], rows.reward[fit]
        by_arm = _shrunk(arm, r, n, np.full(n, r.mean()))
        prior = np.tile(by_arm, group.max() + 1)
        cells = _shrunk(group[fit] * n + arm, r, len(prior), prior).reshape(-1, n)
        q[held] = cells[group[held]]
    return q


def _shrunk(cell: Ints, r: F64, cells: int, prior: F64) -> F64:
    """(sum of r in the cell + kappa * prior) / (count + kappa)."""
    total = np.bincount(cell, weights=r, minlength=cells) + KAPPA * prior
    return np.asarray(total / (np.bincount(cell, minlength=cells) + KAPPA))


def _unsupported(rows: LoggedRows) -> float:
    if rows.logging is None:
        return 0.0
    return float(np.where(rows.logging <= 0.0, rows.target, 0.0).sum(axis=1).mean())


def _check(rows: LoggedRows) -> None:
    t = len(rows)
    if t < 2:
        raise OverlapError(f"{t} logged decisions are too few", hint="run more tasks first")
    shapes = {len(rows.propensity), len(rows.reward), len(rows.target), len(rows.group) or t, t}
    if len(shapes) > 1 or (rows.logging is not None and rows.logging.shape != rows.target.shape):
        raise UsageError("the logged arrays have different lengths", hint="one entry a decision")
    p = rows.propensity
    if not (np.isfinite(p).all() and (p > 0).all() and (p <= 1 + 1e-9).all()):
        raise UsageError("a propensity is not in (0, 1]", hint="log the probability of the choice")
    if not np.isfinite(rows.reward).all():
        raise UsageError("a reward is not a number", hint="leave rows without feedback out")
    if not np.allclose(rows.target.sum(axis=1), 1.0, atol=1e-6) or (rows.target < 0).any():
        raise UsageError("target probabilities do not add up to 1", hint="one row a decision")


def _refuse(rows: LoggedRows, unsupported: float, effective: float) -> None:
    hint = "log with exploration, for example exploration: 0.05"
    if (rows.propensity >= 1.0 - 1e-9).all():
        raise OverlapError("every logged choice was certain: nothing was explored", hint=hint)
    if unsupported > MAX_UNSUPPORTED:
        raise OverlapError(
            f"{unsupported:.0%} of the target's choices could not have been logged", hint=hint
        )
    if effective < MIN_EFFECTIVE:
        raise OverlapError(
            f"the target overlaps with {effective:.1f} effective rows of {len(rows)}: too few",
            hint=hint,
        )


def _warnings(rows: LoggedRows, unsupported: float, effective: float) -> tuple[str, ...]:
    out = []
    if unsupported > WARN_UNSUPPORTED:
        out.append(f"{unsupported:.1%} of the target's choices could not have been logged")
    if effective < WARN_EFFECTIVE * len(rows):
        out.append(f"only {effective:.0f} of {len(rows)} rows are effective: wide intervals")
    if certain := int((rows.propensity >= 1.0 - 1e-9).sum()):
        out.append(f"{certain} of {len(rows)} choices were certain")
    return tuple(out)
