"""What held-out rows say of a trained network: how far to trust it, and what is out of scope."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F64


def trust_in(z: F64, residual: F64, *, centred: bool = True) -> tuple[float, float]:
    """(trust in [0, 1], gamma): how much of z is signal, from z and f - expected (m, N).

    gamma is the least-squares slope of residual on z, both ``centred`` over the agents, since only
    differences between agents matter to a choice. trust = gamma (1 - (s / gamma)^2)+ clipped to
    [0, 1], with s the standard error of gamma over tasks (positive-part James-Stein).
    """
    r = residual - np.nanmean(residual, axis=1, keepdims=True) if centred else residual
    c = z - z.mean(axis=1, keepdims=True) if centred else z
    total = max(float((c * c).sum()), 1e-12)
    gamma = float(np.nansum(r * c)) / total
    s = float(np.sqrt((np.nansum((r - gamma * c) * c, axis=1) ** 2).sum())) / total
    shrunk = gamma * max(0.0, 1.0 - (s / max(abs(gamma), 1e-12)) ** 2)
    return float(np.clip(shrunk, 0.0, 1.0)), gamma


def chosen_quality(f_hat: F64, f: F64) -> float:
    """Mean f of the agent with the largest f_hat among those that were observed."""
    seen = ~np.isnan(f).all(axis=1)
    at = np.where(np.isnan(f), -np.inf, f_hat)[seen].argmax(axis=1)
    return float(np.take_along_axis(f[seen], at[:, None], axis=1).mean())


def fit_scope(best: F64, abstain: NDArray[np.bool_]) -> tuple[float, float] | None:
    """(slope, offset) of P(out of scope) = sigmoid(slope best + offset), by 50 Newton steps.

    ``best`` (m,) the largest expected quality of each row. Out-of-scope rows weigh as much as the
    rest together, up to twenty times their number. None where there are none.
    """
    if not abstain.any() or abstain.all():
        return None
    y = abstain.astype(np.float64)
    w = np.where(abstain, min(20.0, (~abstain).sum() / abstain.sum()), 1.0)
    x = np.column_stack([best, np.ones(len(best))])
    theta = np.zeros(2)
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ theta, -30, 30)))
        hessian = (x * (w * p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(2)
        theta -= np.linalg.solve(hessian, x.T @ (w * (p - y)) + 1e-3 * theta)
    return float(theta[0]), float(theta[1])
