"""Scores answers: against what was expected, else by what the passages that they cite speak of."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from itertools import takewhile
from pathlib import Path
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply, Citation
from agentroute.refining.extract import normal, numbers
from agentroute.toolbox.handover import locate
from agentroute.toolbox.passages import STOP, read

INDEX = re.compile(r"\[(\d+)\]$")


def agent(call: AgentCall) -> AgentReply:
    """``data.scores``: 1 right, 0 wrong for a question and agent; none where nothing can be said.

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
    text = f"{right:g} of {len(scores)} answers hold" if scores else "nothing to verify"
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
    quoting = [c for c in reply.citations if c.quote]
    if reply.abstained or not quoting:
        return None
    if not all(quoted(c, root) for c in quoting):
        return 0.0, "a quotation is not in the file that is cited"
    return bearing(str(item.get("question", "")), quoting)


def bearing(question: str, cited: list[Citation]) -> tuple[float, str] | None:
    """How much of the question the cited passages speak of: the share of its words of content.

    That a quotation exists is no merit. Half of the words or more are their share; none of two or
    more is 0; what lies between, and a question of one word that is not there, cannot be judged.
    """
    asked = content(question)
    spoken = content(" ".join(f"{c.source} {c.quote}" for c in cited))
    hits = sum(any(alike(a, b) for b in spoken) for a in asked)
    share = hits / len(asked) if asked else 0.0
    if share < 0.5 and (hits or len(asked) < 2):
        return None
    return share, f"{hits} of {len(asked)} words of the question in the cited passage"


def content(text: str) -> set[str]:
    """The words of a text that carry meaning, without a plural s."""
    return {w.removesuffix("s") for w in normal(text).split() if w not in STOP and len(w) > 1}


def alike(a: str, b: str) -> bool:
    """The same word, or two forms of one: six letters or more in common, up to three left over."""
    pairs = takewhile(lambda xy: xy[0] == xy[1], zip(a, b, strict=False))
    same = sum(1 for _ in pairs)
    return a == b or (same >= 6 and max(len(a), len(b)) - same <= 3)


def holds(reply: AgentReply, expect: Any) -> bool:
    """Whether the answer is the expected number, or has the expected words in it.

    A number that is written with decimals is right where the answer rounds to it; a whole one is
    exact (to 1e-4 of it).
    """
    number = as_number(expect)
    if number is None:
        return f" {normal(str(expect))} " in f" {normal(reply.text)} "
    right, within = number
    value = reply.data.get("value") if isinstance(reply.data, dict) else None
    said = [value] if isinstance(value, (int, float)) else numbers(reply.text)
    return any(abs(x - right) <= max(within, 1e-9 + 1e-4 * abs(right)) for x in said)


def as_number(expect: Any) -> tuple[float, float] | None:
    """An expected number and how far off an answer may be: half a unit of its last decimal."""
    if isinstance(expect, bool) or not isinstance(expect, (int, float, str)):
        return None
    try:
        exact = Decimal(str(expect).strip())
    except InvalidOperation:
        return None
    places = exact.as_tuple().exponent
    if not exact.is_finite() or not isinstance(places, int):
        return None
    return float(exact), 0.5 * 10.0**places * (1 + 1e-9) if places < 0 else 0.0


def quoted(c: Citation, root: Path) -> bool:
    """Whether the quotation stands in the file that is cited, below the folder."""
    path = (root / c.source if root.is_dir() else root).resolve()
    if not path.is_file() or not path.is_relative_to(root if root.is_dir() else root.parent):
        return False
    return normal(c.quote) in normal(read(path))
