import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentroute.model.calls import AgentReply, Artifact, Citation
from agentroute.refining.agreement import consistency, modal_share, sigma
from agentroute.refining.merging import merge
from agentroute.refining.refusal import refuse, says_nothing
from agentroute.refining.voting import weighted_vote

answers = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["1", "2", "3"]), min_size=1)


def test_a_vote_by_hand():
    vote = weighted_vote({"a": "4", "b": "5", "c": "4.0"}, {"a": 0.2, "b": 0.5, "c": 0.2})
    assert vote.winner == "5"
    assert vote.share == pytest.approx(0.5 / 0.9)
    even = weighted_vote({"a": "4", "b": "5", "c": "4.0"})
    assert even.supporters == ("a", "c")
    assert even.tally == {"4": 2.0, "5": 1.0}


@given(answers)
def test_the_winner_has_the_most_weight(given_answers):
    vote = weighted_vote(given_answers)
    assert vote.tally[vote.winner] == max(vote.tally.values())
    assert sum(vote.tally.values()) == len(given_answers)
    assert vote.share == pytest.approx(len(vote.supporters) / len(given_answers))
    assert vote.unanimous == (len(set(given_answers.values())) == 1)


@pytest.mark.parametrize("bad", [({}, None), ({"a": "1"}, {"a": -1.0})])
def test_a_vote_refuses(bad):
    with pytest.raises(ValueError, match="vote"):
        weighted_vote(*bad)


@given(st.lists(st.sampled_from(["1", "2", "3"]), min_size=1, max_size=6))
def test_shares_and_sigma_agree_on_the_ends(xs):
    assert (modal_share(xs) == 1) == (sigma(xs) == 0)
    assert 0 <= sigma(xs) <= 1
    assert 1 / len(xs) <= modal_share(xs) <= 1


def test_sigma_of_three_probes():
    assert [sigma(x) for x in (["1", "1", "1"], ["1", "1", "2"], ["1", "2", "3"])] == [0, 0.5, 1]


vectors = st.integers(1, 5).flatmap(
    lambda k: st.lists(
        st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3), min_size=k, max_size=k
    )
)


@given(vectors, st.randoms(use_true_random=False))
def test_consistency_is_bounded_and_symmetric(rows, random):
    x = np.array(rows, np.float32)
    cs = consistency(x)
    assert -1e-9 <= cs <= 1 + 1e-9
    random.shuffle(rows)
    assert consistency(np.array(rows, np.float32)) == pytest.approx(cs, abs=1e-9)


def test_consistency_by_hand():
    x = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    assert consistency(x) == pytest.approx((0 + 2 / np.sqrt(2)) / 3)
    assert consistency(x[:1]) == 1.0
    assert consistency(x[:1], x[1:]) == pytest.approx((0 + 1 / np.sqrt(2)) / 2)
    with pytest.raises(ValueError, match="at least one"):
        consistency(np.zeros((0, 2), np.float32))


def replies(**texts):
    return {k: AgentReply(text=v) for k, v in texts.items()}


def test_merging_keeps_speakers_and_states_conflicts():
    merged = merge(
        replies(
            ann="The bridge is 120 m long. It is red.",
            ben="The bridge is 130 m long. It is red.",
            cy="The bridge is 120.0 m long.",
        )
    )
    (conflict,) = merged.conflicts
    assert conflict.claims == {"120": ("ann", "cy"), "130": ("ben",)}
    assert "Conflict: The bridge is … m long: 120 (ann, cy); 130 (ben)" in merged.reply.text
    assert {s.text: s.by for s in merged.statements}["It is red."] == ("ann", "ben")


@given(st.dictionaries(st.sampled_from("abc"), st.text(min_size=1, max_size=60), min_size=1))
def test_merging_drops_nothing_but_repetition(texts):
    merged = merge({k: AgentReply(text=v) for k, v in texts.items()})
    said = {who for s in merged.statements for who in s.by}
    assert said == {k for k, v in texts.items() if v.strip()}


def test_one_speaker_does_not_contradict_itself():
    assert merge(replies(ann="Room 1 is free. Room 2 is free.")).conflicts == ()


def test_evidence_is_joined():
    a = AgentReply(
        text="x", citations=(Citation(source="f"),), confidence=0.9,
        artifacts=(Artifact(name="a", path="a"),),
    )  # fmt: skip
    reply = merge({"a": a, "b": a.model_copy(update={"confidence": 0.4})}).reply
    assert reply.confidence == 0.4
    assert len(reply.citations) == 1
    assert len(reply.artifacts) == 2


@pytest.mark.parametrize("text", ["", "  ", "I do not know.", "Sorry, no.", "Unknown", "N/A"])
def test_says_nothing(text):
    assert says_nothing(text)


@pytest.mark.parametrize("text", ["42", "Unknown Pleasures is an album", "Nobody knows the rest"])
def test_says_something(text):
    assert not says_nothing(text)


def test_a_refusal_says_who_failed():
    reply = refuse({"q": "timed out"})
    assert reply.abstained
    assert "q: timed out" in reply.text
