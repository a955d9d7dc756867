from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentroute.choosing.state import StateDict
from agentroute.errors import LedgerError, RouterStateError, UnknownRunError
from agentroute.learning import Learner, observations
from agentroute.ledger import Ledger
from agentroute.model.candidates import Request
from agentroute.model.decisions import DecisionRecord
from agentroute.model.events import Note
from agentroute.model.outcomes import Feedback, Outcome
from agentroute.model.scores import Taxonomy
from agentroute.routers.baselines import Cheapest, Uniform
from agentroute.routers.ensemble.router import Ensemble
from agentroute.routers.linucb.router import LinUCB
from agentroute.routers.skill_match import SkillMatch
from agentroute.testing.routers import World
from tests.ledger.sample import cardset, record

CARDS = cardset()


class Counting:
    """Adds up what it is told, in an order-dependent way: any difference in the fold shows."""

    name = "counting"

    def __init__(self):
        self.state = np.zeros(3)

    def update(self, o):
        x = float(o.request.embedding[0]) * len(o.agent) + o.propensity
        parts = (o.quality, o.cost_usd, o.latency_s)
        told = np.array([-1.0 if v is None else v for v in parts])
        self.state = self.state * 0.9 + o.weight * (told + x)

    def state_dict(self):
        return StateDict("counting", 1, {}, {"state": self.state.copy()})

    def load_state_dict(self, state):
        self.state = state.arrays["state"].copy()


@pytest.fixture
def team(ledger):
    """A run of three route decisions: alone, a team of two, alone."""
    recs = [record(i, cards=CARDS, k=2 if i == 1 else 1) for i in range(3)]
    for rec in recs:
        ledger.append(rec)
    ledger.append(replace(record(3, cards=CARDS), decision=_kind(record(3, cards=CARDS), "refine")))
    ledger.append(Outcome(decision_id="r1-d0", agent="x")).wait(5)
    return recs


def _kind(rec, kind):
    return rec.decision.model_copy(update={"kind": kind})


def fb(i, target, score=0.5, **more):
    kind = "decision" if "-d" in target else "run"
    return Feedback(id=f"f{i}", target=kind, target_id=target, score=score, **more)


def told(ledger, after=0):
    return [
        (o.decision_id, o.agent, o.quality, o.cost_usd, o.latency_s, round(o.weight, 6))
        for o in observations(ledger, after)
    ]


def test_an_outcome_says_cost_and_latency_and_0_on_error_only(ledger, team):
    a, b = team[0].decision.chosen[0], team[2].decision.chosen[0]
    head = ledger.head()[0]
    ledger.append(Outcome(decision_id="r1-d0", agent=a, cost_usd=0.1, latency_s=2))
    bad = Outcome(decision_id="r1-d2", agent=b, cost_usd=0.2, latency_s=3, error="boom", quality=0)
    ledger.append(bad)
    shadow = next(n for n in CARDS.names if n not in (a, b))
    ledger.append(Outcome(decision_id="r1-d0", agent=shadow, shadow=True)).wait(5)
    assert told(ledger, head) == [
        ("r1-d0", a, None, 0.1, 2.0, 1.0),
        ("r1-d2", b, 0.0, 0.2, 3.0, 1.0),
        ("r1-d0", shadow, None, 0.0, 0.0, 1.0),
    ]
    p = [o.propensity for o in observations(ledger, head)]
    assert p == [team[0].decision.propensity, team[2].decision.propensity, 1.0]


@pytest.mark.checklist("SC8")
def test_the_first_feedback_of_a_decision_and_agent_folds_once(ledger, team):
    (a,), head = team[0].decision.chosen, ledger.head()[0]
    for i, score in enumerate((0.9, 0.1)):
        ledger.append(fb(i, "r1-d0", score)).wait(5)
    ledger.append(fb(2, "r1-d0", 0.2, agent=a)).wait(5)
    assert told(ledger, head) == [("r1-d0", a, 0.9, None, None, 1.0)]


