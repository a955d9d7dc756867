"""What dies and what learns: each router adaptive and frozen when the best agent dies.

Data for ``agentroute bench drift``. The world is simulated, so it says how a router reacts, not
how good it is on real tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from agentroute.errors import UsageError
from agentroute.evaluation.contestants import PolicyFactory, RouterFactory, factories
from agentroute.evaluation.worlds.drift import (
    BEFORE,
    DEAD_SHARE,
    DEAD_WITHIN,
    deadlocks,
    recovery,
    steps_until_left,
)
from agentroute.evaluation.worlds.environments import Environment, drift
from agentroute.evaluation.worlds.play import BanditRun, run_bandit_async
from agentroute.model.plans import Spec


def bench_drift(
    routers: Sequence[Spec] | Mapping[str, RouterFactory] = ("default",),
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
