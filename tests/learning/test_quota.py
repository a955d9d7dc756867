"""What one name may teach of one agent: bounded once several have spoken, and said."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentroute import AgentReply, Orchestrator, Registry
from agentroute.config.settings import FeedbackQuota, Settings
from agentroute.evaluation.offpolicy.logged import judged_decisions
from agentroute.learning import Learner, observations
from agentroute.learning.sources import WEIGHTS
from agentroute.learning.teaching import taught_by
from agentroute.ledger import Ledger
from tests.learning.test_fold import CARDS, Counting, _flush, bits, fb, record
from tests.learning.test_snapshots import learner

TIGHT = FeedbackQuota(share=0.5, allowance=2)


@pytest.fixture
def registry():
    registry = Registry()

    @registry.agent(skills=["refunds"])
    async def billing(call):
        """Refunds orders."""
        return AgentReply(text="refunded")

    return registry


def front(registry, tmp_path, **more):
    given = Settings(db=f"sqlite:///{tmp_path}/a.db", state=str(tmp_path / "s"), **more)
    return Orchestrator.from_settings(given, registry=registry)


async def said(orc, source, score=1.0):
    run = await orc.run("Refund order 7")
    return await orc.feedback(run.run_id, score=score, source=source)


async def test_one_name_weighs_so_much_and_no_more_and_is_told_so(registry, tmp_path):
    async with front(registry, tmp_path, feedback_quota={"share": 0.5, "allowance": 2}) as orc:
        await said(orc, "user:ann", 0.1)
        told = [await said(orc, "user:mallory") for _ in range(4)]
        assert [t["learned"] for t in told] == [True, True, False, False]
        assert [t["reason"] for t in told] == ["", "", "quota", "quota"]
        assert told[-1]["beyond_quota"] == ["billing"]
        for _ in range(2):  # what others say makes room: half of what they say
            assert (await said(orc, "user:ann", 0.1))["learned"]
        assert [(await said(orc, "user:mallory"))["learned"] for _ in range(2)] == [True, False]
        assert (await said(orc, "test:mallory"))["reason"] == "quota"  # the same name
        assert all([(await said(orc, "user", 0.2))["learned"] for _ in range(9)])  # the operator
        (learned,) = orc.learned()
        assert learned.counts["quota"] == 4
        stored = [f for d in orc.ledger.runs(50) for f in orc.ledger.feedback(d.run_id)]
        assert len(stored) == 19  # all of it


async def test_who_is_alone_teaches_as_before(registry, tmp_path):
    async with front(registry, tmp_path, feedback_quota={"share": 0, "allowance": 1}) as orc:
        assert all([(await said(orc, "user:ann"))["learned"] for _ in range(5)])
        assert all([(await said(orc, "user"))["learned"] for _ in range(3)])
        assert (await said(orc, "user:ben"))["learned"]
        assert (await said(orc, "user:ben"))["reason"] == "quota"


async def test_no_quota_where_the_settings_say_so(registry, tmp_path):
    async with front(registry, tmp_path, feedback_quota=None) as orc:
        told = [(await said(orc, f"user:{'ab'[i == 0]}"))["learned"] for i in range(14)]
    assert all(told)


async def test_what_is_beyond_leaves_the_first_word_to_somebody_else(registry, tmp_path):
    async with front(registry, tmp_path, feedback_quota={"share": 0, "allowance": 1}) as orc:
        await said(orc, "user:ann")
        await said(orc, "user:mallory")
        run = await orc.run("Refund order 7")
        assert (await orc.feedback(run.run_id, score=1, source="user:mallory"))["reason"] == "quota"
        assert (await orc.feedback(run.run_id, score=0, source="user"))["learned"]
        again = await orc.feedback(run.run_id, score=1, source="user:bob")
        assert again["reason"] == "duplicate"


@pytest.mark.parametrize("router", ["linucb", "uniform"])
async def test_what_is_said_of_a_word_is_what_was_folded(registry, tmp_path, router):
    """Also by an orchestrator that opens later, from a snapshot or without one."""
    names = ["user:ann", "user:mallory", "user:mallory", "user:mallory", "user", "user:ann"]
    names += ["user:mallory", "user:mallory"]
    quota = {"share": 0.5, "allowance": 1}
    told = []
    for name in names:
        async with front(registry, tmp_path, router=router, feedback_quota=quota) as orc:
            told.append((await said(orc, name))["learned"])
            for _, x in orc._session.policies._learners:
                x._save_if(0)  # else only every so many rows
    assert told == [True, True, False, False, True, True, True, False]


# -- the same from the rows alone --------------------------------------------------------------

NAMES = ("user", "user:a", "user:b", "test:a", "verifier:v", "dashboard")
SCRIPT = st.lists(
    st.tuples(
        st.sampled_from(["decision", "decision", "decision", "word", "word", "run"]),
        st.integers(0, 5), st.sampled_from([None, 0, 1]), st.sampled_from(NAMES),
    ),
    min_size=8, max_size=40,
)  # fmt: skip


def write(ledger, script):
    n = 0
    for i, (what, about, agent, source) in enumerate(script):
        if what == "decision":
            ledger.append(record(n, cards=CARDS, k=2, seed=1))
            n += 1
        elif what == "run":
            ledger.append(fb(i, "r1", about / 5, source=source))
        else:
            at = about % max(1, n)
            chosen = record(at, cards=CARDS, k=2, seed=1).decision.chosen
            name = None if agent is None else chosen[agent]
            ledger.append(fb(i, f"r1-d{at}", about / 5, source=source, agent=name))
    _flush(ledger)


def quota_learner(folder, ledger, make, quota):
    made = learner(folder, ledger, make, quota=quota.model_dump())
    return Learner(made.router, ledger, snapshots=made._snapshots, quota=quota)


@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    script=SCRIPT, cut=st.floats(0, 1), allowance=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    share=st.sampled_from([0.0, 0.5, 1.0]),
)  # fmt: skip
def test_live_is_replay_and_a_snapshot_and_the_rest_a_full_fold(
    tmp_path_factory, script, cut, allowance, share
):
    quota = FeedbackQuota(share=share, allowance=allowance)
    home, at = tmp_path_factory.mktemp("quota"), round(cut * len(script))
    with Ledger.open(str(home / "a.db")) as ledger:
        write(ledger, script[:at])
        live = quota_learner(home, ledger, Counting, quota)
        live.fold()
        live._save_if(0)
        write(ledger, script)
        again = quota_learner(home, ledger, Counting, quota)
        again.open()
        assert again.folded == live.folded
        once = Learner(Counting(), ledger, quota=quota)
        again.fold(), once.fold()
        head = ledger.head()[0]
        for upto in range(live.folded, head + 1):  # a row at a time
            live.fold(upto)
        assert bits(again.router) == bits(once.router) == bits(live.router)
        assert again.counts == once.counts == live.counts
        assert again.tally.state() == once.tally.state()
        whole = list(observations(ledger, quota=quota))
        for after in range(head):  # whoever begins in the middle hears what was said before
            rest = list(observations(ledger, after, quota=quota))
            assert [(o.seq, o.agent, o.weight) for o in rest] == [
                (o.seq, o.agent, o.weight) for o in whole if o.seq > after
            ]
        folded = {o.seq for o in whole if o.quality is not None}
        for seq in {r.seq for r in ledger.rows(0, tables=("feedback",))}:
            cold = taught_by(ledger, seq, WEIGHTS, quota)
            warm = taught_by(ledger, seq, WEIGHTS, quota, once.tally)
            assert (cold.learned, cold.reason, cold.beyond) == (
                warm.learned, warm.reason, warm.beyond,
            )  # fmt: skip
            assert cold.learned == (seq in folded)


@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
@given(script=SCRIPT, allowance=st.sampled_from([0.0, 1.0, 3.0]))
def test_no_name_weighs_more_than_its_share_and_the_allowance(tmp_path_factory, script, allowance):
    """Of what all others said of the agent, from when a second name had spoken."""
    quota = FeedbackQuota(share=0.5, allowance=allowance)
    with Ledger.open(str(tmp_path_factory.mktemp("quota") / "a.db")) as ledger:
        write(ledger, script)
        words = {r.seq: r.value.source for r in ledger.rows(0, tables=("feedback",))}
        named = [(seq, s.rpartition(":")[2]) for seq, s in words.items() if s != "user"]
        start = next((seq for seq, name in named if name != named[0][1]), ledger.head()[0] + 1)
        one = Learner(Counting(), ledger, quota=quota)
        one.fold()
        taught = Counter()
        for o in observations(ledger, quota=quota):
            if o.seq in words and o.seq >= start:
                taught[o.agent, words[o.seq].rpartition(":")[2]] += o.weight
        state = one.tally.state()
    for agent, by in state["by"].items():
        for name, (said, learned) in by.items():
            assert learned <= 0.5 * (state["total"][agent] - said) + allowance + 1e-6
            assert taught[agent, name] == pytest.approx(learned)


def test_a_snapshot_of_before_there_was_a_quota_fits_where_there_is_none(ledger, tmp_path):
    write(ledger, [("decision", 0, None, "user"), ("word", 0, None, "user:a")])
    first = Learner(Counting(), ledger, quota=None)
    first.fold()
    older = learner(tmp_path, ledger, Counting, quota=None)
    older._snapshots.save(
        first.router.state_dict(), base="", folded=first.folded,
        notes={"counts": dict(first.counts), "skipped": []},
    )  # fmt: skip
    kept = learner(tmp_path, ledger, Counting, quota=None)._snapshots
    again = Learner(Counting(), ledger, quota=None, snapshots=kept)
    again.fold()
    assert again.folded == first.folded and bits(again.router) == bits(first.router)
    assert again.counts == first.counts


def test_an_estimate_leaves_out_what_is_beyond(ledger):
    for i in range(6):
        ledger.append(record(0, run=f"r{i}", cards=CARDS))
        source = "user:ann" if i == 0 else "user:mallory"
        ledger.append(fb(i, f"r{i}-d0", 1.0, source=source))
    _flush(ledger)
    judged, _ = judged_decisions(ledger, quota=TIGHT)
    assert len(judged) == 3
    judged, _ = judged_decisions(ledger, after_seq=6, quota=None)
    assert len(judged) == 3


@pytest.mark.parametrize(
    ("sources", "heard"),
    [(["user"] * 8, 0), (["user:ann"] * 8, 1), (["verifier:v"] * 3 + ["user:ann"] * 5, 6)],
)
def test_who_begins_late_reads_no_decision_before_unless_a_second_name_has_spoken(
    ledger, monkeypatch, sources, heard
):
    """Nothing was counted until then: on a million rows that is seconds in place of minutes."""
    for i, source in enumerate(sources):
        ledger.append(record(0, run=f"r{i}", cards=CARDS))
        ledger.append(fb(i, f"r{i}-d0", 1.0, source=source))
    _flush(ledger)
    read, found = Ledger.record, []
    monkeypatch.setattr(Ledger, "record", lambda self, d: found.append(d) or read(self, d))
    assert not list(observations(ledger, ledger.head()[0]))
    assert len(found) == heard
