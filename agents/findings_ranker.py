"""Ranks the findings of several inspectors, one row a place, worst first."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import leave, missing_inputs

ORDER = {"high": 0, "medium": 1, "low": 2}
COLUMNS = ["severity", "file", "line", "rule", "text", "found by"]


def agent(call: AgentCall) -> AgentReply:
    """``data``: findings (ranked), counts, ``failed`` (those at or above ``params.threshold``).

    ``unread`` counts what a cap kept from the inspectors. ``blocking`` is what a gate fails on:
    ``failed`` and, unless ``params.allow_unread``, ``unread`` (0 where there is no threshold).
    """
    rows, gaps, unread = ranked(call), left_out(call), not_read(call)
    count = Counter(r["severity"] for r in rows)
    threshold = str(call.params.get("threshold", "high"))
    failed = [r for r in rows if ORDER[r["severity"]] <= ORDER.get(threshold, -1)]
    strict = threshold in ORDER and not call.params.get("allow_unread")
    if unread and strict:
        gaps.append("not all was read: raise the caps (max_files, max_mb, max_s), or allow_unread")
    data = {
        "findings": rows[:1000], "counts": {k: count[k] for k in ORDER}, "failed": len(failed),
        "threshold": threshold, "left_out": gaps, "blocks": blocks(rows, count, gaps),
        "unread": unread, "blocking": len(failed) + (unread if strict else 0),
    }  # fmt: skip
    lines = gaps + [f"{r['file']}:{r['line']}: {r['severity']}: {r['text']}" for r in rows[:10]]
    head = f"{len(rows)} findings: " + ", ".join(f"{count[k]} {k}" for k in ORDER) + "."
    files = (leave(call, "findings.csv", as_csv(rows), "text/csv"),)
    return AgentReply(text="\n".join([head, *lines]), data=data, artifacts=files)


def ranked(call: AgentCall) -> list[dict[str, Any]]:
    """Every finding once a (file, line, rule), by severity, then place."""
    seen: dict[tuple[str, int, str], dict[str, Any]] = {}
    for task_id, reply in call.inputs.items():
        found = reply.data.get("findings", []) if isinstance(reply.data, dict) else []
        for f in found:
            key = (f["file"], int(f["line"]), f["rule"])
            seen.setdefault(key, {**f, "found by": task_id})
    return sorted(seen.values(), key=lambda f: (ORDER[f["severity"]], f["file"], f["line"]))


def left_out(call: AgentCall) -> list[str]:
    """What the inspectors did not see, in words."""
    said = [f"{t} gave no result" for t in missing_inputs(call)]
    for task_id, reply in call.inputs.items():
        data = reply.data if isinstance(reply.data, dict) else {}
        if n := data.get("left_out", 0):
            names = ", ".join(data.get("unread", [])[:5]) + (", ..." if n > 5 else "")
            why = f"by the cap: {names}" if "unread" in data else "as time ran out"
            said.append(f"{task_id}: {n} file{'s' * (n > 1)} left out {why}")
        if not data.get("in_time", True):
            said.append(f"{task_id}: time ran out; there may be more files")
        if n := len(data.get("unreadable", [])):
            said.append(f"{task_id}: {n} files do not parse and were not seen")
    return said


def not_read(call: AgentCall) -> int:
    """How much a cap kept from the inspectors: files, and one for a listing that was cut short."""
    handed = [r.data for r in call.inputs.values() if isinstance(r.data, dict)]
    return sum(int(d.get("left_out", 0)) + (not d.get("in_time", True)) for d in handed)


def as_csv(rows: list[dict[str, Any]]) -> str:
    """The findings as a table; a cell that a spreadsheet would run is quoted."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for r in rows:
        cells = [str(r[c]) for c in COLUMNS]
        writer.writerow(["'" + c if c[:1] in "=+-@" else c for c in cells])
    return out.getvalue()


def blocks(
    rows: list[dict[str, Any]], count: Counter[str], gaps: list[str]
) -> list[dict[str, Any]]:
    """Figures, gaps, bars of the rules, and the table."""
    rules = Counter(r["rule"] for r in rows).most_common(12)
    out: list[dict[str, Any]] = [{"kind": "figures", "items": [[k, count[k]] for k in ORDER]}]
    if gaps:
        out.append({"kind": "notes", "title": "Not seen", "items": gaps})
    if rules:
        chart = {"kind": "bars", "title": "Findings by rule", "items": [list(r) for r in rules]}
        out.append({"kind": "chart", "chart": chart})
        body = [[r["severity"], f"{r['file']}:{r['line']}", r["rule"], r["text"]] for r in rows]
        note = f"the first 200 of {len(rows)}; all are in findings.csv" if len(rows) > 200 else ""
        columns = ["severity", "where", "rule", "what"]
        out.append({"kind": "table", "columns": columns, "rows": body[:200], "note": note})
    return out
