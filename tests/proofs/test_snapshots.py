"""A damaged snapshot never changes what is learned: it is set aside, said, and folded anew."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from agentroute import Orchestrator, Registry, Task
from agentroute.learning import fold


def opened(folder, state):
    registry = Registry()
    for name in ("ann", "bob", "cy"):
        registry.agent(name=name, skills=["s"], description=f"{name} answers")(lambda call: "x")
    return Orchestrator(
        registry, router="linucb", ledger=f"sqlite:///{folder}/a.db", out=folder,
        state=state, embedder="hashing",
    )  # fmt: skip


async def opinion(folder, state):
    """What the router believes after opening: its version and its scores, bit for bit."""
    async with opened(folder, state) as orc:
        found = await orc.route("question 3", skills=["s"])
        return found.policy_version, found.model_dump_json(exclude={"decision_us", "at"})


def damages(home, stem, rng, most):
    """One flipped bit or a cut at a random place of either file: (path, its bytes then)."""
    for n in range(most):
        path = home / f"{stem}.{('npz', 'json')[n % 2]}"
        data = bytearray(path.read_bytes())
        place = int(rng.integers(len(data)))
        if n % 8 < 6:
            data[place] ^= 1 << int(rng.integers(8))
        else:
            del data[place:]
        yield path, bytes(data)


@pytest.mark.parametrize("most", [10, pytest.param(400, marks=pytest.mark.soak)])
async def test_a_damaged_snapshot_changes_nothing_that_is_learned(
    tmp_path, monkeypatch, caplog, most, faults
):
    monkeypatch.setattr(fold, "WORTH_SAVING", 1)
    state, rng = tmp_path / "state", np.random.default_rng(4)
    async with opened(tmp_path, state) as orc:
        for i in range(12):
            made = await orc.decide(Task(prompt=f"question {i % 5}", skills=("s",)))
            await orc.report(made.id, cost_usd=0.01, latency_s=0.1)
            await orc.feedback(made.id, score=float(rng.random() < 0.5))
    (home,) = (p.parent for p in state.rglob("current.json"))
    (stem,) = {p.stem for p in home.glob("v*.json")}
    monkeypatch.setattr(fold, "WORTH_SAVING", 10_000)  # the damaged one stays the newest
    whole = await opinion(tmp_path, tmp_path / "none")
    assert whole == await opinion(tmp_path, state) and not caplog.records
    for path, bad in damages(home, stem, rng, most):
        good = path.read_bytes()
        path.write_bytes(bad)
        caplog.clear()
        faults.injected += 1
        faults.lost += await opinion(tmp_path, state) != whole
        faults.undetected += not any(r.levelno >= logging.WARNING for r in caplog.records)
        path.write_bytes(good)
