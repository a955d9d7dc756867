"""Brings the answers to many questions together: chooses, states conflicts, abstains."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply, Citation
from agentroute.refining.extract import canonical, numbers
from agentroute.refining.voting import weighted_vote
from agentroute.toolbox.handover import leave
from agentroute.toolbox.passages import terms

INDEX = re.compile(r"\[(\d+)\]$")
ALIKE = 0.6


def agent(call: AgentCall) -> AgentReply:
    """``data.answers``: one row a question; ``data.contradictions``: pairs that do not fit."""
    asked = call.params.get("questions") or []
    given = {int(m[1]): r for t, r in call.inputs.items() if (m := INDEX.search(t))}
    rows = [settled(i, question(q), given.get(i)) for i, q in enumerate(asked)]
    pairs = contradictions(rows)
    count = {s: sum(r["status"] == s for r in rows) for s in ("answered", "contested", "unknown")}
    head = f"{len(rows)} questions: {count['answered']} answered, {count['contested']} contested, "
    head += f"{count['unknown']} that nobody could answer, {len(pairs)} contradictions."
    files = (leave(call, "answers.csv", as_csv(rows), "text/csv"),)
    data = {"answers": rows, "contradictions": pairs, **count, "blocks": blocks(rows, pairs, count)}
    cited = tuple(c for r in given.values() for c in r.citations)[:200]
    return AgentReply(text=head, data=data, artifacts=files, citations=cited)


def question(q: Any) -> str:
    """The text of a question, given alone or in a mapping."""
    return str(q.get("question", "")) if isinstance(q, dict) else str(q)


def settled(i: int, text: str, reply: AgentReply | None) -> dict[str, Any]:
    """One question's row: answered, contested (the loser is named) or unknown."""
    row: dict[str, Any] = {"n": i + 1, "question": text, "answer": "", "status": "unknown"}
    row |= {"others": [], "sources": [], "share": 0.0}
    if reply is None or reply.abstained or not reply.text:
        return row
    voices = speakers(reply)
    vote = weighted_vote({a: v["text"] for a, v in voices.items()},
                         {a: v["weight"] for a, v in voices.items()})  # fmt: skip
    row |= {"answer": vote.winner, "share": round(vote.share, 3)}
    row["status"] = "answered" if vote.unanimous or supports(voices, vote.winner) else "contested"
    row["others"] = [v["text"] for a, v in voices.items() if a not in vote.supporters]
    row["sources"] = list(dict.fromkeys(where(c) for c in reply.citations))[:3]
    return row


def speakers(reply: AgentReply) -> dict[str, dict[str, Any]]:
    """Each agent's text and weight (its confidence); a team is kept apart in ``data.team``."""
    team = reply.data.get("team") if isinstance(reply.data, dict) else None
    if not team:
        return {"": {"text": reply.text, "weight": reply.confidence or 0.5}}
    return {a: {"text": m["text"], "weight": weight_of(m.get("data"))} for a, m in team.items()}


def weight_of(data: Any) -> float:
    """The confidence that a member of a team states in its data; 0.5 where it states none."""
    stated = data.get("confidence") if isinstance(data, dict) else None
    return float(stated) if isinstance(stated, (int, float)) else 0.5


def supports(voices: dict[str, dict[str, Any]], winner: str) -> bool:
    """Whether every other answer holds the winning one, or the same numbers, or is held by it."""
    a = canonical(winner)
    return all(a in canonical(v["text"]) or canonical(v["text"]) in a for v in voices.values())


def where(c: Citation) -> str:
    """A citation as one word and place."""
    return f"{c.source}, {c.locator}" if c.locator.startswith("line") else c.source


def contradictions(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pairs of questions that ask alike (Jaccard of terms) and are answered by other numbers."""
    known = [(r, set(terms(r["question"])), set(numbers(r["answer"]))) for r in rows if r["answer"]]
    out = []
    for i, (a, ta, na) in enumerate(known):
        for b, tb, nb in known[i + 1 :]:
            alike = len(ta & tb) / (len(ta | tb) or 1)
            if alike >= ALIKE and na and nb and not na & nb:
                out.append(
                    {"first": a["n"], "second": b["n"], "answers": [a["answer"], b["answer"]]}
                )
    return out


def as_csv(rows: list[dict[str, Any]]) -> str:
    """The answers as a table; a cell that a spreadsheet would run is quoted."""
    out = io.StringIO()
    writer = csv.writer(out)
    names = ["n", "question", "answer", "status", "others", "sources"]
    writer.writerow(names)
    for r in rows:
        cells = ["; ".join(r[k]) if isinstance(r[k], list) else str(r[k]) for k in names]
        writer.writerow(["'" + c if c.startswith(("=", "+", "@")) else c for c in cells])
    return out.getvalue()


def blocks(
    rows: list[dict[str, Any]], pairs: list[dict[str, Any]], count: dict[str, int]
) -> list[dict[str, Any]]:
    """Figures, contradictions, and the table of answers."""
    out: list[dict[str, Any]] = [{"kind": "figures", "items": [list(c) for c in count.items()]}]
    if pairs:
        items = [f"{p['first']} and {p['second']}: {' / '.join(p['answers'])}" for p in pairs]
        out.append({"kind": "notes", "title": "Contradictions", "items": items})
    body = [
        [
            r["n"],
            r["question"],
            r["answer"] or "nobody knows",
            r["status"],
            r["sources"],
            r["others"],
        ]
        for r in rows
    ]
    columns = ["", "question", "answer", "status", "sources", "others said"]
    return [*out, {"kind": "table", "columns": columns, "rows": body}]
