"""A policy against a simulated world: one task after the other, learning or frozen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from agentroute.choosing.policy import Policy
from agentroute.choosing.protocol import Router
from agentroute.evaluation.contestants import NOBODY
from agentroute.evaluation.worlds.environments import Environment
from agentroute.model.arrays import F64, Ints
from agentroute.model.candidates import Request
from agentroute.model.ids import keyed_rng
from agentroute.model.objective import Objective
from agentroute.model.outcomes import Observation


@dataclass(frozen=True, slots=True, eq=False)
class BanditRun:
    """What happened, step by step (T,).

    ``reward`` what was drawn; ``chosen`` the agent's row in the card set, -1 for nobody;
    ``expected`` and ``best`` the expected quality of the choice and of the best choice;
    ``kind`` of the task; ``cost`` in USD. A right abstention has reward, expected and best 1.
    """

    reward: F64
    chosen: Ints
    expected: F64
    best: F64
    kind: Ints
    cost: F64

    @property
    def regret(self) -> F64:
        """(T,) cumulative expected regret: best less expected."""
        return np.cumsum(self.best - self.expected)

    def share(self, agent: int, start: int = 0, stop: int | None = None) -> float:
        """Share of the steps from ``start`` to ``stop`` that went to ``agent``."""
        return float((self.chosen[start:stop] == agent).mean())


def run_bandit(
    policy: Policy | Router,
    env: Environment,
    n: int,
    seed: int,
    *,
    objective: Objective | None = None,
    learning: Callable[[int], bool] = lambda step: True,
) -> BanditRun:
    """Play ``n`` tasks in a loop of its own; ``learning(step)`` False withholds the feedback.

    The tasks, draws and lies depend on ``seed`` and the step alone, so two policies under one seed
    meet the same tasks.
    """
    return asyncio.run(
        run_bandit_async(policy, env, n, seed, objective=objective, learning=learning)
    )


async def run_bandit_async(
    policy: Policy | Router,
    env: Environment,
    n: int,
    seed: int,
    *,
    objective: Objective | None = None,
    learning: Callable[[int], bool] = lambda step: True,
) -> BanditRun:
    """See ``run_bandit``."""
    player = policy if isinstance(policy, Policy) else Policy(policy)
    rows = np.zeros((n, 6))
    for t in range(n):
        rng = keyed_rng(seed, env.name, t)
        request = env.sample(rng, t, objective)
        _, choice = await player.choose(request, rng=keyed_rng(seed, "decide", t))
        agent = int(request.candidates.rows[choice.positions[0]]) if choice.positions else NOBODY
        rows[t] = _step(env, request, agent, rng)
        if agent != NOBODY and learning(t):
            got = env.feedback(request.task, agent, rows[t, 0], rng)
            seen = _observation(env, request, agent, t, got, choice.propensity)
            player.router.update(seen)
    reward, chosen, expected, best, kind, cost = rows.T
    return BanditRun(reward, chosen.astype(int), expected, best, kind.astype(int), cost)


def _step(
    env: Environment, request: Request, agent: int, rng: np.random.Generator
) -> tuple[float, ...]:
    kind = int(request.task.id.split(":")[1])
    away = env.should_abstain(request.task)
    best = 1.0 if away else env.optimum(request)
    if agent == NOBODY:
        return float(away), agent, float(away), best, kind, 0.0
    q = float(env.quality(request.task)[agent])
    return env.draw(request.task, agent, rng), agent, q, best, kind, float(env.cost[agent])


def _observation(
    env: Environment, request: Request, agent: int, step: int, said: float, propensity: float
) -> Observation:
    return Observation(
        seq=step + 1,
        decision_id=f"step-{step}",
        request=request,
        agent=str(env.cardset.names[agent]),
        quality=said,
        cost_usd=float(env.cost[agent]),
        latency_s=0.1,
        propensity=propensity,
    )
