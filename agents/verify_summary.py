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
TERMS = 40


def agent(call: AgentCall) -> AgentReply:
    """``data.scores``: share of sentences found word for word x share of the commonest words held.

    A summary in other words (of the task ``params.task``) has no sentences to look up: the share of
    its words that the documents hold takes their place. Neither embeddings nor passages are used:
    whole files, words counted, plurals cut.
    """
    listed = data_with(call, "root", "files")
    texts = {f: read(Path(listed["root"], f)) for f in listed["files"]}
    flat = {f: " ".join(t.split()) for f, t in texts.items()}
    count = Counter(w for t in texts.values() for w in stems(t))
    common = [w for w, _ in count.most_common(TERMS)]
    scores = []
    for task_id, reply in call.inputs.items():
        rows = reply.data.get("summary") if isinstance(reply.data, dict) else None
        if rows or (task_id == call.params.get("task") and reply.text):
            score, method = judged(rows, flat, common) if rows else retold(reply.text, flat, common)
            scores.append({"task_id": task_id, "score": round(score, 6), "method": method})
    text = "; ".join(f"{s['task_id']} {s['score']:.3f}" for s in scores)
    return AgentReply(text=text or "nothing to verify", data={"scores": scores})


def stems(text: str) -> list[str]:
    """Words of four letters or more, lower case, without a plural s, without stop words."""
    return [w.removesuffix("s") for w in WORD.findall(text.lower()) if w not in STOP]


def judged(
    rows: list[dict[str, Any]], flat: dict[str, str], common: list[str]
) -> tuple[float, str]:
    """Faithfulness times coverage."""
    faithful = sum(r["text"] in flat.get(r["source"], "") for r in rows) / len(rows)
    held = set(stems(" ".join(r["text"] for r in rows)))
    coverage = sum(w in held for w in common) / max(len(common), 1)
    method = (
        f"{faithful:.0%} of sentences found, {coverage:.0%} of the {len(common)} commonest words"
    )
    return faithful * coverage, method


def retold(text: str, flat: dict[str, str], common: list[str]) -> tuple[float, str]:
    """Share of its words that the documents hold, times coverage."""
    said = stems(text)
    known = set(stems(" ".join(flat.values())))
    grounded = sum(w in known for w in said) / max(len(said), 1)
    coverage = sum(w in set(said) for w in common) / max(len(common), 1)
    method = (
        f"{grounded:.0%} of its words found, {coverage:.0%} of the {len(common)} commonest words"
    )
    return grounded * coverage, method
