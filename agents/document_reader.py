"""Reads documents into one text with their names, as much of each as fits."""

from __future__ import annotations

from pathlib import Path

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.caps import shares
from agentroute.toolbox.handover import data_with
from agentroute.toolbox.passages import passages_of


def agent(call: AgentCall) -> AgentReply:
    """``text``: documents, each under its name; ``data``: characters of each, and what is cut."""
    listed = data_with(call, "root", "files")
    budget = int(call.params.get("max_chars", 16_000))
    texts: dict[str, list[str]] = {}
    for p in passages_of(Path(listed["root"]), listed["files"]):
        texts.setdefault(p.source, []).append(p.text)
    wholes = {name: "\n".join(paragraphs) for name, paragraphs in texts.items()}
    room = shares([len(whole) for whole in wholes.values()], budget)
    parts, cut = [], []
    for (name, whole), share in zip(wholes.items(), room, strict=True):
        parts.append(f"[{name}]\n{whole[:share]}")
        if len(whole) > share:
            cut.append(name)
    sizes = {name: sum(map(len, rows)) for name, rows in texts.items()}
    return AgentReply(
        text="\n\n".join(parts) or "There is nothing to read.", data={"sizes": sizes, "cut": cut}
    )
