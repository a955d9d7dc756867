"""Says which documents are about the same things, by the embeddings of their paragraphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agentroute.features.text import make_embedder, normalise
from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with
from agentroute.toolbox.passages import passages_of

SHOWN, MOST = 12, 200


def agent(call: AgentCall) -> AgentReply:
    """``data.pairs``: [[document, document, cosine], ...], the nearest first."""
    listed = data_with(call, "root", "files")
    texts: dict[str, list[str]] = {}
    for p in passages_of(Path(listed["root"]), listed["files"]):
        texts.setdefault(p.source, []).append(p.text)
    names = list(texts)[:MOST]
    left = len(texts) - len(names)
    if len(names) < 2:
        return AgentReply(text="There is one document only.", data={"pairs": [], "blocks": []})
    embedder = make_embedder("wordllama")
    x = normalise(np.stack([embedder.encode(texts[n]).mean(axis=0) for n in names]))
    cosine = x @ x.T
    i, j = np.triu_indices(len(names), 1)
    order = np.argsort(-cosine[i, j], kind="stable")[:50]
    pairs = [[names[i[k]], names[j[k]], round(float(cosine[i[k], j[k]]), 3)] for k in order]
    few = [Path(n).stem for n in names[:SHOWN]]
    values = [[round(float(v), 3) for v in row[: len(few)]] for row in cosine[: len(few)]]
    chart = {"kind": "heat", "title": "Likeness of documents", "rows": few, "columns": few}
    a, b, c = pairs[0]
    return AgentReply(
        text=f"Nearest to each other: {a} and {b} ({c:.2f})."
        + (f" {left} documents were left out (cap)." if left else ""),
        data={
            "pairs": pairs,
            "left_out": left,
            "blocks": [{"kind": "chart", "chart": chart | {"values": values}}],
        },
    )
