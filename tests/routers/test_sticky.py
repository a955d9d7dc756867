"""Affinity: a session stays with the agent that served it, within a margin, and no further."""

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from agentroute import Objective, Orchestrator, Registry, Task
from agentroute.choosing.catalog import known_routers, make_policy
from agentroute.cli.app import app
from agentroute.errors import ConfigError, RouterStateError
from agentroute.learning.fold import observations
from agentroute.ledger import Ledger
from agentroute.model.runs import Labels
from agentroute.routers.sticky.bonds import Bonds
from agentroute.routers.sticky.placing import placed
from agentroute.routers.sticky.router import Sticky
from agentroute.testing.routers import RULES, check_router
from tests.routers import tools as t

# By its name where the installation knows it; a checkout that was not installed again does not.
NAME = "sticky" if "sticky" in known_routers() else "agentroute.routers.sticky.router:Sticky"
SECRET = "sk-abcdefghij0123456789abcd"  # would be redacted in a row
ROUTER = {"name": NAME, "inner": "fixed_best", "key": "session", "margin": 0.05}


@pytest.mark.parametrize("inner", ["uniform", "fixed_best", "linucb"])
def test_it_conforms_over_any_inner_router(inner):
    assert len(check_router(lambda: Sticky(inner=inner))) == len(RULES)


def test_it_conforms_over_another_sticky_router():
    of_user = {"name": "agentroute.routers.sticky.router:Sticky", "key": "user", "inner": "uniform"}
    if NAME == "sticky":
        of_user["name"] = NAME
        assert len(check_router(lambda: Sticky(inner=of_user))) == len(RULES)
    else:
        with pytest.raises(ConfigError, match="names code"):
            Sticky(inner=of_user)


def test_what_cannot_be_kept_by_is_refused():
    with pytest.raises(ConfigError, match="key of a sticky router is 'run'"):
        Sticky(key="run")
    for margin in (-0.1, 1.5, True, "much", float("nan")):
        with pytest.raises(ConfigError, match="margin is"):
            Sticky(margin=margin)
    with pytest.raises(ConfigError, match="unknown router"):
        Sticky(inner="nothing-of-that-name")
    with pytest.raises(RouterStateError, match="keeps by session, not by user"):
        Sticky(key="user").load_state_dict(Sticky().state_dict())


def test_the_margin_of_the_spec_reaches_it():
    policy = make_policy(ROUTER, trusted=True)
    assert (policy.router.margin, policy.margin) == (0.05, 0.05)
    assert make_policy({"name": NAME}, trusted=True).router.margin == 0.02


# -- through the front door ------------------------------------------------------------------------


def registry(prior, failing=(), **card):
    made = Registry()

    def agent(name):
        def act(call):
            if name in failing:
                raise RuntimeError("down")
            return f"{name} did it"

        text = f"Refunds orders, {name}."
        about = {"skills": ["refunds"], "name": name, "description": text, **card}
        made.agent(**about, prior_quality=prior[name])(act)

    for name in prior:
        agent(name)
    return made


def opened(folder, agents, **more):
    given = {"router": ROUTER, "exploration": 0.0, "objective": Objective(1.0, 0.0, 0.0), **more}
    return Orchestrator(
        agents, ledger=f"sqlite:///{folder}/a.db", out=folder / "out", state=folder / "state",
        **given,
    )  # fmt: skip


TASK = Task(prompt="Refund order 7", skills=("refunds",))


async def who(orc, task=TASK, **labels):
    run = await orc.run(task, **labels)
    return next(d.chosen[0] for d in run.decisions if d.kind == "route")


async def test_a_session_stays_within_the_margin_and_another_is_not_bound(tmp_path):
    async with opened(tmp_path, registry({"good": 0.80, "near": 0.78})) as orc:
        pinned = TASK.model_copy(update={"agent": "near"})
        assert await who(orc, pinned, session="s1") == "near"
        assert [await who(orc, session="s1") for _ in range(3)] == ["near"] * 3
        assert await who(orc, session="s2") == "good"
        assert await who(orc) == await who(orc, user="s1") == "good"
        assert await who(orc, session="s1") == "near"
        other = TASK.model_copy(update={"features": {"topic": "law"}})
        assert await who(orc, other, session="s1") == "good"  # another kind of task


