"""One of several short answers to one question: by vote, by weight, by middle, by likeness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from agentroute.model.calls import AgentReply
from agentroute.refining.agreement import consistency, modal_share, word_vectors
from agentroute.refining.extract import canonical, numbers
from agentroute.refining.voting import weighted_vote

Replies = Mapping[str, AgentReply]
Weights = Mapping[str, float]


def voted(replies: Replies, weights: Weights) -> AgentReply:
    """The reply of the class with the most weight; the split is said.

    ``data``: ``answer``, its ``share`` of the weight, its ``supporters``, the ``tally`` by class,
    and how far all agree: ``agreement`` (share of the largest class) and ``consistency`` (mean
    cosine of the words). It cites what its supporters cite.
    """
    texts = {who: r.text for who, r in replies.items()}
    vote = weighted_vote(texts, weights)
    best = next(who for who in vote.supporters if replies[who].text == vote.winner)
    split = "" if vote.unanimous else (
        f"\n({vote.share:.0%} of the weight; others said: {', '.join(list(vote.tally)[1:])})"
    )  # fmt: skip
    tally: dict[str, Any] = {"tally": vote.tally}
    return _picked(replies, best, vote.share, vote.supporters, split, tally)


def heaviest(replies: Replies, weights: Weights) -> AgentReply:
    """The reply that weighs most, the first of equals; ``share`` is its part of the weight."""
    best = max(replies, key=lambda who: weights[who])
    total = sum(weights.values())
    return _picked(replies, best, weights[best] / total if total else 1 / len(replies))


def median(replies: Replies, weights: Weights) -> AgentReply:
    """The reply whose number is the median, the lower of two; a vote where one has no number."""
    found = {who: numbers(r.text) for who, r in replies.items()}
    if not all(len(x) == 1 for x in found.values()):
        return voted(replies, weights)
    order = sorted(found, key=lambda who: found[who][0])
    return _picked(replies, order[(len(order) - 1) // 2])


def central(replies: Replies, weights: Weights) -> AgentReply:
    """The reply most like the others by its words (mean cosine), the first of equals."""
    x = word_vectors([r.text for r in replies.values()])
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    unit = x / np.where(norm > 0, norm, 1)
    like = np.round((unit @ unit.T).sum(axis=1), 6)
    return _picked(replies, list(replies)[int(like.argmax())])


PICKERS: dict[str, Callable[[Replies, Weights], AgentReply]] = {
    "vote": voted, "best": heaviest, "median": median, "central": central,
}  # fmt: skip


def _picked(
    replies: Replies, best: str, share: float | None = None, supporters: tuple[str, ...] = (),
    split: str = "", more: Mapping[str, Any] | None = None,
) -> AgentReply:  # fmt: skip
    texts = [r.text for r in replies.values()]
    own = canonical(replies[best].text)
    those = supporters or tuple(who for who, r in replies.items() if canonical(r.text) == own)
    part = len(those) / len(replies) if share is None else share
    data: dict[str, Any] = {"answer": replies[best].text, "share": part, "supporters": list(those)}
    data |= {"agreement": modal_share(texts), "consistency": round(consistency_of(texts), 4)}
    return AgentReply(
        text=replies[best].text + split,
        data=data | dict(more or {}),
        artifacts=replies[best].artifacts,
        citations=tuple(dict.fromkeys(c for who in those for c in replies[who].citations)),
        confidence=min(part, 1.0),
    )


def consistency_of(texts: list[str]) -> float:
    """Mean cosine of the texts' words over all pairs, in [0, 1]; 1 for one text."""
    return consistency(word_vectors(texts))
