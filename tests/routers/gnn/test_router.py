import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentroute import Orchestrator, Registry
from agentroute.choosing.state import StateDict
from agentroute.errors import NotFittedError, RouterStateError
from agentroute.features.text import HashingEncoder
from agentroute.learning.state import StateStore
from agentroute.model.objective import Objective
from agentroute.model.outcomes import Observation
from agentroute.model.tasks import Task
from agentroute.routers.gnn import GNNRouter
from agentroute.testing.routers import check_router
from tests.routers import tools as t
from tests.routers.gnn.samples import EMBEDDER, TOPICS, card, cardset, examples, request

SMALL = {"hidden": 8, "epochs": 3}


@pytest.fixture(scope="module")
def fitted():
    router = GNNRouter(EMBEDDER, config={"hidden": 16, "epochs": 12})
    router.fit(examples(160), seed=0)
    return router


def again(router):
    copy = GNNRouter(EMBEDDER)
    copy.load_state_dict(router.state_dict())
    return copy


class Remembering(GNNRouter):
    """Trains once on the same examples; that training repeats bit for bit has a test of its own."""

    seen = {}

    def fit(self, examples, *, seed=0, progress=None):
        key = (examples.sha256(), seed)
        if key not in self.seen:
            super().fit(examples, seed=seed)
            self.seen[key] = self.state_dict()
        self.load_state_dict(self.seen[key])


def test_keeps_the_contract_of_routers():
    check_router(lambda: Remembering(HashingEncoder(64), config=SMALL))


def asking(topic, **kw):
    return Task(prompt=f"Explain the {topic} of Acme Corp in short words. Case 7.", **kw)


async def test_chooses_the_agent_of_the_topic(fitted):
    for i, topic in enumerate(TOPICS):
        s = await fitted.score(request(asking(topic), cardset()))
        assert s.mean.argmax() == i
        assert topic in s.reason


@pytest.mark.checklist("AR10")
async def test_the_row_of_a_choice_lists_the_entities_and_edges_behind_it(fitted, tmp_path):
    agents = Registry()
    for topic in TOPICS:
        agents.add(card(topic), lambda call: "done")
    async with Orchestrator(
        agents, router=again(fitted), embedder=EMBEDDER, ledger=f"sqlite:///{tmp_path}/a.db",
        out=tmp_path, state=tmp_path / "state", exploration=0.0,
    ) as orc:  # fmt: skip
        run = await orc.run(asking("molecule"))
        (row,) = [d for d in run.decisions if d.kind == "route"]
        kept = orc.ledger.decision(row.id)
    assert kept.chosen == ("molecule agent",)
    assert kept.reason.startswith("graph: molecule agent by ")
    first = fitted.explain(request(asking("molecule"), cardset()), "molecule agent")[0]
    assert f"{first.entity} {first.amount:+.3f} ({', '.join(first.edges)})" in kept.reason
    assert set(first.edges) == {"history_of", "covered_by"}


@pytest.mark.checklist("AR2")
async def test_a_choice_has_one_distribution_over_all_registered_agents_in_any_order(
    fitted, tmp_path
):
    StateStore(tmp_path / "state").save("g", fitted.state_dict())
    spec, shares = {"name": "gnn", "state": "g", "exploration": "proportional"}, []
    for n, order in enumerate([TOPICS, TOPICS[::-1], TOPICS[2:] + TOPICS[:2]]):
        agents = Registry()
        for topic in order:
            agents.add(card(topic), lambda call: "done")
        async with Orchestrator(
            agents, router=spec, embedder=EMBEDDER, ledger=f"sqlite:///{tmp_path}/{n}.db",
            out=tmp_path, state=tmp_path / "state",
        ) as orc:  # fmt: skip
            found = await orc.route(asking("molecule"))
        shares.append({r.agent: r.propensity for r in found.ranked})
    assert shares[0].keys() == {f"{topic} agent" for topic in TOPICS}
    assert min(shares[0].values()) > 0 and sum(shares[0].values()) == pytest.approx(1, abs=1e-6)
    for other in shares[1:]:
        assert other == pytest.approx(shares[0], abs=1e-5)


@pytest.mark.checklist("AR2")
@given(order=st.permutations(range(len(TOPICS))), topic=st.sampled_from(TOPICS))
@settings(max_examples=20)
def test_scores_follow_the_agents_in_any_order(fitted, order, topic):
    mean = t.score(fitted, request(asking(topic), cardset())).mean
    turned = request(asking(topic), cardset([TOPICS[i] for i in order]))
    np.testing.assert_allclose(t.score(fitted, turned).mean, mean[list(order)], atol=1e-5)


@pytest.mark.checklist("AR6", simulated=True)
async def test_a_new_agent_is_scored_without_retraining(fitted):
    cards = cardset(extra=[card("galaxy", "second galaxy agent")])
    q = (await fitted.score(request(asking("galaxy"), cards))).mean
    assert q.shape == (5,)
    assert q[4] > max(q[0], q[1], q[3])  # below the proven one at most, above those off topic
    r = (await fitted.score(request(asking("invoice"), cards))).mean
    assert r.argmax() == 0
    assert r[4] < q[4]


@pytest.mark.checklist("AR6", simulated=True)
async def test_a_removed_agent_is_not_there_to_be_chosen(fitted):
    cards = cardset([t for t in TOPICS if t != "galaxy"])
    s = await fitted.score(request(asking("galaxy"), cards))
    assert s.mean.shape == (3,)
    assert "galaxy agent" not in [str(n) for n in cards.names]
    both = await fitted.score(request(asking("invoice"), cardset(), rows=[2, 0]))
    assert both.mean.argmax() == 1  # a screened set keeps the rows of its agents