async def test_a_rival_better_by_more_than_the_margin_wins(tmp_path):
    async with opened(tmp_path, registry({"good": 0.80, "far": 0.74})) as orc:
        assert await who(orc, TASK.model_copy(update={"agent": "far"}), session="s1") == "far"
        assert await who(orc, session="s1") == "good"
        assert await who(orc, session="s1") == "good"


async def test_who_failed_or_was_judged_badly_is_no_longer_kept(tmp_path):
    card = {"limits": {"max_attempts": 1}}
    agents = registry({"good": 0.80, "near": 0.79, "broken": 0.785}, {"broken"}, **card)
    async with opened(tmp_path, agents) as orc:
        await orc.run(TASK.model_copy(update={"agent": "near"}), session="s1")
        first = await orc.run(TASK, session="s1", run_id="kept")
        assert first.decisions[-1].chosen == ("near",)
        await orc.run(TASK.model_copy(update={"agent": "broken"}), session="s2")
        assert await who(orc, session="s2") == "good"
        await orc.feedback("kept", score=0.0)
        assert await who(orc, session="s1") == "good"


async def test_one_whose_breaker_is_open_is_not_kept(tmp_path):
    card, down = {"limits": {"max_attempts": 1, "cooldown_failures": 1}}, set()
    async with opened(tmp_path, registry({"good": 0.80, "near": 0.78}, down, **card)) as orc:
        pinned = TASK.model_copy(update={"agent": "near"})
        assert await who(orc, pinned, session="s1") == "near"
        down.add("near")
        await orc.run(pinned, session="s2")
        run = await orc.run(TASK, session="s1")
        (decision,) = [d for d in run.decisions if d.kind == "route"]
        assert decision.chosen == ("good",)
        assert "circuit breaker is open" in orc.ledger.record(decision.id).reasons


async def test_replay_takes_every_decision_again_and_explain_shows_the_term(tmp_path, monkeypatch):
    async with opened(tmp_path, registry({"good": 0.80, "near": 0.78}), exploration=0.2) as orc:
        await orc.run(TASK.model_copy(update={"agent": "near"}), session="s0", user="ada")
        for i in range(30):
            run = await orc.run(TASK, session=f"s{i % 3}", user="ada", seed=i, run_id=f"r{i}")
            await orc.feedback(run.run_id, score=0.7 + 0.1 * (i % 3))
    words = f"{{name: '{NAME}', inner: fixed_best, key: session, margin: 0.05}}"
    (tmp_path / "agentroute.yaml").write_text(f"router: {words}\n")
    monkeypatch.chdir(tmp_path)
    db = ["--db", f"sqlite:///{tmp_path}/a.db"]
    replayed = await asyncio.to_thread(CliRunner().invoke, app, ["replay", *db, "--json"])
    assert replayed.exit_code == 0, replayed.output
    assert json.loads(replayed.stdout)["agreed"] == 30
    said = await asyncio.to_thread(CliRunner().invoke, app, ["explain", "r29", *db])
    assert said.exit_code == 0, said.output
    assert "that it serves this session or user" in said.output
    assert "session kept with" in said.output


async def test_the_row_has_the_keys_and_the_term_and_both_are_learned_again_bit_equal(tmp_path):
    async with opened(tmp_path, registry({"good": 0.80, "near": 0.78})) as orc:
        for i in range(6):
            await orc.run(TASK, session=f"s{i % 2}", user=SECRET, run_id=f"r{i}")
        await orc.run(TASK, run_id="bare")
        live = orc._session.policies.get(ROUTER, trusted=True).router.state_dict()
    with Ledger.open(f"sqlite:///{tmp_path}/a.db") as ledger:
        assert "keys" not in json.dumps([n.data for n in ledger.notes("bare")])
        runs = [*(f"r{i}" for i in range(6)), "bare"]
        made = [d for run_id in runs for d in ledger.decisions(run_id) if d.kind == "route"]
        records = [ledger.record(d.id) for d in made]
        again = Sticky(inner="fixed_best", margin=0.05)
        for o in observations(ledger):
            again.update(o)
    keyed = [r for r in records if r.request.keys]
    assert len(keyed) == 6 and set(keyed[0].request.keys) == {"session", "user"}
    assert keyed[0].request.keys == Labels(session="s0", user=SECRET).keys
    for r in keyed:
        total = sum(r.scores.terms.values())
        np.testing.assert_allclose(total, r.scores.mean, atol=1e-12)
    assert keyed[2].scores.terms["stability"].max() == pytest.approx(0.05)
    bare = next(r for r in records if r.decision.run_id == "bare")
    assert not bare.request.keys and "stability" not in bare.scores.terms
    assert (live.kind, live.meta) == (again.state_dict().kind, again.state_dict().meta)
    assert len(live.meta["bonds"]) == 2


