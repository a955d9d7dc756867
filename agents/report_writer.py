"""Writes one self-contained HTML page from what the steps before it handed over.

Steps describe what they want shown as ``data.blocks``, a list of mappings with ``kind``:

    figures  items [[label, value], ...]         a row of key figures
    text     title?, text                        paragraphs
    notes    title?, items [str]                 a bulleted list
    table    title?, columns, rows, note?        a table that scrolls on a phone
    chart    chart (see agentroute.toolbox.charts)

Nothing that an agent says is trusted: the template escapes it all, and charts are drawn here.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply, Artifact
from agentroute.toolbox.charts import draw, number
from agentroute.toolbox.handover import adopt, leave, missing_inputs

LEAD = 600  # characters under a heading


def agent(call: AgentCall) -> AgentReply:
    """Write ``report.html`` and ``report.json``; ``params``: title, subject, keep (files)."""
    title = str(call.params.get("title") or "Report")
    subject = str(call.params.get("subject") or "")
    sections = [
        {
            "id": t,
            "title": heading(t, r.data),
            "lead": lead(r.text, r.data),
            "blocks": drawn(r.data),
        }
        for t, r in call.inputs.items()
    ]
    missing = [heading(t) for t in missing_inputs(call)]
    page = template().render(
        title=title, subject=Path(subject).name or subject, sections=sections, missing=missing
    )
    record = {
        "title": title, "subject": subject, "missing": missing,
        "steps": {t: {"text": r.text, "data": r.data} for t, r in call.inputs.items()},
    }  # fmt: skip
    files: tuple[Artifact, ...] = (
        leave(call, "report.html", page, "text/html"),
        leave(call, "report.json", json.dumps(record, indent=1, default=str), "application/json"),
    )
    files += kept(call, tuple(call.params.get("keep", ())))
    results = {t: scalars(r.data) for t, r in call.inputs.items()}
    data = {"title": title, "missing": missing, "results": results}
    return AgentReply(text=summary(call, title, missing), data=data, artifacts=files)


def kept(call: AgentCall, names: tuple[str, ...]) -> tuple[Artifact, ...]:
    """Files of the inputs that belong beside the report, copied."""
    return adopt(call, (a for r in call.inputs.values() for a in r.artifacts if a.name in names))


def scalars(data: Any) -> dict[str, Any]:
    """The plain values of a step's data, so that a run can be judged by them."""
    plain = (str, int, float, bool)
    found = data.items() if isinstance(data, dict) else ()
    return {k: v for k, v in found if isinstance(v, plain) and len(str(v)) < 200}


def summary(call: AgentCall, title: str, missing: list[str]) -> str:
    """The report in a few lines, for a terminal."""
    lines = [f"{title}."] + [r.text.split("\n")[0] for r in call.inputs.values() if r.text]
    for r in call.inputs.values():
        gaps = r.data.get("left_out") if isinstance(r.data, dict) else None
        lines += gaps if isinstance(gaps, list) else []
    if missing:
        lines.append("Missing: " + ", ".join(missing) + ".")
    return "\n".join(lines)


def heading(task_id: str, data: Any = None) -> str:
    """The title of a step's data, else the task's id as a heading."""
    if isinstance(data, dict) and isinstance(title := data.get("title"), str) and title.strip():
        return title[:200]
    return task_id.replace("_", " ").replace("-", " ").capitalize()


def lead(text: str, data: Any) -> str:
    """The words under a heading: the reply's first paragraph, and its first line alone where notes
    or a table list the rest.
    """
    blocks = data.get("blocks", []) if isinstance(data, dict) else []
    blocks = [b for b in blocks if isinstance(b, dict) and b.get("kind") in ("notes", "table")]
    listed = {str(item).strip() for b in blocks for item in b.get("items", [])}
    lines = text.strip().split("\n\n")[0].splitlines()
    lines = [line for line in (lines[:1] if blocks else lines) if line.strip() not in listed]
    words = "\n".join(lines)
    return words if len(words) <= LEAD else words[:LEAD].rsplit(maxsplit=1)[0] + " …"


def drawn(data: Any) -> list[dict[str, Any]]:
    """The blocks, each chart drawn; columns of an analysis become a table of their own."""
    blocks = list(data.get("blocks", [])) if isinstance(data, dict) else []
    if isinstance(data, dict) and "method" in data and "columns" in data:
        blocks.append(statistics_table(data["columns"]))
    out = []
    for b in blocks:
        if isinstance(b, dict) and b.get("kind") == "chart":
            b = {**b, "svg": draw(b["chart"]), "title": b["chart"].get("title", "")}
        out.append(b)
    return [b for b in out if isinstance(b, dict)]


def statistics_table(columns: list[dict[str, Any]]) -> dict[str, Any]:
    """One row a column of the analysed table."""
    rows = []
    for c in columns:
        top = ", ".join(str(v)[:24] for v, _ in c.get("top", [])[:3])
        figures = [c.get(k) for k in ("mean", "stdev", "min", "median", "max")]
        rows.append([c["name"], c["type"], c["count"], c["missing"], c["distinct"], *figures, top])
    names = ["column", "type", "count", "missing", "distinct"]
    names += ["mean", "st. dev.", "min", "median", "max", "commonest"]
    return {"kind": "table", "title": "Every column", "columns": names, "rows": rows}


def shown(value: Any) -> str:
    """A cell as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def breakable(text: str) -> Any:
    """Escaped, and a long path may break after each of its slashes rather than within a name."""
    from markupsafe import Markup, escape

    return Markup(escape(text).replace("/", Markup("/<wbr>")))


@cache
def template() -> Any:
    """The page's template, compiled once a process."""
    from jinja2 import Environment

    env = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    env.filters["shown"], env.filters["breakable"] = shown, breakable
    env.tests["numeric"] = lambda v: isinstance(v, (int, float)) and not isinstance(v, bool)
    return env.from_string(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
