"""The conformance suite of routers: run it on your own.

    from agentroute.testing import check_router

    def test_my_router():
        check_router(MyRouter)

Each rule is a function ``rule(factory, world)`` that raises ``AssertionError`` with what is wrong.
``check_router`` runs them all and reports every broken one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from agentroute.choosing.protocol import BatchRouter, FittableRouter, Router
from agentroute.choosing.state import StateDict
from agentroute.errors import RouterStateError
from agentroute.model.arrays import Embedder
from agentroute.model.candidates import Request
from agentroute.model.outcomes import Observation
from agentroute.model.scores import Scores
from agentroute.testing.rules import run_rules
from agentroute.testing.world import World

Factory = Callable[[], Router]


def ready(factory: Factory, world: World) -> Router:
    """A router as the rules need it: fitted if it can be fitted, then folded 40 rows."""
    router = factory()
    if isinstance(router, FittableRouter):
        router.fit(world.examples(), seed=0)
    return fold(router, world.observations(40))


def fold(router: Router, observations: Iterable[Observation]) -> Router:
    """Fold rows in order, return the router."""
    for o in observations:
        router.update(o)
    return router


def score(router: Router, request: Request) -> Scores:
    """``await router.score(request)`` from outside a loop."""
    return asyncio.run(router.score(request))


# -- the rules ----------------------------------------------------------------------------------


def rule_declares_itself(factory: Factory, world: World) -> None:
    """It has a name and a taxonomy, and the four methods."""
    router = factory()
    assert isinstance(router, Router), "it lacks a method or attribute of Router"
    assert router.name, "name is empty"
    assert router.taxonomy.compute, "taxonomy is empty"


def rule_shapes_and_ranges(factory: Factory, world: World) -> None:
    """(n,) finite arrays; mean in [0, 1], bonus >= 0, out_of_scope in [0, 1]."""
    router = ready(factory, world)
    for _ in range(10):
        _check_scores(score(router, world.request()), len(world.cardset))


def rule_terms_add_up(factory: Factory, world: World) -> None:
    """The terms add up to the mean, and there is at least one."""
    s = score(ready(factory, world), world.request())
    assert s.terms, "there are no terms, so nothing can be explained"
    np.testing.assert_allclose(sum(s.terms.values()), s.mean, atol=1e-6, err_msg="terms != mean")


def rule_permutation_equivariant(factory: Factory, world: World) -> None:
    """Reordered candidates get the same scores, reordered."""
    router, request = ready(factory, world), world.request()
    order = np.random.default_rng(world.seed).permutation(len(world.cardset))
    turned = replace(request, candidates=request.candidates.take(order))
    a, b = score(router, request), score(router, turned)
    np.testing.assert_allclose(a.mean[order], b.mean, atol=1e-6, err_msg="mean depends on order")
    np.testing.assert_allclose(a.bonus[order], b.bonus, atol=1e-6, err_msg="bonus depends on order")


def rule_score_is_pure(factory: Factory, world: World) -> None:
    """Scoring changes nothing that was learned, and is repeatable."""
    router, request = ready(factory, world), world.request()
    before = router.state_dict()
    first = score(router, request)
    for _ in range(3):
        score(router, world.request())
    again = score(router, request)
    assert _same_state(before, router.state_dict()), "score changed the state"
    assert np.array_equal(first.mean, again.mean), "the same request scored differently"
    assert np.array_equal(first.bonus, again.bonus), "the same request got another bonus"


def rule_repeatable(factory: Factory, world: World) -> None:
    """Two routers built alike that folded the same rows are bit-equal."""
    again = World(seed=world.seed, embedder=world.embedder, agents=len(world.cards))
    fresh = World(seed=world.seed, embedder=world.embedder, agents=len(world.cards))
    a, b = ready(factory, again), ready(factory, fresh)
    assert _same_state(a.state_dict(), b.state_dict()), "the same rows gave another state"


def rule_state_round_trip(factory: Factory, world: World) -> None:
    """A loaded router scores alike, and goes on alike."""
    router, other = ready(factory, world), factory()
    saved = router.state_dict()
    _check_state(saved)
    other.load_state_dict(saved)
    assert _same_state(saved, other.state_dict()), "save, load, save gives another state"
    more = world.observations(20)
    fold(router, more)
    fold(other, more)
    assert _same_state(router.state_dict(), other.state_dict()), "after loading it learns otherwise"
    request = world.request()
    np.testing.assert_allclose(score(router, request).mean, score(other, request).mean, atol=1e-6)


def rule_saved_state_is_a_copy(factory: Factory, world: World) -> None:
    """What was saved does not change when the router goes on."""
    router = ready(factory, world)
    saved = router.state_dict()
    frozen = StateDict(
        saved.kind, saved.version, saved.meta, {k: v.copy() for k, v in saved.arrays.items()}
    )
    fold(router, world.observations(10))
    assert _same_state(saved, frozen), "a saved array is still written to"


def rule_replay_equals_live(factory: Factory, world: World) -> None:
    """Folding between scores, as it happens live, equals folding alone."""
    rows = world.observations(30)
    live, replayed = _prepared(factory, world), _prepared(factory, world)
    for o in rows:
        score(live, o.request)
        live.update(o)
    fold(replayed, rows)
    assert _same_state(live.state_dict(), replayed.state_dict()), "scoring in between mattered"


def rule_refuses_foreign_state(factory: Factory, world: World) -> None:
    """State of another kind or version is a RouterStateError."""
    own = factory().state_dict()
    for foreign in (replace(own, kind="somebody else"), replace(own, version=own.version + 1)):
        try:
            factory().load_state_dict(foreign)
        except RouterStateError:
            continue
        raise AssertionError(f"it loaded state of kind {foreign.kind!r} {foreign.version}")


def rule_unknown_agents(factory: Factory, world: World) -> None:
    """Agents never seen before are scored, and an observation of one is no error."""
    router = ready(factory, world)
    wider = World(seed=world.seed, embedder=world.embedder, agents=len(world.cards) + 3)
    _check_scores(score(router, wider.request()), len(wider.cardset))
    fold(router, wider.observations(20))
    _check_scores(score(router, wider.request()), len(wider.cardset))


def rule_cold(factory: Factory, world: World) -> None:
    """Before any row (after ``fit`` where it has one) it already scores."""
    _check_scores(score(_prepared(factory, world), world.request()), len(world.cardset))


def rule_partial_observations(factory: Factory, world: World) -> None:
    """Quality, cost or latency may be None in any row."""
    router, request = ready(factory, world), world.request()
    o = world.observation(100, request)
    for i, fields in enumerate(({"quality": None}, {"cost_usd": None, "latency_s": None})):
        router.update(replace(o, seq=101 + i, **fields))  # type: ignore[arg-type]
    router.update(replace(o, seq=104, quality=None, cost_usd=None, latency_s=None))
    _check_scores(score(router, request), len(world.cardset))


def rule_bare_requests(factory: Factory, world: World) -> None:
    """No features, unknown cost and latency, no embedding: still finite scores."""
    router = ready(factory, world)
    bare = world.request(features=False, bare=True)
    _check_scores(score(router, bare), len(world.cardset))
    silent = replace(bare, embedding=np.zeros_like(bare.embedding), upstream=())
    _check_scores(score(router, silent), len(world.cardset))


def rule_one_candidate(factory: Factory, world: World) -> None:
    """A single candidate is scored like any other."""
    router, request = ready(factory, world), world.request()
    one = replace(request, candidates=request.candidates.take(np.array([1])))
    _check_scores(score(router, one), 1)


def rule_many_at_once(factory: Factory, world: World) -> None:
    """Where it scores many requests at once, each gets the scores that it gets alone."""
    router = ready(factory, world)
    if not isinstance(router, BatchRouter):
        return
    requests = [world.request() for _ in range(5)]
    requests.append(replace(requests[0], embedding=np.zeros_like(requests[0].embedding)))
    for request, many in zip(requests, asyncio.run(router.score_many(requests)), strict=True):
        alone = score(router, request)
        np.testing.assert_allclose(many.mean, alone.mean, atol=1e-5, err_msg="mean")
        np.testing.assert_allclose(many.bonus, alone.bonus, atol=1e-4, err_msg="bonus")


RULES: tuple[Callable[[Factory, World], None], ...] = (
    rule_declares_itself,
    rule_shapes_and_ranges,
    rule_terms_add_up,
    rule_permutation_equivariant,
    rule_score_is_pure,
    rule_repeatable,
    rule_state_round_trip,
    rule_saved_state_is_a_copy,
    rule_replay_equals_live,
    rule_refuses_foreign_state,
    rule_unknown_agents,
    rule_cold,
    rule_partial_observations,
    rule_bare_requests,
    rule_one_candidate,
    rule_many_at_once,
)


def check_router(
    factory: Factory, *, seed: int = 0, embedder: Embedder | None = None, skip: Iterable[str] = ()
) -> tuple[str, ...]:
    """Run every rule on fresh routers from ``factory``; returns the names of those that held.

    Args:
        factory: makes a new router, always alike.
        seed: of the material.
        embedder: of the cards and prompts; a 64-column hashing encoder by default.
        skip: names of rules that do not apply; say why where you use it.

    Raises:
        AssertionError: names every broken rule and what was wrong.
    """
    return run_rules(RULES, lambda rule: rule(factory, World(seed=seed, embedder=embedder)), skip)


# -- helpers ------------------------------------------------------------------------------------


def _prepared(factory: Factory, world: World) -> Router:
    """Fitted on the same examples each time, where it can be fitted; else as built."""
    router = factory()
    if isinstance(router, FittableRouter):
        router.fit(World(seed=1, embedder=world.embedder).examples(), seed=0)
    return router


def _check_scores(s: Scores, n: int) -> None:
    for name, a in (("mean", s.mean), ("bonus", s.bonus), *s.terms.items()):
        assert a.shape == (n,), f"{name} has shape {a.shape}, not ({n},)"
        assert np.isfinite(a).all(), f"{name} is not finite"
    assert ((s.mean >= 0) & (s.mean <= 1)).all(), "mean outside [0, 1]"
    assert (s.bonus >= 0).all(), "negative bonus"
    assert 0 <= s.out_of_scope <= 1, "out_of_scope outside [0, 1]"


def _check_state(state: StateDict) -> None:
    import orjson

    assert state.kind, "the state names no kind"
    try:
        again = orjson.loads(orjson.dumps(state.meta))
    except TypeError as e:
        raise AssertionError(f"meta is not JSON: {e}") from e
    assert again == state.meta, "meta changes on its way through JSON (tuples? int keys?)"
    for name, a in state.arrays.items():
        assert a.dtype != object, f"array {name} holds Python objects"


def _same_state(a: StateDict, b: StateDict) -> bool:
    return (
        (a.kind, a.version, a.meta) == (b.kind, b.version, b.meta)
        and a.arrays.keys() == b.arrays.keys()
        and all(_same_array(a.arrays[k], b.arrays[k]) for k in a.arrays)
    )


def _same_array(a: np.ndarray, b: np.ndarray) -> bool:
    floats = a.dtype.kind == "f"
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=floats)
