"""Scores a summary: are its sentences in the documents, and how many of their words it holds."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with
from agentroute.toolbox.passages import STOP, read

WORD = re.compile(r"[a-z]{4,}")
BREAK = re.compile(r"[.!?:](?:\s|$)|\n\s*(?:\n|[-*] )")
TERMS, MOST = 40, 30
OF_WORDS = "of the common words that so many sentences can hold"


def agent(call: AgentCall) -> AgentReply:
    """``data.scores``: share of sentences found word for word x coverage of the commonest words.

    Coverage is measured against what so many sentences of these documents could hold. A summary in
    other words (of the task ``params.task``) has no sentences to look up: the share of its words
    that the documents hold takes their place. Neither embeddings nor passages are used: whole
    files, words counted, plurals cut.
    """
    listed = data_with(call, "root", "files")
    texts = {f: read(Path(listed["root"], f)) for f in listed["files"]}
    flat = {f: " ".join(t.split()) for f, t in texts.items()}
    count = Counter(w for t in texts.values() for w in stems(t))
    common = [w for w, _ in count.most_common(TERMS)]
    best = attainable([w for t in texts.values() for w in sentence_words(t)], set(common))
    scores = []
    for task_id, reply in call.inputs.items():
        rows = reply.data.get("summary") if isinstance(reply.data, dict) else None
        if rows or (task_id == call.params.get("task") and reply.text):
            score, method = (
                judged(rows, flat, common, best) if rows else retold(reply.text, flat, common, best)
            )
            scores.append({"task_id": task_id, "score": round(score, 6), "method": method})
    text = "; ".join(f"{s['task_id']} {s['score']:.3f}" for s in scores)
    return AgentReply(text=text or "nothing to verify", data={"scores": scores})


def stems(text: str) -> list[str]:
    """Words of four letters or more, lower case, without a plural s, without stop words."""
    return [w.removesuffix("s") for w in WORD.findall(text.lower()) if w not in STOP]


def sentence_words(text: str) -> list[set[str]]:
    """The stems of each sentence, whatever ends one: a stop, a blank line or a list's dash."""
    return [set(stems(part)) for part in BREAK.split(text)]


def attainable(sentences: list[set[str]], common: set[str]) -> list[int]:
    """How many of the commonest words 0, 1, 2, ... sentences can hold, by a greedy cover."""
    left, out = set(common), [0]
    held = [s & common for s in sentences]
    while left and len(out) <= MOST and (most := max(held, key=len, default=set())):
        left -= most
        held = [h - most for h in held]
        out.append(len(common) - len(left))
    return out


def coverage(held: set[str], common: list[str], best: list[int], sentences: int) -> float:
    """Share of the commonest words that are held, of those that so many sentences can hold."""
    could = best[min(max(sentences, 1), len(best) - 1)]
    return min(1.0, sum(w in held for w in common) / could) if could else 0.0


def judged(
    rows: list[dict[str, Any]], flat: dict[str, str], common: list[str], best: list[int]
) -> tuple[float, str]:
    """Faithfulness times coverage."""
    faithful = sum(r["text"] in flat.get(r["source"], "") for r in rows) / len(rows)
    share = coverage(set(stems(" ".join(r["text"] for r in rows))), common, best, len(rows))
    return faithful * share, f"{faithful:.0%} of sentences found, {share:.0%} {OF_WORDS}"


def retold(
    text: str, flat: dict[str, str], common: list[str], best: list[int]
) -> tuple[float, str]:
    """Share of its words that the documents hold, times coverage."""
    said = stems(text)
    known = set(stems(" ".join(flat.values())))
    grounded = sum(w in known for w in said) / max(len(said), 1)
    n = sum(bool(words) for words in sentence_words(text))
    share = coverage(set(said), common, best, n)
    return grounded * share, f"{grounded:.0%} of its words found, {share:.0%} {OF_WORDS}"
