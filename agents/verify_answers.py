"""Scores answers: against what was expected, else by looking up what they cite."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply, Citation
from agentroute.refining.extract import normal, numbers
from agentroute.toolbox.handover import locate
from agentroute.toolbox.passages import read

INDEX = re.compile(r"\[(\d+)\]$")


def agent(call: AgentCall) -> AgentReply:
    """``data.scores``: one row a question and agent; 1 right, 0 wrong.

    ``params``: ``questions`` (with ``expect`` where known; null means that nobody can know),
    ``data``, the folder that citations refer to, and ``agents``, task id -> who was asked.
    """
    asked = call.params.get("questions") or []
    root = locate(str(call.params.get("data", ".")))
    teams = call.params.get("agents") or {}
    scores = []
    for task_id, reply in call.inputs.items():
        m = INDEX.search(task_id)
        if m is None or int(m[1]) >= len(asked):
            continue
        item = asked[int(m[1])]
        for name, member in members(reply, teams.get(task_id) or []).items():
            judged = judge(item if isinstance(item, dict) else {}, member, root)
            if judged:
                row: dict[str, Any] = {"task_id": task_id, "score": judged[0], "method": judged[1]}
                scores.append(row | ({"agent": name} if name else {}))
    right = sum(s["score"] for s in scores)
    text = f"{right:g} of {len(scores)} answers hold"
    return AgentReply(text=text, data={"scores": scores})


def members(reply: AgentReply, asked: list[str]) -> dict[str, AgentReply]:
    """Each agent's own reply; '' for a single one. Of a team, who is silent has abstained."""
    team = reply.data.get("team") if isinstance(reply.data, dict) else None
    if not team:
        return dict.fromkeys(asked, reply) if len(asked) > 1 and reply.abstained else {"": reply}
    said = {
        a: AgentReply(
            text=m["text"], data=m.get("data"), abstained=reply.abstained, citations=reply.citations
        )
        for a, m in team.items()
    }
    return said | {a: AgentReply(abstained=True) for a in asked if a not in team}


def judge(item: dict[str, Any], reply: AgentReply, root: Path) -> tuple[float, str] | None:
    """Score and method; None where nothing can be said."""
    if "expect" in item and item["expect"] is None:
        return float(reply.abstained), "nobody can know"
    if "expect" in item:
        return float(not reply.abstained and holds(reply, item["expect"])), "expected answer"
    if reply.abstained or not reply.citations:
        return None
    found = [quoted(c, root) for c in reply.citations if c.quote]
    return (sum(found) / len(found), "citations looked up") if found else None


def holds(reply: AgentReply, expect: Any) -> bool:
    """Whether the answer is the expected number (to 1e-4 of it), or holds the expected words."""
    if isinstance(expect, (int, float)) and not isinstance(expect, bool):
        value = reply.data.get("value") if isinstance(reply.data, dict) else None
        said = [value] if isinstance(value, (int, float)) else numbers(reply.text)
        return any(abs(x - expect) <= 1e-9 + 1e-4 * abs(expect) for x in said)
    return normal(str(expect)) in normal(reply.text)


def quoted(c: Citation, root: Path) -> bool:
    """Whether the quotation stands in the file that is cited, below the folder."""
    path = (root / c.source if root.is_dir() else root).resolve()
    if not path.is_file() or not path.is_relative_to(root if root.is_dir() else root.parent):
        return False
    return normal(c.quote) in normal(read(path))
