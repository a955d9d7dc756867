"""Joins what several steps or agents said into one answer: pass, vote, merge, or refuse."""

from __future__ import annotations

from agentroute.errors import UsageError
from agentroute.model.calls import AgentCall, AgentReply
from agentroute.refining.merging import merge
from agentroute.refining.refusal import refuse, says_nothing
from agentroute.refining.voting import weighted_vote
from agentroute.toolbox.handover import adopt

SHORT = 120


def agent(call: AgentCall) -> AgentReply:
    """``params.strategy``: auto (default), vote or merge; ``params.weights``: by task or agent.

    One reply passes through unchanged (its files are copied). ``auto`` votes on short answers and
    merges long ones.
    """
    strategy = str(call.params.get("strategy", "auto"))
    if strategy not in ("auto", "vote", "merge"):
        raise UsageError(f"unknown strategy '{strategy}'", hint="auto, vote or merge")
    speaking = {
        who: r for who, r in call.inputs.items()
        if not r.abstained and (r.artifacts or not says_nothing(r.text))
    }  # fmt: skip
    if not speaking:
        said = {who: r.text or "said nothing" for who, r in call.inputs.items()}
        return refuse(said or {call.task.id: "no reply came in"}, abstained=bool(said))
    joined = joined_by(strategy, speaking, dict(call.params.get("weights", {})))
    return joined.model_copy(update={"artifacts": adopt(call, joined.artifacts)})


def joined_by(
    strategy: str, speaking: dict[str, AgentReply], weights: dict[str, float]
) -> AgentReply:
    """The one reply, the winner, or all of them merged."""
    if len(speaking) == 1:
        return next(iter(speaking.values()))
    brief = all(len(r.text) <= SHORT and not r.artifacts for r in speaking.values())
    if strategy == "vote" or (strategy == "auto" and brief):
        return voted(speaking, weights)
    return merge(speaking).reply


def voted(replies: dict[str, AgentReply], weights: dict[str, float]) -> AgentReply:
    """The reply that won; weights default to each reply's own confidence; the split is said."""
    w = {who: weights.get(who, r.confidence or 0.5) for who, r in replies.items()}
    vote = weighted_vote({who: r.text for who, r in replies.items()}, w)
    best = replies[next(who for who in vote.supporters if replies[who].text == vote.winner)]
    split = "" if vote.unanimous else (
        f"\n({vote.share:.0%} of the weight; others said: {', '.join(list(vote.tally)[1:])})"
    )  # fmt: skip
    data = {"answer": vote.winner, "share": vote.share, "supporters": list(vote.supporters)}
    data["tally"] = vote.tally
    return AgentReply(
        text=vote.winner + split, data=data, citations=best.citations, confidence=vote.share
    )
