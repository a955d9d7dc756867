"""Chooses and draws the charts that say most about an analysed table."""

from __future__ import annotations

from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.charts import draw, number
from agentroute.toolbox.handover import data_with, leave

CHARTS = 8


def agent(call: AgentCall) -> AgentReply:
    """Each chart as ``chart_N.svg`` and, as data, in ``data.blocks`` for a report."""
    columns = data_with(call, "columns", "method")["columns"]
    charts = [c for c in map(chart_of, columns) if c][: int(call.params.get("charts", CHARTS))]
    files = [
        leave(call, f"chart_{i + 1}.svg", str(draw(c)), "image/svg+xml")
        for i, c in enumerate(charts)
    ]
    blocks = [{"kind": "chart", "chart": c} for c in charts]
    text = f"{len(charts)} charts: " + ", ".join(c["title"] for c in charts)
    return AgentReply(text=text, data={"charts": len(charts), "blocks": blocks}, artifacts=files)


def chart_of(column: dict[str, Any]) -> dict[str, Any] | None:
    """A histogram of a numeric column that varies, bars of a column of few words, or nothing."""
    name, distinct = column["name"], column["distinct"]
    if column["type"] == "date" or numbered(column):
        return None
    if column["type"] == "number" and column.get("histogram") and distinct > 2:
        title = f"{name} (median {number(column['median'])}, mean {number(column['mean'])})"
        return {"kind": "histogram", "title": title, **column["histogram"]}
    if column["type"] == "number" and distinct == 2:
        return share(column)
    top = column.get("top") or []
    if 1 < distinct <= 0.5 * column["count"] and len(top) > 1:
        return {"kind": "bars", "title": f"{name}: commonest values", "items": top}
    return None


def numbered(column: dict[str, Any]) -> bool:
    """Whether a column only numbers the rows: n different whole numbers in a span of n."""
    if column["type"] != "number" or not column.get("histogram"):
        return False
    seen = sum(column["histogram"]["counts"])
    span = column["max"] - column["min"] + 1
    return bool(seen > 20 and column["distinct"] == seen == span)


def share(column: dict[str, Any]) -> dict[str, Any]:
    """Two values: how often each, from the outer bins."""
    counts = column["histogram"]["counts"]
    items = [[number(column["min"]), counts[0]], [number(column["max"]), counts[-1]]]
    return {"kind": "bars", "title": f"{column['name']}: two values", "items": items}
