"""Items given out together to few agents: the rare ones are left out, each process starts once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from agentroute import Registry
from agentroute.choosing.matching import NOBODY, Places, matched, trimmed
from agentroute.cli.app import app
from tests.execution.test_assign import TEXT, Shop, Table, opened, plan, routes

FREQUENT = [{"a": 0.9, "b": 0.6, "c": 0.1}] * 12 + [{"a": 0.2, "b": 0.9, "c": 0.1}] * 7
RARE = [{"a": 0.3, "b": 0.5, "c": 0.9}]
TRIMMED = TEXT.replace("assign: true", "assign: {wait: 0, least: 0.1}")


@pytest.mark.checklist("SM5")
@pytest.mark.parametrize(("text", "rare"), [(TEXT, {"c": 1}), (TRIMMED, {})])
async def test_an_agent_with_a_small_share_of_the_items_gets_none(tmp_path, text, rare):
    text = text.replace("assign: true", "assign: {wait: 0}")
    shop = Shop({"a": 9, "b": 9, "c": 9})
    async with opened(shop, Table(FREQUENT + RARE), tmp_path, exploration=0.0) as orc:
        run = await orc.run(plan(20, text))
        odd = next(d for d in routes(run) if d.task_id == "ask[19]")
        kept = orc.ledger.record(odd.id).context["assign"]
    got = Counter(d.chosen[0] for d in routes(run))
    assert got == {"a": 12, "b": 8 - len(rare), **rare}
    assert odd.chosen == (("c",) if rare else ("b",))
    assert kept["least"] == (0.0 if rare else 0.1)
    assert ("alone it would have gone to c" in odd.reason) == (not rare)


@pytest.mark.checklist("SM5")
async def test_who_is_left_out_can_still_be_drawn(tmp_path):
    shop, drawn = Shop({"a": 9, "b": 9, "c": 9}), Counter()
    async with opened(shop, Table(FREQUENT + RARE), tmp_path, exploration=0.3, seed=1) as orc:
        run = await orc.run(plan(20, TRIMMED))
        records = [orc.ledger.record(d.id) for d in routes(run)]
    for r in records:
        assert r.propensities.sum() == pytest.approx(1.0)
        assert r.propensities.min() == pytest.approx(0.1)  # 0.3 over three agents
        drawn[r.decision.chosen[0]] += r.context["assign"]["drawn"]
    assert drawn["c"] == sum(r.decision.chosen == ("c",) for r in records) > 0


def test_a_replay_deals_the_trimmed_batch_alike(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def go():
        shop = Shop({"a": 9, "b": 9, "c": 9})
        async with opened(shop, "linucb", tmp_path, exploration=0.3) as orc:
            await orc.run(plan(20, TRIMMED))

    asyncio.run(go())
    url = f"sqlite:///{tmp_path}/l.db"
    (tmp_path / "agentroute.yaml").write_text(f"db: {url}\nembedder: hashing\n")
    done = CliRunner().invoke(app, ["replay", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["agreed"] == found["decisions"] == 20 and not found["changed"]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9_999), n=st.integers(1, 12), m=st.integers(1, 5))
def test_nobody_rare_is_left_who_could_be_replaced_and_no_item_is_lost(seed, n, m):
    rng = np.random.default_rng(seed)
    u = np.where(rng.random((n, m)) < 0.3, -np.inf, rng.random((n, m)))
    places = Places(np.full(m, 2), np.zeros(m, np.int64), np.full(m, np.inf), 0.05)
    plain, to = matched(u, places), trimmed(u, places, 0.3)
    assert ((to == NOBODY) == (plain == NOBODY)).all()
    load = np.bincount(to[to != NOBODY], minlength=m)
    for a in np.flatnonzero((load > 0) & (load < 0.3 * n)):
        only = u.copy()
        only[:, [b for b in range(m) if b == a or not load[b]]] = -np.inf
        assert (only[to == a] == -np.inf).all(axis=1).any()  # one of its items has nobody else
    assert (trimmed(u, places, 0.0) == plain).all()


WORKER = """
import os


def agent(call):
    return {"text": str(os.getpid())}
"""


@pytest.mark.checklist("SM7")
def test_each_agent_of_a_batch_is_started_once(tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "work.py").write_text(WORKER)
    for name in ("a", "b", "c"):
        (tmp_path / "agents" / f"{name}.yaml").write_text(
            f"name: {name}\ndescription: does {name}\nskills: [{{id: s, description: s}}]\n"
            "entrypoint: work.py:agent\nlimits: {max_concurrency: 1}\n"
        )
    table = [{"a": 0.9, "b": 0.1, "c": 0.1}, {"a": 0.1, "b": 0.9, "c": 0.1},
             {"a": 0.1, "b": 0.1, "c": 0.9}]  # fmt: skip

    async def go():
        shop = Shop({})
        shop.registry = Registry.from_folder(tmp_path / "agents")
        async with opened(shop, Table(table), tmp_path, exploration=0.0) as orc:
            return await orc.run(plan(12))

    run = asyncio.run(go())
    assert run.status == "completed", run.degraded
    started = {(r.agent, r.text) for r in run.results.values()}
    assert len(run.results) == 12 and len(started) == len({d.chosen for d in routes(run)}) == 3
