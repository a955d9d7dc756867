"""Sets of agents: who is in, what a set is worth, and how well sets are chosen."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F64

TAU_IN, DELTA, CAP = 0.3, 0.1, 3


def agent_set(
    mean: F64, *, tau_in: float = TAU_IN, delta: float = DELTA, cap: int = CAP
) -> NDArray[np.int64]:
    """Positions with mean >= ``tau_in`` and within ``delta`` of the best, best first, at most cap.

    Empty where nobody clears ``tau_in``. Several are in where several are near the best: the
    agents overlap on this task. NaN (screened out) is never in.
    """
    m = np.where(np.isnan(mean), -np.inf, mean)
    near = np.flatnonzero((m >= tau_in) & (m >= m.max(initial=-np.inf) - delta))
    return near[np.argsort(-m[near], kind="stable")][:cap]


def set_reward(
    chosen: Collection[str], wanted: Collection[str], *, alpha: float = 0.5, beta: float = 0.1
) -> float:
    """R = alpha R1 + (1 - alpha) R2 - beta max(|A| - |A*|, 0) (TCAR, arXiv 2601.04544).

    R1 = |A n A*| / max(1, |A|), R2 = |A n A*| / max(1, |A*|). The paper prints no alpha and beta;
    the defaults are ours.
    """
    a, star = set(chosen), set(wanted)
    both = len(a & star)
    r1, r2 = both / max(1, len(a)), both / max(1, len(star))
    return alpha * r1 + (1.0 - alpha) * r2 - beta * max(len(a) - len(star), 0)


def set_metrics(
    chosen: Sequence[Collection[str]],
    wanted: Sequence[Collection[str]],
    *,
    unseen: Collection[str] = (),
) -> dict[str, float]:
    """How well sets were chosen, over m tasks; an empty ``wanted`` is a task for nobody.

    ``hit`` any wanted agent in the set, ``exact`` equal sets, micro ``precision``, ``recall`` and
    ``f1``, ``mean_size`` (these over tasks in scope); ``oos_f1`` of the empty set as a class of
    its own; ``onboarding`` hit over tasks that want an agent in ``unseen``. NaN where no task
    asks for it. A hit anywhere in a larger set flatters: read it beside ``exact`` and the size.
    """
    pairs = [(set(c), set(w)) for c, w in zip(chosen, wanted, strict=True)]
    scoped = [(c, w) for c, w in pairs if w]
    both = sum(len(c & w) for c, w in scoped)
    precision = _ratio(both, sum(len(c) for c, _ in scoped))
    recall = _ratio(both, sum(len(w) for _, w in scoped))
    new = [(c, w) for c, w in scoped if w & set(unseen)]
    return {
        "hit": _mean(bool(c & w) for c, w in scoped),
        "exact": _mean(c == w for c, w in scoped),
        "precision": precision,
        "recall": recall,
        "f1": _f1(precision, recall),
        "mean_size": _mean(len(c) for c, _ in scoped),
        "oos_f1": _oos_f1(pairs),
        "onboarding": _mean(bool(c & w) for c, w in new),
    }


def recall_at(scores: F64, wanted: F64, m: int) -> float:
    """Share of tasks whose wanted agent is among the ``m`` best: ``scores``, ``wanted`` (t, n)."""
    m = min(m, scores.shape[1])
    kept = np.argpartition(-scores, m - 1, axis=1)[:, :m]
    inside = np.take_along_axis(wanted, kept, axis=1) > 0
    found, asked = inside.sum(axis=1) > 0, (wanted > 0).sum(axis=1) > 0
    return float(found[asked].mean()) if np.count_nonzero(asked) else float("nan")


def _oos_f1(pairs: Sequence[tuple[set[str], set[str]]]) -> float:
    true = sum(not c and not w for c, w in pairs)
    precision = _ratio(true, sum(not c for c, _ in pairs))
    return _f1(precision, _ratio(true, sum(not w for _, w in pairs)))


def _mean(values: Iterable[float]) -> float:
    got = list(values)
    return float(sum(got)) / len(got) if got else float("nan")


def _ratio(a: float, b: float) -> float:
    return a / b if b else float("nan")


def _f1(p: float, r: float) -> float:
    """0 where one of them is 0 or undefined; NaN where both are undefined."""
    if np.isnan(p) and np.isnan(r):
        return float("nan")
    return 0.0 if np.isnan(p) or np.isnan(r) or p + r == 0 else 2 * p * r / (p + r)
