"""The colony: trails, intents, the proportional rule, the router."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentroute.choosing.catalog import make_router
from agentroute.errors import ConfigError
from agentroute.features.text import make_embedder
from agentroute.model.candidates import Candidates, Request
from agentroute.model.cards import CapabilityCard
from agentroute.model.outcomes import Observation
from agentroute.model.tasks import Task
from agentroute.registry.cardset import build_cardset
from agentroute.routers.pheromone.colony import (
    pick,
    proportional,
    stagnation,
    top_paths,
)
from agentroute.routers.pheromone.intent import GENERAL, Intent
from agentroute.routers.pheromone.router import PheromoneRouter
from agentroute.routers.pheromone.trails import Trails
from agentroute.testing.routers import check_router
from tests.routers import tools as t

EMBEDDER = make_embedder()
NAMES = ("a", "b", "c", "d")


def candidates(names=NAMES, **more) -> Candidates:
    cards = [CapabilityCard(name=n, description=f"agent {n}") for n in names]
    cs = build_cardset(cards, EMBEDDER)
    one = np.ones(len(cs))
    return t.candidates(cs, **{"latency_s": one, "cost_usd": 0.001 * one} | more)


POOL = candidates()


def request(kind="math", *, pool=POOL, stage=0, upstream=(), prompt="-") -> Request:
    features = {"kind": kind} if kind else {}
    x = EMBEDDER.encode([prompt])[0] if prompt != "-" else np.zeros(EMBEDDER.dim, np.float32)
    return Request(Task(prompt=prompt, features=features), x, pool, upstream=upstream, stage=stage)


def feed(router, rows):
    for r, agent, quality in rows:
        seq = router.folded + 1
        router.update(Observation(seq, f"d{seq}", r, agent, quality))
    return router


@pytest.mark.parametrize("seed", [0, 1])
def test_conforms(seed):
    check_router(PheromoneRouter, seed=seed)


# -- trails ---------------------------------------------------------------------------------------


class EagerTrails:
    """The same rule with every cell evaporated and clamped at every event."""

    def __init__(self, rho, eta, low, rows, slots):
        self.rho, self.eta, self.low = rho, eta, low
        self.tau, self.v = np.zeros((rows, slots)), np.zeros((rows, slots))

    def event(self, kind_rows, row, slot, q, w, gate):
        self.tau[kind_rows] *= 1 - self.rho * w
        walked = self.v > 0
        self.tau[walked] = np.clip(self.tau[walked], self.low, 1)
        mean = self.tau[row][walked[row]].mean() if walked[row].any() else 0.5
        tau = self.tau[row, slot] if walked[row, slot] else mean
        change = w * max(1 / (self.v[row, slot] + 2), self.eta) * (q - tau)
        self.tau[row, slot] = np.clip(tau + (change if gate else min(change, 0)), self.low, 1)
        self.v[row, slot] += w


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1e-9, 0.02]))
def test_lazy_evaporation_equals_eager(seed, low):
    """With a floor that is never met also the row means are equal; else the cells are."""
    rng = np.random.default_rng(seed)
    kinds, lazy = ["x", "y"], Trails(rho=0.05, eta=0.05, tau_min=low)
    rows = {(k, s): lazy.open_row(k, s) for k in kinds for s in ("", "i")}
    eager = EagerTrails(0.05, 0.05, low, 4, 5)
    for slot in range(5):  # walk all, so that no row mean of clamped cells comes in
        for row in rows.values():
            lazy.deposit(row, slot, 0.5, 1.0, gate=True)
            eager.event([], row, slot, 0.5, 1.0, True)
    for _ in range(300):
        kind, source = kinds[rng.integers(2)], ("", "i")[rng.integers(2)]
        slot, q, w = int(rng.integers(5)), float(rng.random()), float(rng.choice([0.3, 1.0]))
        gate = q > 0.2
        lazy.evaporate(kind, w)
        lazy.deposit(rows[kind, source], slot, q, w, gate=gate)
        eager.event(
            [r for (k, _), r in rows.items() if k == kind], rows[kind, source], slot, q, w, gate
        )
    for r in rows.values():
        np.testing.assert_allclose(lazy.read(r, np.arange(5))[0], eager.tau[r], atol=1e-12)


def test_rescaling_changes_nothing():
    trails = Trails(rho=0.5, tau_min=1e-300)
    row = trails.open_row("x", "")
    expected = 0.5
    for visits in range(800):  # 0.5^800 is far below 1e-100
        trails.evaporate("x")
        trails.deposit(row, 1, 0.8, 1.0, gate=True)
        expected *= 0.5 if visits else 1.0
        expected += max(1 / (visits + 2), trails.eta) * (0.8 - expected)
    assert trails.read(row, np.array([1]))[0][0] == pytest.approx(expected, rel=1e-12)
    assert trails.scale[0] > 1e-100
    assert trails.unwalked(row) == pytest.approx(expected, rel=1e-9)


@pytest.mark.checklist("AM3")
def test_specialists_are_isolated():
    router = feed(PheromoneRouter(), [(request("code"), "a", 0.7), (request("code"), "b", 0.1)])
    row = router.trails.row("kind=code", "0|")
    before = [x.copy() for x in router.trails.read(row, np.arange(5))]
    feed(router, [(request("math"), "a", 1.0)] * 500)
    for x, y in zip(before, router.trails.read(row, np.arange(5)), strict=True):
        assert np.array_equal(x, y)


@pytest.mark.checklist("AM7")
@given(st.lists(st.tuples(st.sampled_from(NAMES), st.floats(0, 1)), max_size=30),
       st.sampled_from(NAMES), st.floats(0, 0.49))  # fmt: skip
def test_a_rejected_result_never_adds_pheromone(history, agent, quality):
    router = PheromoneRouter(gate=0.5)
    feed(router, [(request(), "a", 0.6), *((request(), a, q) for a, q in history)])
    slots = np.arange(1, 5)
    rows = [router.trails.row("kind=math", s) for s in ("0|", "*")]
    before = [router.trails.read(r, slots)[0] for r in rows]
    feed(router, [(request(), agent, quality)])
    for r, old in zip(rows, before, strict=True):
        assert (router.trails.read(r, slots)[0] <= old + 1e-12).all()


def test_failures_repel_and_10k_of_them_leave_the_floor():
    router = feed(PheromoneRouter(), [(request(), "b", 0.9), *[(request(), "a", 0.0)] * 10_000])
    w = {"kind=math": 1.0}
    p = router.trace(t.score(router, request()).evidence).p
    tau, _ = router.fuse(w, ["0|"], router.index.rows(POOL))
    assert tau[0] == router.trails.tau_min and p.min() > 0


def test_a_new_agent_starts_at_the_mean_and_a_removed_one_is_masked():
    router = feed(PheromoneRouter(), [(request(), "a", 0.9), (request(), "b", 0.3)])
    w = {"kind=math": 1.0}
    wider = candidates((*NAMES, "new"))
    tau, visits = router.fuse(w, ["0|"], router.index.rows(wider))
    assert tau[4] == pytest.approx(tau[:2].mean(), rel=1e-6) and visits[4] == 0
    fewer = POOL.take(np.array([1, 3]))
    s = t.score(router, request(pool=fewer))
    assert len(s.mean) == 2 and s.mean[0] == t.score(router, request()).mean[1]


# -- intent ---------------------------------------------------------------------------------------

LABELLED = {
    "math": ["what is {} plus seven", "compute the square root of {}", "solve x squared equals {}"],
    "code": ["write a python function {}", "fix this {} stack trace", "refactor the {} class"],
    "travel": ["book a flight to {}", "hotels near {} for the weekend", "train times to {}"],
}
WORDS = ("nine", "paris", "sorting", "rome", "forty", "parser", "oslo", "twelve")


def texts(rng, m):
    kinds = list(LABELLED)
    for _ in range(m):
        k = kinds[rng.integers(3)]
        yield k, LABELLED[k][rng.integers(3)].format(WORDS[rng.integers(8)])


@pytest.mark.checklist("AM2")
def test_intent_is_a_mixture_fast_and_right_on_held_out_texts():
    rng, intent = np.random.default_rng(0), Intent()
    for kind, text in texts(rng, 60):
        intent.learn(Task(prompt=text, features={"kind": kind}), EMBEDDER.encode([text])[0])
    true, said, spent = [], [], []
    for kind, text in texts(rng, 150):
        task, start = Task(prompt=text), time.thread_time()
        x = EMBEDDER.encode([text])[0]
        w = intent.mixture(task, x)
        spent.append(time.thread_time() - start)
        assert sum(w.values()) == pytest.approx(1.0) and min(w.values()) >= 0
        true.append(f"kind={kind}")
        said.append(max(w, key=lambda k: w[k] if k != GENERAL else 0.0))
    assert np.mean([t == s for t, s in zip(true, said, strict=True)]) >= 0.95
    assert np.median(spent) < 0.005


def test_unknown_texts_found_kinds_up_to_the_limit():
    intent = Intent(max_kinds=2)
    for text in ("sum the numbers", "paint my house", "a third thing entirely"):
        intent.learn(Task(prompt=text), EMBEDDER.encode([text])[0])
    assert list(intent.index) == ["text:0", "text:1"]
    nothing = intent.mixture(Task(prompt="x"), np.zeros(EMBEDDER.dim, np.float32))
    assert nothing == {GENERAL: 1.0}


@pytest.mark.checklist("AM4")
def test_fusion_is_linear_and_exact_on_pure_intents():
    router = feed(
        PheromoneRouter(),
        [(request(k), a, q) for k, a, q in
         [("math", "a", 0.9), ("math", "b", 0.2), ("code", "a", 0.1), ("code", "b", 0.8)] * 5],
    )  # fmt: skip
    slots = router.index.rows(POOL)
    pure = {}
    for kind in ("kind=math", "kind=code"):
        tau, _ = router.fuse({kind: 1.0}, ["0|"], slots)
        assert np.array_equal(tau, router.trails.read(router.trails.row(kind, "0|"), slots)[0])
        pure[kind] = tau
    half, _ = router.fuse(dict.fromkeys(pure, 0.5), ["0|"], slots)
    np.testing.assert_allclose(half, (pure["kind=math"] + pure["kind=code"]) / 2, atol=1e-15)


# -- choice ---------------------------------------------------------------------------------------


@pytest.mark.checklist("AM5")
def test_draws_follow_the_proportional_rule():
    tau, eta = np.array([0.2, 0.5, 0.9, 0.05]), np.array([0.9, 0.4, 0.5, 0.7])
    p = proportional(tau, eta, alpha=1.0, beta=2.0)
    np.testing.assert_allclose(p, tau * eta**2 / (tau * eta**2).sum())
    np.testing.assert_allclose(proportional(tau, eta, alpha=0.0, beta=1.0), eta / eta.sum())
    np.testing.assert_allclose(proportional(tau, eta, alpha=1.0, beta=0.0), tau / tau.sum())
    rng = np.random.default_rng(7)
    n = 20_000
    counts = np.bincount([pick(p, rng) for _ in range(n)], minlength=4)
    chi2 = ((counts - n * p) ** 2 / (n * p)).sum()
    assert chi2 < 16.27  # 0.999 quantile, 3 degrees of freedom


@pytest.mark.checklist("AM6")
def test_load_steers_before_any_learning():
    router, r = PheromoneRouter(), request()
    busy = replace(r, candidates=candidates(load=np.array([1.0, 0, 0, 0])))
    more = replace(r, candidates=candidates(load=np.array([2.0, 0, 0, 0])))
    p = [router.trace(t.score(router, x).evidence).p for x in (r, busy, more)]
    assert p[0][0] > p[1][0] > p[2][0] and p[2][1] > p[0][1]
    assert t.score(router, busy).mean[0] < t.score(router, r).mean[0]


def step(stage, source, pool) -> Request:
    return request("k", pool=pool, stage=stage, upstream=(source,) if source else ())


def row_of(router, stages):
    """Stage and source -> p over that stage's agents, as a decision of a run would have it."""
    pools = [candidates(s) for s in stages]

    def row(stage, source):
        return router.trace(t.score(router, step(stage, source, pools[stage])).evidence).p

    return row