async def test_a_new_card_with_a_better_prior_is_expected_to_be_better(fitted):
    modest, proud = card("poem"), card("poem").model_copy(update={"prior_quality": 0.9})
    low = await fitted.score(request(asking("poem"), cardset(extra=[modest])))
    high = await fitted.score(request(asking("poem"), cardset(extra=[proud])))
    assert high.mean[4] - low.mean[4] == pytest.approx(0.4, abs=0.01)


async def test_the_graph_is_behind_the_score_and_is_named(fitted):
    r = request(asking("galaxy"), cardset())
    found = fitted.explain(r, "galaxy agent")
    assert any("galaxy" in i.entity for i in found)
    assert [abs(i.amount) for i in found] == sorted((abs(i.amount) for i in found), reverse=True)
    s = await fitted.score(r)
    assert {"expected", "profile", "graph", "history", "card", "feedback"} <= s.terms.keys()


async def test_objective_weights_change_the_mean_with_no_refit(fitted):
    r = request(asking("galaxy"), cardset())
    half = replace(r, objective=Objective(1.0, 1.0, 0.0))
    q, u = (await fitted.score(r)).mean, (await fitted.score(half)).mean
    np.testing.assert_allclose(u, 0.5 * q + 0.25, atol=1e-9)  # unknown cost is neutral


async def test_feedback_moves_one_agent_and_survives_saving(fitted):
    router = again(fitted)
    r = request(asking("galaxy"), cardset())
    before = (await router.score(r)).mean
    for seq in range(1, 26):
        router.update(Observation(seq, f"d{seq}", r, "galaxy agent", quality=0.0))
    after = await router.score(r)
    f = before[2]
    assert after.terms["feedback"][2] == pytest.approx(-25 * f / 75, abs=1e-6)
    np.testing.assert_allclose(np.delete(after.mean, 2), np.delete(before, 2))
    np.testing.assert_array_equal((await again(router).score(r)).mean, after.mean)


async def test_unfitted_is_an_error_with_a_hint():
    with pytest.raises(NotFittedError) as e:
        await GNNRouter(EMBEDDER).score(request(asking("galaxy"), cardset()))
    assert "train gnn" in e.value.hint


def test_refuses_state_that_does_not_fit(fitted):
    state = fitted.state_dict()
    broken = {k: v for k, v in state.arrays.items() if k != "profile"}
    short = state.arrays | {"graph/history": state.arrays["graph/history"][:-1]}
    other = GNNRouter(EMBEDDER)
    for bad in (
        StateDict("linucb", 1, state.meta, state.arrays),
        StateDict("gnn", 99, state.meta, state.arrays),
        StateDict("gnn", 1, state.meta, broken),
        StateDict("gnn", 1, state.meta, short),
    ):
        with pytest.raises(RouterStateError):
            other.load_state_dict(bad)
    assert other.fitted is None


def test_importing_the_router_loads_neither_torch_nor_networkx():
    code = (
        "import sys, agentroute.routers.gnn as g; g.GNNRouter();"
        "assert not {'torch', 'torch_geometric', 'networkx'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_serving_saved_state_loads_no_torch(fitted, tmp_path):
    state = fitted.state_dict()
    np.savez(tmp_path / "w.npz", **state.arrays)
    (tmp_path / "m.json").write_text(__import__("json").dumps(state.meta))
    code = f"""
import asyncio, json, sys, numpy as np
sys.path.insert(0, {str(tmp_path.parent)!r})
from agentroute import Orchestrator, Registry
from agentroute.choosing.state import StateDict
from agentroute.routers.gnn import GNNRouter
from tests.routers import tools as t
from tests.routers.gnn.samples import TOPICS, cardset, request, Task
r = GNNRouter()
arrays = dict(np.load({str(tmp_path / "w.npz")!r}))
r.load_state_dict(StateDict("gnn", 1, json.load(open({str(tmp_path / "m.json")!r})), arrays))
s = asyncio.run(r.score(request(Task(prompt="Explain the galaxy of Acme Corp."), cardset())))
assert s.mean.argmax() == 2
assert not {{"torch", "torch_geometric"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


async def test_survives_the_store_of_learned_state(fitted, tmp_path):
    store = StateStore(tmp_path)
    store.save("gnn", fitted.state_dict())
    copy = GNNRouter(EMBEDDER)
    copy.load_state_dict(store.load("gnn").state)
    r = request(asking("galaxy"), cardset())
    np.testing.assert_array_equal((await copy.score(r)).mean, (await fitted.score(r)).mean)


async def test_a_new_agent_is_scored_with_the_trust_in_new_agents(fitted):
    """Without any, nothing but its card speaks for it; the proven ones keep their scores."""
    r = request(asking("galaxy"), cardset(extra=[card("galaxy", "second galaxy agent")]))
    state = fitted.state_dict()
    about = state.meta["fitted"]
    about = {**about, "trust": [about["trust"][0], 0.0]}
    none = StateDict(state.kind, state.version, {**state.meta, "fitted": about}, state.arrays)
    other = GNNRouter(EMBEDDER)
    other.load_state_dict(none)
    before, after = (await fitted.score(r)).mean, (await other.score(r)).mean
    assert abs(before[4] - after[4]) > 0.01
    np.testing.assert_allclose(before[:4], after[:4])
