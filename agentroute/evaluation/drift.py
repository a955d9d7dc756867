"""What happens when the best agent dies: recovery, and traffic to the dead.

Recovery (Symphony-Coord, experiment 2): the rolling mean of 50 rewards must fall by at least 0.08,
then return to 0.9 of the mean of the 200 tasks before the shock, and hold that for 50 steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agentroute.errors import UsageError
from agentroute.evaluation.contestants import PolicyFactory, RouterFactory, RouterSpec, factories
from agentroute.evaluation.environments import Environment, drift
from agentroute.evaluation.play import BanditRun, run_bandit_async
from agentroute.model.scores import F64

WINDOW, DROP, BACK, HOLD, BEFORE = 50, 0.08, 0.9, 50, 200
DEAD_SHARE, DEAD_WITHIN = 0.05, 100


@dataclass(frozen=True, slots=True)
class Recovery:
    """``before`` mean reward before the shock; ``lowest`` rolling mean after it.

    ``fell`` says that the drop was large enough to count; ``steps`` from the shock to the start of
    the window that holds, None where it never came back (0 where it never fell).
    """

    before: float
    lowest: float
    fell: bool
    steps: int | None


def recovery(reward: F64, shock: int) -> Recovery:
    """The recovery of a stream of rewards (T,) from a shock before step ``shock``."""
    before = float(reward[max(0, shock - BEFORE) : shock].mean())
    rolling = rolling_mean(reward, WINDOW)[shock:]
    low = rolling <= before - DROP
    lowest = float(rolling.min())
    if not low.any():
        return Recovery(before, lowest, False, 0)
    start = int(low.argmax())
    return Recovery(before, lowest, True, _held(rolling >= BACK * before, start))


def _held(ok: np.ndarray[Any, np.dtype[np.bool_]], start: int) -> int | None:
    """First step from ``start`` on at which ``ok`` holds for HOLD steps."""
    for t in range(start, len(ok) - HOLD + 1):
        if ok[t : t + HOLD].all():
            return t
    return None


def rolling_mean(values: F64, window: int) -> F64:
    """(T,) mean of the last ``window`` values, of fewer at the beginning."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - window, 0)
    return np.asarray((total[stop] - total[start]) / (stop - start))


def deadlocks(reward: F64) -> int:
    """How often three failures came in a row (overlapping runs of three count once a start)."""
    bad = reward <= 0
    return int((bad[2:] & bad[1:-1] & bad[:-2]).sum()) if len(bad) > 2 else 0


def steps_until_left(went_there: np.ndarray[Any, np.dtype[np.bool_]]) -> int | None:
    """Tasks until the share over the 50 last ones is under 5 % and stays so; None if never."""
    share = rolling_mean(went_there.astype(float), WINDOW)
    over = np.flatnonzero(share >= DEAD_SHARE)
    left = int(over[-1]) + 1 if len(over) else 0
    return left if left < len(share) else None


def bench_drift(
    routers: Sequence[RouterSpec] | dict[str, RouterFactory] = ("default",),
    *,
    seeds: int = 10,
    tasks: int = 1_000,
    make: Callable[[int], Environment] = lambda at: drift(change_at=at),
    exploration: float | None = None,
) -> dict[str, Any]:
    """Each router adaptive and frozen at the shock, on the same tasks: data for ``bench drift``.

    ``ok`` is the goal: an adaptive policy sends under 5 % of the tasks 51 to 100 after the death
    to the dead agent (mean over seeds), and gets more than its frozen twin.

    Raises:
        UsageError: fewer than 400 tasks or no seed; or see ``factories``.
    """
    if seeds < 1 or tasks < 4 * DEAD_WITHIN:
        raise UsageError(
            f"{seeds} seeds of {tasks} tasks are too few", hint="at least 1 seed and 400 tasks"
        )
    env = make(tasks // 2)
    makers = factories(routers, env.embedder, exploration=exploration)
    rows = {name: asyncio.run(_rows(m, env, tasks, seeds)) for name, m in makers.items()}
    return {
        "environment": env.name, "tasks": tasks, "shock_at": tasks // 2, "seeds": seeds,
        "simulated": True, "routers": rows, "ok": all(r["ok"] for r in rows.values()),
    }  # fmt: skip


async def _rows(make: PolicyFactory, env: Environment, n: int, seeds: int) -> dict[str, Any]:
    shock = env.change_at
    live = [await run_bandit_async(make(s), env, n, s) for s in range(seeds)]
    frozen = [
        await run_bandit_async(make(s), env, n, s, learning=lambda step: step < shock)
        for s in range(seeds)
    ]
    out: dict[str, Any] = {
        "adaptive": _summary(live, shock, dead_agent(env)),
        "frozen": _summary(frozen, shock, dead_agent(env)),
    }
    low = out["adaptive"]["dead_share_51_to_100"] < DEAD_SHARE
    out["ok"] = bool(low and out["adaptive"]["after"] > out["frozen"]["after"])
    return out


def dead_agent(env: Environment) -> int:
    """The agent that loses most when the world changes."""
    return 0 if env.after is None else int((env.table - env.after).sum(axis=0).argmax())


def _summary(runs: Sequence[BanditRun], shock: int, dead: int) -> dict[str, Any]:
    """Means over runs; recovery is measured on expected rewards, which carry no luck."""
    back = [recovery(r.expected, shock) for r in runs]
    steps = [b.steps for b in back]
    left = [steps_until_left(r.chosen[shock:] == dead) for r in runs]
    return {
        "dead_share_before": float(
            np.mean([r.share(dead, max(0, shock - BEFORE), shock) for r in runs])
        ),
        "before": float(np.mean([b.before for b in back])),
        "lowest": float(np.mean([b.lowest for b in back])),
        "after": float(np.mean([r.expected[shock:].mean() for r in runs])),
        "recovery_steps": steps,
        "recovered": float(np.mean([s is not None for s in steps])),
        "dead_share_51_to_100": float(
            np.mean([r.share(dead, shock + 50, shock + DEAD_WITHIN) for r in runs])
        ),
        "steps_until_dead_is_left": left,
        "deadlocks": float(np.mean([deadlocks(r.reward[shock:]) for r in runs])),
    }