@pytest.mark.checklist("SC8")
def test_each_kind_of_source_folds_once_with_its_weight(ledger, team):
    (a,), head = team[0].decision.chosen, ledger.head()[0]
    said = [("verifier:x", 1.0), ("user", 0.0), ("verifier:y", 0.3), ("test", 0.5), ("self", 0.9)]
    for i, (source, score) in enumerate([*said, ("dashboard", 0.7)]):
        ledger.append(fb(i, "r1-d0", score, source=source)).wait(5)
    assert [(t[1], t[2], t[5]) for t in told(ledger, head)] == [
        (a, 1.0, 0.5),
        (a, 0.0, 1.0),
        (a, 0.5, 1.0),
        (a, 0.9, 0.25),
    ]
    learner = Learner(Counting(), ledger, weights={"verifier": 0.0})
    learner.fold()
    assert (learner.counts["muted"], learner.counts["duplicate"]) == (2, 1)


def test_a_user_moves_what_a_verifier_had_said(ledger, team):
    router = LinUCB()
    learner = Learner(router, ledger)
    request = team[0].request
    (a,) = team[0].decision.chosen

    def mean():
        learner.fold()
        at = list(request.candidates.names).index(a)
        return asyncio.run(router.score(request)).mean[at]

    ledger.append(fb(0, "r1-d0", 1.0, source="verifier:v")).wait(5)
    praised = mean()
    ledger.append(fb(1, "r1-d0", 0.0, source="user")).wait(5)
    assert mean() < praised - 0.05


def test_a_team_shares_a_joint_score_unless_a_member_has_its_own(ledger, team):
    (a, b), head = team[1].decision.chosen, ledger.head()[0]
    ledger.append(fb(0, "r1-d1", 1.0, agent=b))
    ledger.append(fb(1, "r1-d1", 0.4)).wait(5)
    assert told(ledger, head) == [
        ("r1-d1", b, 1.0, None, None, 1.0),
        ("r1-d1", a, 0.4, None, None, 0.5),
    ]
    learner = Learner(Counting(), ledger)
    learner.fold()
    assert learner.counts == Counter(folded=2, duplicate=1, own=1, joint=1, unknown=1)


def test_a_score_of_the_run_goes_to_its_route_decisions_that_did_not_fail(ledger, team):
    d0, d1, d2 = (r.decision for r in team)
    ledger.append(Outcome(decision_id=d2.id, agent=d2.chosen[0], error="boom")).wait(5)
    head = ledger.head()[0]
    ledger.append(fb(0, "r1", 0.8)).wait(5)
    assert told(ledger, head) == [
        (d0.id, d0.chosen[0], 0.8, None, None, 0.5),
        (d1.id, d1.chosen[0], 0.8, None, None, 0.25),
        (d1.id, d1.chosen[1], 0.8, None, None, 0.25),
    ]


def test_feedback_of_the_run_does_not_touch_later_decisions(ledger, team):
    ledger.append(fb(0, "r1", 0.8)).wait(5)
    ledger.append(record(7, cards=CARDS)).wait(5)
    head = ledger.head()[0]
    ledger.append(fb(1, "r1-d7", 0.3)).wait(5)
    assert [t[:3] for t in told(ledger, head)] == [
        ("r1-d7", record(7, cards=CARDS).decision.chosen[0], 0.3)
    ]


@pytest.mark.checklist("SC8")
def test_late_feedback_is_expired_by_the_rows_own_times(ledger):
    ledger.append(record(0, cards=CARDS, at="2026-01-01T00:00:00+00:00"))
    ledger.append(record(1, cards=CARDS, at="2026-01-01T00:00:00+00:00"))
    ledger.append(fb(0, "r1-d0", 0.1), at="2026-01-31T00:00:01+00:00")
    ledger.append(fb(1, "r1-d0", 0.7), at="2026-01-31T00:00:00+00:00")
    ledger.append(fb(2, "r1", 0.9), at="2026-01-02T00:00:00+00:00").wait(5)
    learner = Learner(Counting(), ledger)
    learner.fold()
    assert [t[2] for t in told(ledger)] == [0.7, 0.9]
    assert learner.counts == Counter(folded=2, own=1, run=1, expired=1, duplicate=1)
    assert learner.version() == "@5"