def walked(stages, row, rng):
    """One run through the stages: each agent drawn by the edges from the one before."""
    path = []
    for stage, agents in enumerate(stages):
        path.append(agents[pick(row(stage, path[-1] if path else ""), rng)])
    return path


def taught(router, path, quality):
    """The colony after a run: one outcome a stage."""
    for stage, agent in enumerate(path):
        r = step(stage, path[stage - 1] if stage else "", POOL)
        feed(router, [(r, agent, quality)])


@pytest.mark.checklist("AM1")
def test_a_thousand_runs_leave_trails_between_adjacent_stages_alone():
    router, rng = PheromoneRouter(), np.random.default_rng(1)
    stages = [("a", "b"), ("b", "c", "d"), ("a",), ("c", "d")]
    row = row_of(router, stages)
    for _ in range(1000):
        path = walked(stages, row, rng)
        assert len(path) == 4 and all(a in s for a, s in zip(path, stages, strict=True))
        taught(router, path, float(rng.random()))
    edges = {s for k, s in router.trails.rows if k == "kind=k" and s != "*"}
    layer = {f"{i}|{a}" for i, s in enumerate(stages[:-1], 1) for a in s}
    assert edges == layer | {"0|"}


def colony(router, quality, runs, rng, stages):
    row = row_of(router, stages)
    for _ in range(runs):
        path = walked(stages, row, rng)
        taught(router, path, quality(path))


