"""Summarises documents by their first sentences: nothing is cheaper, and many open well."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

from agentroute.model.calls import AgentCall, AgentReply, Citation
from agentroute.toolbox.handover import data_with
from agentroute.toolbox.passages import Passage, passages_of, sentences


def agent(call: AgentCall) -> AgentReply:
    """``params.sentences`` sentences: the first of each document, then the second, and so on."""
    listed = data_with(call, "root", "files")
    n = int(call.params.get("sentences", 8))
    by_file: dict[str, list[Passage]] = {}
    found = passages_of(Path(listed["root"]), listed["files"])
    for p in [p for p in found if p.prose] or found:
        opening = by_file.setdefault(p.source, [])
        if len(opening) < n:
            opening += [p._replace(text=s) for s in sentences(p.text)]
    rows = [p for turn in zip_longest(*by_file.values()) for p in turn if p][:n]
    if not rows:
        return AgentReply(text="The documents hold no sentences.", abstained=True)
    summary = [{"source": p.source, "line": p.line, "text": p.text} for p in rows]
    cited = tuple(Citation(source=p.source, locator=f"line {p.line}", quote=p.text) for p in rows)
    items = [f"{p.text} [{p.source}]" for p in rows]
    return AgentReply(
        text="\n".join(items),
        data={"summary": summary, "blocks": [{"kind": "notes", "items": items}]},
        citations=cited,
    )
