"""Recorded choices are taken again from their rows: the same scores, draws and choices."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from agentroute import Orchestrator, Registry, Task
from agentroute.choosing.catalog import make_router
from agentroute.choosing.decide import decide
from agentroute.choosing.exploration import Epsilon
from agentroute.features.text import make_embedder
from agentroute.learning import Learner
from agentroute.ledger import Ledger
from agentroute.model.ids import keyed_rng

AT_ONCE, EXPLORATION = 50, Epsilon(0.1)


async def live(url, folder, most):
    """Choices while the router learns from how the earlier ones were judged."""
    registry, rng = Registry(), np.random.default_rng(6)
    for name in ("ann", "bob", "cy", "dee"):
        registry.agent(name=name, skills=["s"], description=f"{name} answers")(lambda call: "x")
    async with Orchestrator(
        registry, router="linucb", ledger=url, out=folder, state=folder / "state",
        embedder="hashing", exploration=EXPLORATION.epsilon,
    ) as orc:  # fmt: skip
        for start in range(0, most, AT_ONCE):
            asked = [
                Task(prompt=f"question {i % 7} of kind {i % 3}", skills=("s",))
                for i in range(start, start + AT_ONCE)
            ]
            made = await asyncio.gather(*(orc.decide(t) for t in asked))
            await asyncio.gather(*(orc.report(d.id, cost_usd=0.01, latency_s=0.1) for d in made))
            await asyncio.gather(
                *(orc.feedback(d.id, score=float(rng.random() < 0.5)) for d in made[:10])
            )


@pytest.mark.parametrize("most", [200, pytest.param(1_000, marks=pytest.mark.soak)])
async def test_choices_are_taken_again_from_their_rows(tmp_path, most, faults):
    url = f"sqlite:///{tmp_path}/a.db"
    await live(url, tmp_path, most)
    with Ledger.open(url, read_only=True) as ledger:
        ids = [
            i for (i,) in ledger.query("SELECT id FROM decisions WHERE kind = 'route' ORDER BY seq")
        ]
        fresh = Learner(make_router("linucb"), ledger, embedder=make_embedder("hashing"))
        versions = set()
        for row in ids:
            record = ledger.record(row)
            d, request = record.decision, record.request
            fresh.fold(int(d.policy_version.rsplit("@", 1)[1]))
            assert fresh.version() == d.policy_version
            scores = await fresh.router.score(request)
            choice = decide(
                scores, k=1, exploration=EXPLORATION, abstain_at=2.0,
                rng=keyed_rng(d.seed, d.run_id, d.task_id, "route", d.attempt),
                explorable=request.candidates.explorable, canary=request.candidates.canary,
            )  # fmt: skip
            faults.injected += 1
            same = np.abs(scores.mean - record.scores.mean).max() <= 1e-9
            same &= [str(request.candidates.names[i]) for i in choice.positions] == list(d.chosen)
            same &= choice.propensity == d.propensity
            faults.corrupt += not same
            versions.add(d.policy_version)
    assert len(ids) == most and len(versions) >= most / AT_ONCE