def share_of_best(router, stages, best):
    return dict(top_paths(stages, row_of(router, stages), k=64)).get(tuple(best), 0.0)


SYNTHETIC = [("a", "b", "c", "d")] * 3


def reward_of(best, rng):
    """Each right agent adds a third, times the others: a run's quality, with noise."""
    return lambda path: float(
        np.clip(np.mean([x == y for x, y in zip(path, best, strict=True)]) ** 2
                + rng.normal(0, 0.02), 0, 1)
    )  # fmt: skip


def learner():
    return PheromoneRouter(alpha=4.0, beta=0.0, gate=0.05, eta=0.1, rho=0.02)


@pytest.mark.checklist("AM9", simulated=True)
@pytest.mark.parametrize("seed", range(5))
def test_the_best_path_wins(seed):
    rng, router, best = np.random.default_rng(seed), learner(), ("c", "a", "d")
    colony(router, reward_of(best, rng), 600, rng, SYNTHETIC)
    assert share_of_best(router, SYNTHETIC, best) > 0.8


@pytest.mark.checklist("AM10", simulated=True)
def test_forgets_within_600_runs_of_a_swap():
    rng, router = np.random.default_rng(0), PheromoneRouter(alpha=3.0, beta=0.0, eta=0.05)
    quality = {"a": 0.9, "b": 0.5, "c": 0.4, "d": 0.1}
    stages = [NAMES]
    colony(router, lambda p: quality[p[0]], 600, rng, stages)
    assert share_of_best(router, stages, "a") > 0.5
    quality |= {"a": 0.1, "d": 0.9}
    colony(router, lambda p: quality[p[0]], 600, rng, stages)
    assert share_of_best(router, stages, "d") > 0.5 > 5 * share_of_best(router, stages, "a")


