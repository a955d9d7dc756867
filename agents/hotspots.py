"""Ranks files by churn times complexity: where the next defect is most likely."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with


def agent(call: AgentCall) -> AgentReply:
    """``data.hotspots``: [{file, commits, complexity, worst, score}], highest score first."""
    listed, history = data_with(call, "root", "files"), data_with(call, "churn")
    churn, until = history["churn"], time.monotonic() + float(call.params.get("max_s", 2))
    names = sorted(listed["files"], key=lambda f: -churn.get(f, [0])[0])
    rows, done = [], 0
    for name in names:
        if time.monotonic() > until:
            break
        done += 1
        total, worst = complexity(Path(listed["root"], name))
        if total:
            commits = churn.get(name, [0, 0])[0]
            score = total * (commits if history["repository"] else 1)
            rows.append({"file": name, "commits": commits, "complexity": total, "worst": worst})
            rows[-1]["score"] = score
    rows.sort(key=lambda r: (-r["score"], r["file"]))
    left = len(names) - done
    return AgentReply(
        text=said(rows, left, history["repository"]),
        data={
            "hotspots": rows[:100],
            "left_out": left,
            "blocks": blocks(rows, left, history["repository"]),
        },
    )


def complexity(path: Path) -> tuple[int, str]:
    """Sum of a file's cyclomatic complexities and its worst function; 0 if it does not parse."""
    from radon.complexity import cc_visit

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = cc_visit(path.read_text(encoding="utf-8", errors="replace"))
    except (SyntaxError, ValueError, RecursionError, OSError):
        return 0, ""
    functions = [b for b in found if not hasattr(b, "methods")]
    if not functions:
        return 0, ""
    top = max(functions, key=lambda b: b.complexity)
    return sum(b.complexity for b in functions), f"{top.name}:{top.lineno} ({top.complexity})"


def said(rows: list[dict[str, Any]], left: int, repository: bool) -> str:
    """The result in words, with what it rests on."""
    by = "churn x complexity" if repository else "complexity alone, as churn is unknown"
    first = f"; hottest: {rows[0]['file']}" if rows else ""
    return f"{len(rows)} files ranked by {by}{first}." + (
        f" {left} left out (2 s)." if left else ""
    )


def blocks(rows: list[dict[str, Any]], left: int, repository: bool) -> list[dict[str, Any]]:
    """Churn against complexity (or complexity alone), and the top of the list."""
    chart: dict[str, Any] = {"kind": "points", "x": "complexity", "y": "commits"}
    chart["title"] = "Churn and complexity of each file"
    chart["points"] = [[r["complexity"], r["commits"], r["file"]] for r in rows]
    if not repository:
        items = [[r["file"], r["complexity"]] for r in rows[:12]]
        chart = {"kind": "bars", "title": "Most complex files", "items": items}
    columns = ["file", "commits", "complexity", "worst function", "score"]
    body = [[r["file"], r["commits"], r["complexity"], r["worst"], r["score"]] for r in rows[:20]]
    out: list[dict[str, Any]] = [{"kind": "chart", "chart": chart}] if len(rows) > 1 else []
    note = f"{left} files were left out (time cap)" if left else ""
    return [*out, {"kind": "table", "columns": columns, "rows": body, "note": note}]
