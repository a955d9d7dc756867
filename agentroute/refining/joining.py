"""Several replies as one answer: pass one through, pick, merge, list, or refuse. No model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentroute.errors import UsageError
from agentroute.model.calls import AgentReply
from agentroute.refining.extract import normal
from agentroute.refining.merging import merge
from agentroute.refining.picking import PICKERS
from agentroute.refining.refusal import refuse, says_nothing
from agentroute.refining.weighing import weigh

SHORT = 120
STRATEGIES = ("auto", *PICKERS, "merge", "list")


def join(
    replies: Mapping[str, AgentReply],
    *,
    strategy: str = "auto",
    weights: str | Mapping[str, float] = "confidence",
    routing: Mapping[str, float] | None = None,
    prompts: Mapping[str, str] | None = None,
    top: int | None = None,
) -> AgentReply:
    """The one answer that ``replies``, by task or agent, come to.

    Whoever says nothing is left out; one that is left passes through; none is a refusal. ``auto``
    votes on short answers to one question, lists short answers to different ones, and merges long
    texts; ``best``, ``median`` and ``central`` pick one answer by weight, by number, by likeness.
    ``weights`` and ``routing`` are those of ``weigh``; with ``top`` only the so many that weigh
    most are heard, the first of equals. ``prompts`` says what each was asked; without it, all were
    asked the same.

    Raises:
        UsageError: an unknown strategy, or unknown weights.
    """
    if strategy not in STRATEGIES:
        raise UsageError(f"unknown strategy '{strategy}'", hint=", ".join(STRATEGIES))
    speaking = {
        who: r for who, r in replies.items()
        if not r.abstained and (r.artifacts or not says_nothing(r.text))
    }  # fmt: skip
    if not speaking:
        return refuse({who: r.text or "said nothing" for who, r in replies.items()}, abstained=True)
    if top is not None and top < len(speaking):
        w = weigh(speaking, weights, routing)
        heard = sorted(speaking, key=lambda who: -w[who])[:top]
        speaking = {who: r for who, r in speaking.items() if who in heard}
    if len(speaking) == 1:
        return next(iter(speaking.values()))
    asked = {who: (prompts or {}).get(who, "") for who in speaking}
    brief = all(len(r.text) <= SHORT and not r.artifacts for r in speaking.values())
    one_question = len({normal(q) for q in asked.values()}) == 1
    if strategy == "auto" and brief and one_question:
        strategy = "vote"
    if strategy in PICKERS:
        return PICKERS[strategy](speaking, weigh(speaking, weights, routing))
    if strategy == "list" or (strategy == "auto" and brief):
        return by_item(speaking, asked)
    return merge(speaking).reply


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