def test_top_paths_are_the_most_probable():
    p = {0: {"": [0.7, 0.3]}, 1: {"a": [0.1, 0.9], "b": [0.8, 0.2]}}
    stages = [("a", "b"), ("x", "y")]
    got = top_paths(stages, lambda s, i: np.array(p[s][i]), k=3)
    assert [x for x, _ in got] == [("a", "y"), ("b", "x"), ("a", "x")]
    np.testing.assert_allclose([q for _, q in got], [0.63, 0.24, 0.07])


def test_stagnation():
    assert stagnation(np.full(8, 1 / 8)) == pytest.approx(0.0)
    assert stagnation(np.array([1.0, 0, 0])) == 1.0 == stagnation(np.array([1.0]))


# -- the router -----------------------------------------------------------------------------------


def test_kinds_are_told_apart_and_text_alone_finds_its_kind():
    router = PheromoneRouter(curiosity=0.0)
    rng = np.random.default_rng(0)
    good = {"math": "a", "code": "b", "travel": "c"}
    rows = []
    for kind, text in texts(rng, 240):
        agent = NAMES[rng.integers(4)]
        rows.append((request(kind, prompt=text), agent, 0.9 if good[kind] == agent else 0.2))
    feed(router, rows)
    right = [
        NAMES[t.score(router, request(None, prompt=text)).mean.argmax()] == good[kind]
        for kind, text in texts(rng, 60)
    ]
    assert np.mean(right) > 0.95


