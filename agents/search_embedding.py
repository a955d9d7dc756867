"""Answers from documents by the meaning of the question (embeddings): strong on paraphrase."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from agentroute.features.text import make_embedder
from agentroute.model.arrays import F32
from agentroute.model.calls import AgentCall, AgentReply, Citation
from agentroute.toolbox.handover import locate
from agentroute.toolbox.passages import Passage, document_files, passages_of, sentences

KNOWN = 0.24
QUOTED = 0.5  # a near passage need not answer: half as sure as a computation


def agent(call: AgentCall) -> AgentReply:
    """The nearest passages to the prompt; abstains when even the best one is far."""
    root = locate(str(call.params.get("data", ".")), "folder of documents")
    files, left = document_files(root)
    found = passages_of(root if root.is_dir() else root.parent, files)
    if not found:
        return AgentReply(text="I do not know: there is nothing to search.", abstained=True)
    embedder = make_embedder(str(call.params.get("embedder", "wordllama")))
    query = embedder.encode([call.task.prompt])[0]
    spans, x = windows(found, embedder.id, str(call.params.get("embedder", "wordllama")))
    cosine = x @ query
    top = [int(i) for i in np.argsort(-cosine, kind="stable")[: int(call.params.get("top", 3))]]
    return reply([spans[i] for i in top], [float(cosine[i]) for i in top], left)


@lru_cache(maxsize=8)
def windows(found: tuple[Passage, ...], _id: str, name: str) -> tuple[list[Passage], F32]:
    """Every two neighbouring sentences of every passage, with their unit vectors (n, e)."""
    spans = []
    for p in found:
        parts = sentences(p.text)
        for i in range(max(1, len(parts) - 1)):
            spans.append(p._replace(text=" ".join(parts[i : i + 2])))
    return spans, make_embedder(name).encode([f"{p.heading}. {p.text}" for p in spans])


def reply(top: list[Passage], scores: list[float], left: int) -> AgentReply:
    """The best two sentences, cited."""
    confidence = round(QUOTED * min(1.0, max(0.0, scores[0])), 4)
    data = {
        "answer": top[0].text, "left_out": left, "by": "embeddings", "confidence": confidence,
        "passages": [
            {"source": p.source, "line": p.line, "text": p.text[:500], "score": s}
            for p, s in zip(top, scores, strict=True)
        ],
    }  # fmt: skip
    if scores[0] < KNOWN:
        return AgentReply(
            text="I do not know: no passage is near enough to the question.",
            data=data, abstained=True, confidence=confidence,
        )  # fmt: skip
    cited = Citation(source=top[0].source, locator=f"line {top[0].line}", quote=top[0].text)
    return AgentReply(text=top[0].text, data=data, citations=(cited,), confidence=confidence)