def test_parts_that_the_row_has_are_what_is_learned(ledger, team):
    d0, d1, _ = (r.decision for r in team)
    parts = {d0.id: {d0.chosen[0]: 0.75}, d1.id: dict(zip(d1.chosen, (0.25, -0.1), strict=True))}
    head = ledger.head()[0]
    said = fb(0, "r1", 0.8).model_copy(update={"credit": "shapley", "shares": parts})
    ledger.append(said).wait(5)
    ledger.append(fb(1, d1.id, 0.4)).wait(5)
    assert told(ledger, head) == [
        (d0.id, d0.chosen[0], 0.8, None, None, 0.75),
        (d1.id, d1.chosen[0], 0.8, None, None, 0.25),
        (d1.id, d1.chosen[1], 0.4, None, None, 0.5),  # nothing was learned of it before
    ]
    assert ledger.feedback(d1.run_id)[0].credit == "shapley"


class Picky(Counting):
    """Refuses what it is told of quality below 0.5."""

    def update(self, o):
        if o.quality is not None and o.quality < 0.5:
            raise ValueError("too bad to be true")
        super().update(o)


def test_what_a_router_cannot_learn_from_is_counted_and_skipped(ledger, team, caplog):
    for i, score in enumerate((0.9, 0.1, 0.8)):
        ledger.append(fb(i, f"r1-d{i}", score)).wait(5)
    live = Learner(Picky(), ledger)
    live.fold()
    head = ledger.head()[0]
    assert live.counts["folded"] == 2
    assert live.counts["skipped"] == 2  # the team of two
    assert live.skipped == {head - 1: "ValueError: too bad to be true"}
    (line,) = [r.getMessage() for r in caplog.records]
    assert f"row {head - 1}: ValueError: too bad to be true" in line
    ledger.append(fb(7, "r1-d0", 0.7, source="verifier:v")).wait(5)
    live.fold()  # rows after it are folded, and the old one is not told again
    assert (live.counts["folded"], len(caplog.records)) == (3, 1)
    assert bits(rebuild(ledger, Picky, (head - 1, head)).router) == bits(live.router)


@pytest.mark.parametrize("table", ["decisions", "feedback"])
def test_a_row_that_cannot_be_read_does_not_keep_the_next_from_it(tmp_path, table):
    path = tmp_path / "a.db"
    with Ledger.open(str(path)) as ledger:
        for i in range(3):
            ledger.append(record(i, cards=CARDS))
        for i in range(3):
            ledger.append(fb(i, f"r1-d{i}", 0.5)).wait(5)
    seq = {"decisions": 2, "feedback": 5}[table]
    with sqlite3.connect(path) as con:
        con.execute(f"DROP TRIGGER {table}_no_update")
        con.execute(f"UPDATE {table} SET body = '{{}}' WHERE seq = ?", (seq,))
    with Ledger.open(str(path), read_only=True) as ledger:
        learner = Learner(Counting(), ledger)
        learner.fold()
        assert (learner.counts["folded"], learner.counts["skipped"]) == (2, 1)
        assert (learner.folded, list(learner.skipped)) == (6, [5])
        assert "RowUnreadableError" in learner.skipped[5]


def test_what_cannot_be_read_for_the_moment_is_read_the_next_time(ledger, team, monkeypatch):
    for i in range(3):
        ledger.append(fb(i, f"r1-d{i}", 0.5)).wait(5)
    live, once = Learner(Counting(), ledger), Learner(Counting(), ledger)
    once.fold()
    read, left = ledger.about, [0, 1]

    def about(decision):
        if decision.id == "r1-d1" and left.pop():
            raise LedgerError("disk I/O error")
        return read(decision)

    monkeypatch.setattr(ledger, "about", about)
    with pytest.raises(LedgerError, match="disk"):
        live.fold()
    left[:] = [0] * 9
    assert live.folded == ledger.head()[0] - 2
    live.fold()
    assert (live.counts, live.version()) == (once.counts, once.version())
    assert bits(live.router) == bits(once.router)


def test_a_fold_that_was_interrupted_is_not_folded_around(ledger, team):
    class Stopped(Counting):
        def update(self, o):
            raise KeyboardInterrupt

    ledger.append(fb(0, "r1-d0")).wait(5)
    learner = Learner(Stopped(), ledger)
    with pytest.raises(KeyboardInterrupt):
        learner.fold()
    with pytest.raises(RouterStateError, match="interrupted"):
        learner.fold()