@pytest.mark.checklist("AM13")
def test_the_row_names_the_version_and_a_loaded_colony_goes_on_alike():
    router = feed(PheromoneRouter(), [(request(), "a", 0.9), (request("code"), "b", 0.4)] * 9)
    other = PheromoneRouter()
    other.load_state_dict(router.state_dict())
    r = request()
    s, o = t.score(router, r), t.score(other, r)
    assert np.array_equal(s.mean, o.mean) and s.evidence == o.evidence
    trace = router.trace(s.evidence)
    assert trace.folded == 18 and trace.w.keys() == {"kind=math", GENERAL}
    assert trace.p.sum() == pytest.approx(1.0) and len(trace.tau) == len(trace.eta) == 4
    feed(router, [(r, "c", 0.5)])
    assert router.trace(t.score(router, r).evidence).folded == 19
    with pytest.raises(ConfigError):
        router.trace(b"not ours")


def test_show_reads_like_the_trails():
    router = feed(PheromoneRouter(), [(request(), "a", 0.9), (request(), "b", 0.1)] * 5)
    report = router.show("kind=math")["kinds"]["kind=math"]
    at = report["sources"].index("0|")
    assert report["agents"] == ["a", "b"] and report["tau"][at][0] > report["tau"][at][1]
    assert sum(report["p"][at]) == pytest.approx(1, abs=1e-3)
    assert report["top"][0][1] == "a" and 0 < report["stagnation"][at] < 1
    assert set(router.show()["kinds"]) == {"kind=math", GENERAL}
    assert router.show("math")["kinds"].keys() == {"kind=math"}
    assert report["paths"][0]["agents"] == ["a"]
    with pytest.raises(ConfigError) as e:
        router.show("nope")
    assert "kind=math" in e.value.hint


def test_show_follows_paths_over_stages():
    router = PheromoneRouter()
    second = request(stage=1, upstream=("a",))
    feed(router, [(request(), "a", 0.9), (second, "b", 0.9), (second, "a", 0.1)] * 6)
    shown = router.show("math")["kinds"]["kind=math"]
    assert shown["paths"][0]["agents"] == ["a", "b"]
    assert sum(x["p"] for x in shown["paths"]) == pytest.approx(1, abs=1e-4)


def test_parameters_by_name_and_their_limits():
    assert make_router({"name": "pheromone", "rho": 0.01}).trails.rho == 0.01
    with pytest.raises(ConfigError, match="rho"):
        PheromoneRouter(rho=1.5)
