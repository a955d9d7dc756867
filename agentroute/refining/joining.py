"""Several replies as one answer: pass one through, vote, merge, list, or refuse. No model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentroute.errors import UsageError
from agentroute.model.calls import AgentReply
from agentroute.refining.extract import normal
from agentroute.refining.merging import merge
from agentroute.refining.refusal import refuse, says_nothing
from agentroute.refining.voting import weighted_vote

SHORT = 120
STRATEGIES = ("auto", "vote", "merge", "list")


def join(
    replies: Mapping[str, AgentReply],
    *,
    strategy: str = "auto",
    weights: Mapping[str, float] | None = None,
    prompts: Mapping[str, str] | None = None,
) -> AgentReply:
    """The one answer that ``replies``, by task or agent, come to.

    Whoever says nothing is left out; one that is left passes through; none is a refusal. ``auto``
    votes on short answers to one question, lists short answers to different ones, and merges long
    texts. ``prompts`` says what each was asked; without it, all were asked the same.

    Raises:
        UsageError: an unknown strategy.
    """
    if strategy not in STRATEGIES:
        raise UsageError(f"unknown strategy '{strategy}'", hint=", ".join(STRATEGIES))
    speaking = {
        who: r for who, r in replies.items()
        if not r.abstained and (r.artifacts or not says_nothing(r.text))
    }  # fmt: skip
    if not speaking:
        return refuse({who: r.text or "said nothing" for who, r in replies.items()}, abstained=True)
    if len(speaking) == 1:
        return next(iter(speaking.values()))
    asked = {who: (prompts or {}).get(who, "") for who in speaking}
    brief = all(len(r.text) <= SHORT and not r.artifacts for r in speaking.values())
    one_question = len({normal(q) for q in asked.values()}) == 1
    if strategy == "vote" or (strategy == "auto" and brief and one_question):
        return voted(speaking, weights or {})
    if strategy == "list" or (strategy == "auto" and brief):
        return by_item(speaking, asked)
    return merge(speaking).reply


def voted(replies: Mapping[str, AgentReply], weights: Mapping[str, float]) -> AgentReply:
    """The reply that won; weights default to each reply's own confidence; the split is said."""
    w = {
        who: weights.get(who, 0.5 if r.confidence is None else r.confidence)
        for who, r in replies.items()
    }
    vote = weighted_vote({who: r.text for who, r in replies.items()}, w)
    best = replies[next(who for who in vote.supporters if replies[who].text == vote.winner)]
    split = "" if vote.unanimous else (
        f"\n({vote.share:.0%} of the weight; others said: {', '.join(list(vote.tally)[1:])})"
    )  # fmt: skip
    data: dict[str, Any] = {"answer": vote.winner, "share": vote.share}
    data |= {"supporters": list(vote.supporters), "tally": vote.tally}
    return AgentReply(
        text=vote.winner + split,
        data=data,
        artifacts=best.artifacts,
        citations=best.citations,
        confidence=min(vote.share, 1.0),
    )


def by_item(
    replies: Mapping[str, AgentReply],
    prompts: Mapping[str, str],
    *,
    missing: Sequence[str] = (),
) -> AgentReply:
    """One entry an item, in order: answers to different questions are neither counted nor merged.

    ``data`` is a list of ``{task, prompt, text, data}``; an item in ``missing`` has ``text`` None.
    """
    order = [v for v in prompts if v in replies or v in missing]
    rows: list[dict[str, Any]] = []
    lines = []
    for v in order:
        reply = replies.get(v)
        text = None if reply is None else reply.text
        data = None if reply is None else reply.data
        rows.append({"task": v, "prompt": prompts[v], "text": text, "data": data})
        lines.append(_line(prompts[v] or v, "no answer" if text is None else text))
    there = [replies[v] for v in order if v in replies]
    confidences = [r.confidence for r in there if r.confidence is not None]
    return AgentReply(
        text="\n".join(lines),
        data=rows,
        artifacts=tuple(a for r in there for a in r.artifacts),
        citations=tuple(dict.fromkeys(c for r in there for c in r.citations)),
        confidence=min(confidences, default=None),
        abstained=all(r.abstained for r in there),
    )


def _line(prompt: str, text: str) -> str:
    head = " ".join(prompt.split())
    head = head if len(head) <= SHORT else head[: SHORT - 1] + "…"
    if len(text) <= SHORT and "\n" not in text:
        return f"- {head}: {text}"
    return f"- {head}:\n" + "\n".join(f"  {line}" for line in text.splitlines())
