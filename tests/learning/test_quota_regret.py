"""One source that praises one agent: what it costs the default router, without and with a quota.

``python -m pytest -m slow -s tests/learning/test_quota_regret.py`` prints the table of
``experiments/feedback-quota.md``.
"""

from __future__ import annotations

import numpy as np
import pytest

from agentroute.choosing.catalog import make_policy
from agentroute.learning import Learner
from agentroute.learning.sources import QUOTA
from agentroute.ledger import Ledger
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.ids import keyed_rng
from agentroute.model.outcomes import Feedback, Outcome
from agentroute.testing.routers import World

SEEDS, ROUNDS, AT_ONCE = 10, 300, 5
BAD = 4  # the agent that is praised: worst of five at everything
T_95 = 2.262  # Student's t, 9 degrees of freedom


def quality(topic, agent):
    return 0.3 if agent == BAD else 0.8 if agent == topic else 0.5


async def regret_of(folder, seed, *, users, attacked, quota):
    """Summed expected loss of ROUNDS choices, and how many words the quota kept out.

    Each choice is judged by one of ``users``, with noise of 0.15; of the bad agent mallory says 1
    before them.
    """
    world, rng, regret = World(seed=seed), np.random.default_rng([seed, 7]), 0.0
    policy = make_policy({"name": "linucb", "exploration": 0.05}, embedder=world.embedder)
    with Ledger.open(str(folder / f"{seed}.db")) as ledger:
        learner = Learner(policy.router, ledger, quota=quota, embedder=world.embedder)
        for t in range(ROUNDS):
            request = world.request()
            topic = int(request.task.features["topic"])
            scores, choice = await policy.choose(request, rng=keyed_rng(seed, "quota", t))
            at = int(choice.positions[0])
            agent = str(request.candidates.names[at])
            regret += max(quality(topic, i) for i in range(5)) - quality(topic, at)
            d = Decision(
                id=f"d{t}", run_id=f"r{t}", task_id=request.task.id, kind="route", policy="p",
                chosen=(agent,), propensity=choice.propensity, seed=seed,
            )  # fmt: skip
            ledger.append(DecisionRecord(d, request, scores, choice.propensities))
            ledger.append(Outcome(decision_id=d.id, agent=agent, cost_usd=0.001, latency_s=0.1))
            said = float(np.clip(quality(topic, at) + rng.normal(0, 0.15), 0, 1))
            words = [("mallory", 1.0)] if attacked and at == BAD else []
            for name, score in [*words, (f"u{rng.integers(users)}", said)]:
                last = ledger.append(
                    Feedback(
                        id=f"{name}{t}", target="decision", target_id=d.id, agent=agent,
                        score=score, source=f"user:{name}",
                    )
                )  # fmt: skip
            if t % AT_ONCE == AT_ONCE - 1:
                last.wait(30)
                learner.fold()
        return regret, learner.counts["quota"]


def interval(x):
    return float(np.mean(x)), T_95 * float(np.std(x, ddof=1)) / len(x) ** 0.5


@pytest.mark.slow
async def test_one_source_that_praises_one_agent_is_bounded(tmp_path):
    arms = {
        "clean, no quota": {"users": 8, "attacked": False, "quota": None},
        "clean, quota": {"users": 8, "attacked": False, "quota": QUOTA},
        "clean, quota, two users": {"users": 2, "attacked": False, "quota": QUOTA},
        "praised, no quota": {"users": 8, "attacked": True, "quota": None},
        "praised, quota": {"users": 8, "attacked": True, "quota": QUOTA},
    }
    found = {}
    for name, arm in arms.items():
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        made = [await regret_of(folder, seed, **arm) for seed in range(SEEDS)]
        found[name] = np.array([regret for regret, _ in made])
        mean, half = interval(found[name])
        kept_out = np.mean([n for _, n in made])
        print(f"{name:<24} {mean:5.1f} ± {half:.1f}   kept out {kept_out:.1f}")
    clean, off, on = (found[n] for n in ("clean, no quota", "praised, no quota", "praised, quota"))
    gain, half = interval(off - on)
    assert gain - half > 0
    assert (on - clean).mean() < 0.6 * (off - clean).mean()
    assert found["clean, quota"].mean() <= 1.15 * clean.mean()
