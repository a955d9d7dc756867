"""Answers from documents by the words of the question (BM25): strong on names and identifiers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from agentroute.model.calls import AgentCall, AgentReply, Citation
from agentroute.toolbox.handover import locate
from agentroute.toolbox.passages import Passage, document_files, passages_of, sentences, terms

KNOWN = 0.5
QUOTED = 0.5  # a passage with the right words need not answer: half as sure as a computation


def agent(call: AgentCall) -> AgentReply:
    """The best passages for the prompt; abstains when too few of its words are in the best one."""
    root = locate(str(call.params.get("data", ".")), "folder of documents")
    files, left = document_files(root)
    found = passages_of(root if root.is_dir() else root.parent, files)
    query = list(dict.fromkeys(terms(call.task.prompt)))
    if not found or not query:
        return AgentReply(text="I do not know: there is nothing to search.", abstained=True)
    index = index_of(found)
    scores = np.asarray(index.get_scores(query))
    top = [int(i) for i in np.argsort(-scores, kind="stable")[: int(call.params.get("top", 3))]]
    share = coverage(query, found[top[0]], index)
    return reply([found[i] for i in top], [float(scores[i]) for i in top], query, share, left)


@lru_cache(maxsize=8)
def index_of(found: tuple[Passage, ...]) -> Any:
    """The index, kept while the passages are the same."""
    from rank_bm25 import BM25Plus

    return BM25Plus([terms(f"{p.heading} {p.text}") or ["-"] for p in found])


def coverage(query: list[str], passage: Passage, index: Any) -> float:
    """Share of the question's weight (idf) that the passage holds; unknown words weigh the most."""
    rare = max(index.idf.values(), default=1.0)
    weight = {t: float(index.idf.get(t, rare)) for t in query}
    inside = set(terms(f"{passage.heading} {passage.text}"))
    return sum(w for t, w in weight.items() if t in inside) / (sum(weight.values()) or 1.0)


def reply(
    top: list[Passage], scores: list[float], query: list[str], share: float, left: int
) -> AgentReply:
    """The two sentences of the best passage with most of the question's words, cited."""
    said = best_sentences(top[0], query)
    confidence = round(share * QUOTED, 4)
    data = {
        "answer": said, "left_out": left, "by": "BM25", "confidence": confidence,
        "passages": [
            {"source": p.source, "line": p.line, "text": p.text[:500], "score": s}
            for p, s in zip(top, scores, strict=True)
        ],
    }  # fmt: skip
    if share < KNOWN:
        return AgentReply(
            text="I do not know: no passage holds the words asked for.",
            data=data, abstained=True, confidence=confidence,
        )  # fmt: skip
    cited = Citation(source=top[0].source, locator=f"line {top[0].line}", quote=said)
    return AgentReply(text=said, data=data, citations=(cited,), confidence=confidence)


def best_sentences(passage: Passage, query: list[str], n: int = 2) -> str:
    """The ``n`` neighbouring sentences with most of the question's words."""
    parts, wanted = sentences(passage.text), set(query)
    if len(parts) <= n:
        return passage.text
    hits = [len(wanted & set(terms(s))) for s in parts]
    start = max(range(len(parts) - n + 1), key=lambda i: sum(hits[i : i + n]))
    return " ".join(parts[start : start + n])