async def test_one_who_makes_the_call_himself_keeps_a_session_too(tmp_path):
    async with opened(tmp_path, registry({"good": 0.80, "near": 0.78})) as orc:
        pinned = await orc.decide(TASK.model_copy(update={"agent": "near"}), session="s1")
        await orc.report(pinned.id)
        for session, agent in (("s1", "near"), ("s2", "good")):
            decision = await orc.decide(TASK, session=session)
            await orc.report(decision.id)
            assert decision.chosen == (agent,)


async def test_a_run_that_is_resumed_keeps_its_key(tmp_path):
    card = {"requires_approval": True}
    async with opened(tmp_path, registry({"good": 0.80, "near": 0.78}, **card)) as orc:
        waits = await orc.run(TASK, session="s1", run_id="w")
        assert waits.status == "waiting"
        done = await orc.run(None, resume="w", answers=dict.fromkeys(waits.waiting, False))
        keys = [orc.ledger.record(d.id).request.keys for d in done.decisions if d.kind == "route"]
        assert len(keys) > 1 and all(k == Labels(session="s1").keys for k in keys)


async def test_new_sessions_are_spread_over_replicas_and_stay(tmp_path):
    names = [f"copy{i}" for i in range(3)]
    agents = registry(dict.fromkeys(names, 0.8), description="Refunds orders.")
    async with opened(tmp_path, agents) as orc:
        first = {s: await who(orc, session=s) for s in map(str, range(12))}
        assert len(set(first.values())) > 1
        assert {s: await who(orc, session=s) for s in first} == first


# -- who is kept, in small -------------------------------------------------------------------------


def keyed(cards, key="anna", **fields):
    return replace(t.request(t.candidates(cards, **fields)), keys={"session": key} if key else {})


def bound(cards, agent="a1", **params):
    router = Sticky(inner="uniform", margin=0.1, **params)
    router.update(t.observe(1, keyed(cards), agent, cost_usd=0.0, latency_s=0.1))
    return router


def distinct(n):
    return t.cardset(n, descriptions=[f"does {i}" for i in range(n)])


def test_one_that_is_full_or_not_there_is_not_kept():
    cards = distinct(3)
    router = bound(cards)
    assert t.score(router, keyed(cards)).mean.tolist() == [0.5, 0.6, 0.5]
    assert t.score(router, keyed(cards, "bert")).mean.tolist() == [0.5] * 3
    assert "stability" not in t.score(router, keyed(cards, "")).terms
    busy, waiting = np.array([0.0, 1.0, 0.0]), np.array([0.0, 4.0, 0.0])
    assert t.score(router, keyed(cards, load=busy)).mean.tolist() == [0.5] * 3
    assert t.score(router, keyed(cards, inflight=waiting)).mean.tolist() == [0.5] * 3
    rest = keyed(cards)
    rest = replace(rest, candidates=rest.candidates.take(np.array([0, 2])))
    assert t.score(router, rest).mean.tolist() == [0.5, 0.5]


def test_words_about_a_call_bind_nobody_and_bad_ones_release():
    cards = distinct(3)
    router = bound(cards)
    router.update(t.observe(2, keyed(cards), "a0", 0.9))  # about some earlier call
    assert router.bonds.of("anna", keyed(cards).task) == ("a1",)
    router.update(t.observe(3, keyed(cards), "a1", 0.2))
    assert router.bonds.of("anna", keyed(cards).task) == ()