def test_a_router_that_learns_nothing_folds_nothing(ledger, team):
    ledger.append(fb(0, "r1-d0")).wait(5)
    for router in (Uniform(), Cheapest(), SkillMatch()):
        learner = Learner(router, ledger)
        assert (learner.fold(), learner.version()) == (0, "@0")
        asyncio.run(learner.catch_up())
        assert (learner.version(), learner.counts) == ("@0", Counter())


# -- what was said at the decision ----------------------------------------------------------


def test_an_observation_carries_the_evidence_that_was_recorded(ledger):
    rec = record(0, cards=CARDS)
    said = replace(rec.scores, mean=np.full(len(rec.scores.mean), 0.5), evidence=b"said then")
    ledger.append(replace(rec, scores=said))
    ledger.append(fb(0, rec.decision.id)).wait(5)
    (seen,) = observations(ledger)
    assert seen.request.recorded == b"said then"
    assert seen.request.candidates.names.tolist() == rec.request.candidates.names.tolist()


def test_evidence_of_screened_candidates_comes_with_these_alone(ledger):
    rec = record(0, cards=CARDS)
    n, at = len(rec.scores.mean), list(rec.request.candidates.names)
    mean = np.full(n, np.nan)
    mean[[0, n - 1]] = 0.5
    chosen = rec.decision.model_copy(update={"chosen": (at[n - 1],)})
    ledger.append(replace(rec, decision=chosen, scores=replace(rec.scores, mean=mean)))
    ledger.append(fb(0, rec.decision.id)).wait(5)
    (seen,) = observations(ledger)
    assert seen.request.candidates.names.tolist() == [at[0], at[n - 1]]


def world_ledger(ledger, router, n=40):
    """Decisions of ``router`` as a run records them; the feedback comes when all are taken."""
    world, rng = World(agents=4), np.random.default_rng(0)
    for i in range(n):
        request = Request(world.task(), world.cardset.embedding[i % 4], world.candidates())
        scores = asyncio.run(router.score(request))
        pick = int(rng.integers(4))
        decision = record(i).decision.model_copy(
            update={"chosen": (str(request.candidates.names[pick]),), "propensity": 0.25}
        )
        ledger.append(DecisionRecord(decision, request, scores, np.full(4, 0.25)))
    for i in range(n):
        ledger.append(fb(i, f"r1-d{i}", (i % 5) / 4))
    ledger.append(Note(id="end", type="x")).wait(5)


def test_an_ensemble_is_charged_for_what_its_members_said_then(ledger):
    """All decisions were taken by members that knew nothing, whatever they have learned since."""
    make = lambda: Ensemble(members=["knn", "fixed_best"])  # noqa: E731
    world_ledger(ledger, make())
    folded, by_hand = make(), make()
    Learner(folded, ledger).fold()
    for o in observations(ledger):
        said = asyncio.run(make().score(replace(o.request, recorded=None))).evidence
        by_hand.update(replace(o, request=replace(o.request, recorded=said)))
    assert folded.hedge.meta() == by_hand.hedge.meta()
    today = make()
    for o in observations(ledger):
        today.update(replace(o, request=replace(o.request, recorded=None)))
    assert today.hedge.meta() != folded.hedge.meta()


class Remote(Uniform):
    """A member that asks a model: it waits, and waits again when it is told to stop."""

    name = "remote"
    taxonomy = Taxonomy("before", ("task",), "generative")
    calls = 0

    async def score(self, request):
        if request.recorded is None:
            Remote.calls += 1
            try:
                await asyncio.sleep(0)
            finally:
                await asyncio.sleep(0)
        scores = await super().score(request)
        return replace(scores, evidence=b"a reply")


class Waiting(Remote):
    taxonomy = Taxonomy("before", ("task",), "rules")


def with_a(member):
    made = Ensemble(members=["fixed_best", "uniform"])
    made.members[1] = member
    return made


@pytest.mark.parametrize("member", [Remote, Waiting])
def test_folding_an_ensemble_calls_no_model(ledger, member):
    """Neither with evidence, nor for a retry and another router's row, which have none."""
    make = lambda: with_a(member())  # noqa: E731
    world_ledger(ledger, make(), 6)
    forced = replace(record(90, cards=CARDS), scores=None)
    ledger.append(replace(forced, request=replace(forced.request, recorded=None)))
    ledger.append(fb(90, "r1-d90")).wait(5)
    before = Remote.calls
    learner = Learner(make(), ledger)
    learner.fold()
    assert learner.counts["folded"] == 7
    assert learner.counts["skipped"] == 0
    assert Remote.calls - before <= (member is Waiting)  # which does not say that it calls


