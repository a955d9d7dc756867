"""Many tasks scored together choose as one by one."""

from dataclasses import replace

import numpy as np
import pytest

from agentroute.choosing.policy import Policy
from agentroute.choosing.screening import Screening
from agentroute.model.ids import keyed_rng
from agentroute.model.objective import Bounds, Objective
from agentroute.routers.linucb import router as linucb
from agentroute.routers.linucb.router import LinUCB
from tests.routers.tools import E, candidates, cardset, observe, request, run, unit

WORDS = [
    "refund",
    "invoice",
    "flight",
    "hotel",
    "chord",
    "melody",
    "soil",
    "seed",
    "orbit",
    "comet",
    "oven",
    "flour",
]


def grown(n, times, rng, **options):
    """A router that has seen ``times`` rows, some arms young, some grown, some never met."""
    router, c = LinUCB(width=12, **options), candidates(cardset(n))
    for i in range(times):
        r = some_request(rng, c)
        agent = f"a{int(rng.integers(n) ** 2 // n)}"
        router.update(observe(i, r, agent, float(rng.random()), cost_usd=float(rng.random())))
    return router, c


def some_request(rng, c, **options):
    words = " ".join(rng.choice(WORDS, 6))
    return request(c, unit(rng, E), {"kind": str(rng.integers(3))}, prompt=words, **options)


def some_requests(rng, c, n, m):
    """Most over all agents, some over half, over three, silent, in flight, or by cost."""
    out = []
    for i in range(m):
        r = some_request(rng, c)
        if i % 5 == 1:
            r = replace(r, candidates=c.take(np.sort(rng.permutation(n)[: n // 2 + 1])))
        elif i % 5 == 2:
            r = replace(r, candidates=c.take(np.arange(3)))
        elif i % 5 == 3:
            busy = np.where(rng.random(n) < 0.3, 2.0, 0.0)
            r = replace(r, candidates=replace(c, inflight=busy))
        elif i % 10 == 4:
            r = replace(r, embedding=np.zeros(E, np.float32))
        elif i % 10 == 9:
            r = replace(r, objective=Objective(1.0, 0.5, 0.2, Bounds(0.0, 1.0, 0.0, 1.0)))
        out.append(r)
    return out


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("options", [{}, {"inherit": False}, {"learn_prior": False}])
def test_the_same_scores_and_choices_as_one_by_one(wide, options, monkeypatch):
    monkeypatch.setattr(linucb, "WIDE", 0 if wide else 1 << 40)
    rng, n = np.random.default_rng(7), 40
    router, c = grown(n, 300, rng, **options)
    policy, requests = Policy(router), some_requests(rng, c, n, 70)
    before = router.state_dict()
    together = run(policy.scores_many(requests))
    for i, (r, many) in enumerate(zip(requests, together, strict=True)):
        alone = run(policy.scores(r))
        np.testing.assert_allclose(many.mean, alone.mean, atol=1e-6)
        np.testing.assert_allclose(many.bonus, alone.bonus, atol=1e-5)
        for name, term in alone.terms.items():
            np.testing.assert_allclose(many.terms[name], term, atol=1e-6)
        a, b = (policy.decide(r, s, rng=keyed_rng(0, i)) for s in (alone, many))
        assert (a.positions, a.status) == (b.positions, b.status)
        assert a.propensity == pytest.approx(b.propensity)
    after = router.state_dict()
    assert after.meta == before.meta
    assert all(after.arrays[k].tobytes() == v.tobytes() for k, v in before.arrays.items())


@pytest.mark.parametrize("options", [{"mode": "hybrid"}, {"mode": "shared"}])
def test_what_cannot_be_scored_together_is_scored_one_by_one(options):
    rng = np.random.default_rng(3)
    router, c = grown(12, 60, rng, **options)
    requests = some_requests(rng, c, 12, 11)
    for r, many in zip(requests, run(router.score_many(requests)), strict=True):
        assert many.mean.tobytes() == run(router.score(r)).mean.tobytes()


def test_a_fresh_router_and_a_screened_one_take_many_too():
    rng, c = np.random.default_rng(3), candidates(cardset(30))
    requests = some_requests(rng, c, 30, 9)
    router, screened = LinUCB(width=12), Policy(LinUCB(width=12), screening=Screening(5))
    assert len(run(router.score_many(requests))) == 9
    some = run(screened.scores_many(requests))
    assert [int(np.isfinite(s.mean).sum()) for s in some] == [
        min(5, len(r.candidates)) for r in requests
    ]