def test_a_shadow_binds_nobody_and_a_team_all_of_its_members():
    cards = distinct(3)
    r = keyed(cards)
    some = replace(r, candidates=r.candidates.take(np.array([0, 2])))
    router = Sticky(inner="uniform")
    router.update(t.observe(1, some, "a1", cost_usd=0.0))
    assert router.bonds.of("anna", r.task) == ()
    for agent in ("a0", "a2"):
        router.update(replace(t.observe(2, some, agent, cost_usd=0.0), decision_id="team"))
    assert router.bonds.of("anna", r.task) == ("a0", "a2")


def test_the_oldest_bonds_are_dropped_and_the_order_is_saved():
    bonds, task = Bonds(most=2), Task(prompt="x")
    for key in ("anna", "bert", "anna", "carl"):
        bonds.serve(key, task, f"d-{key}", "a")
    again = Bonds(most=2)
    again.load(json.loads(json.dumps(bonds.meta())))
    for b in (bonds, again):
        assert [bool(b.of(k, task)) for k in ("anna", "bert", "carl")] == [True, False, True]
    again.serve("dora", task, "d", "a")
    assert again.of("anna", task) == ()


@settings(max_examples=60, deadline=None)
@given(
    means=st.lists(st.floats(0, 1), min_size=2, max_size=6),
    margin=st.floats(0.001, 0.5),
    at=st.integers(0, 5),
)
def test_the_kept_one_is_best_unless_a_rival_is_better_by_more_than_the_margin(means, margin, at):
    """Also near 0 and 1: nothing is cut off in a way that would bring the kept one level."""
    from agentroute.routers.sticky.router import stability

    mean, at = np.array(means), at % len(means)
    added = np.zeros(len(mean))
    added[at] = margin
    steady = mean + stability(mean, added)
    assert (steady >= 0).all() and (steady <= 1 + 1e-12).all()
    rival = np.delete(mean, at).max()
    if rival - mean[at] < margin - 1e-6:
        assert steady[at] > np.delete(steady, at).max()
    if rival - mean[at] > margin + 1e-6:
        assert steady[at] < np.delete(steady, at).max()


# -- rendezvous ------------------------------------------------------------------------------------

KEYS = [f"key{i}" for i in range(400)]


def homes(names):
    """Of each key, the replica that it is placed on."""
    c = t.candidates(t.cardset(len(names), names=list(names)))
    out = {}
    for key in KEYS:
        (at,) = np.flatnonzero(placed(key, c, np.ones(len(names), bool)))
        out[key] = str(names[at])
    return out


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_a_replica_that_comes_or_goes_moves_its_own_keys_alone(n, seed, rng):
    names = [f"r{seed}-{i}" for i in range(n + 1)]
    wide, gone = homes(names), rng.randrange(n + 1)
    rest = names[:gone] + names[gone + 1 :]
    rng.shuffle(rest)
    narrow = homes(rest)
    moved = [k for k in KEYS if wide[k] != narrow[k]]
    assert all(wide[k] == names[gone] for k in moved)  # and so all who were elsewhere stayed
    share = 1 / (n + 1)
    assert abs(len(moved) / len(KEYS) - share) < 5 * (share * (1 - share) / len(KEYS)) ** 0.5


def test_only_replicas_are_placed_and_only_those_that_can_be_used():
    cards = t.cardset(4, descriptions=["does it", "does it", "does it", "does another thing"])
    c = t.candidates(cards)
    for key in KEYS[:50]:
        here = placed(key, c, np.ones(4, bool))
        assert here.sum() == 1 and not here[3]
        usable = ~here
        (next_one,) = np.flatnonzero(placed(key, c, usable))
        assert next_one != 3 and usable[next_one]
    assert not placed("k", c, np.array([True, False, False, True])).any()


def test_a_new_key_gets_half_of_the_margin_on_its_replica_until_it_was_served():
    cards = t.cardset(3)
    router = Sticky(inner="uniform", margin=0.1)
    first = t.score(router, keyed(cards))
    assert sorted(first.mean.tolist()) == [0.5, 0.5, 0.55]
    assert first.reason.endswith("session placed among replicas")
    other = int((first.mean.argmax() + 1) % 3)
    router.update(t.observe(1, keyed(cards), f"a{other}", cost_usd=0.0))
    assert t.score(router, keyed(cards)).mean[other] == 0.6