ROW = st.one_of(
    st.tuples(st.just("decision"), st.integers(1, 3)),
    st.tuples(st.just("outcome"), st.integers(0, 5), st.integers(0, 5), st.booleans()),
    st.tuples(
        st.just("feedback"), st.integers(0, 5), st.sampled_from([None, 0, 1]), st.floats(0, 1)
    ),
    st.tuples(st.just("run"), st.just(0), st.none(), st.floats(0, 1)),
)


def write(ledger, script):
    n = 0
    for i, (what, *args) in enumerate(script):
        if what == "decision":
            ledger.append(record(n, cards=CARDS, k=args[0], seed=1))
            n += 1
        elif what == "outcome":
            ledger.append(_outcome(args, n))
        elif what == "run":
            ledger.append(fb(i, "r1", args[2]))
        else:
            chosen = record(args[0] % max(1, n), cards=CARDS, k=2, seed=1).decision.chosen
            agent = None if args[1] is None else chosen[args[1]]
            ledger.append(fb(i, f"r1-d{args[0] % max(1, n)}", args[2], agent=agent))
    return n


def _outcome(args, n):
    d, a, failed = args
    error = "boom" if failed else None
    return Outcome(
        decision_id=f"r1-d{d % max(1, n)}", agent=CARDS.names[a], cost_usd=a, error=error
    )


def rebuild(ledger, make, cuts):
    learner = Learner(make(), ledger)
    for cut in sorted(cuts):
        learner.fold(cut)
    learner.fold()
    return learner


def bits(router):
    state = router.state_dict()
    return [(k, a.dtype.str, a.shape, a.tobytes()) for k, a in state.arrays.items()]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(script=st.lists(ROW, min_size=3, max_size=14), cuts=st.lists(st.integers(0, 20), max_size=4))
def test_replay_equals_live(tmp_path_factory, script, cuts):
    path = tmp_path_factory.mktemp("replay") / "a.db"
    with Ledger.open(str(path)) as ledger:
        live = Learner(Counting(), ledger)
        for part in (script[: len(script) // 2], script):  # a row twice is a duplicate
            write(ledger, part)
            _flush(ledger)
            live.fold()
        once = rebuild(ledger, Counting, ())
        steps = rebuild(ledger, Counting, cuts)
        assert bits(live.router) == bits(once.router) == bits(steps.router)
        assert live.counts == once.counts == steps.counts
        assert live.version() == once.version()


def _flush(ledger):
    with pytest.raises(UnknownRunError):
        ledger.append(fb("x", "nobody")).wait(5)


@pytest.mark.parametrize("mode", ["disjoint", "hybrid"])
def test_linucb_rebuilt_from_the_ledger_is_bit_equal(ledger, mode):
    """Live in steps while rows arrive, and in one go: the same bits and scores."""
    make = lambda: LinUCB(mode=mode, seed=3)  # noqa: E731
    rng, cards = np.random.default_rng(5), cardset(12, 32, seed=2)
    live = Learner(make(), ledger)
    for i in range(120):
        rec = record(i, cards=cards, seed=8, k=1 + i % 2)
        ledger.append(rec)
        for agent in rec.decision.chosen:
            error = "boom" if rng.random() < 0.1 else None
            ledger.append(
                Outcome(decision_id=rec.decision.id, agent=agent, cost_usd=rng.random(),
                        latency_s=rng.random(), error=error)
            )  # fmt: skip
        late = f"r1-d{rng.integers(0, i + 1)}"
        ledger.append(fb(i, late, rng.random()))
        if i % 7 == 0:
            ledger.append(Note(id=f"n{i}", type="x")).wait(5)
            live.fold()
    ledger.append(Note(id="end", type="x")).wait(5)
    live.fold()
    once = rebuild(ledger, make, ())
    assert live.counts == once.counts and live.counts["folded"] > 200
    assert bits(live.router) == bits(once.router)
    request = ledger.record("r1-d9").request
    scores = [asyncio.run(r.router.score(request)) for r in (live, once)]
    assert len({s.mean.tobytes() + s.bonus.tobytes() for s in scores}) == 1
