"""Describes every column of a table from its first rows: quick, and off where rows differ later."""

from __future__ import annotations

import csv
import statistics
from collections import Counter
from itertools import islice
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with, file_of

TOP = 8


def agent(call: AgentCall) -> AgentReply:
    """As ``table_profile_sql``, from the first ``params.sample`` rows; counts are scaled up.

    A table of at most ``params.whole`` rows is read whole.
    """
    table = data_with(call, "columns", "rows", "changes")
    rows, sample = int(table["rows"]), int(call.params.get("sample", 400))
    if rows <= int(call.params.get("whole", 1_000)):
        sample = rows  # a sample would save nothing
    with file_of(call, "clean.csv").open(encoding="utf-8", newline="") as f:
        head = list(islice(csv.reader(f), 1, sample + 1))
    scale = rows / max(len(head), 1)
    columns = [describe([r[i] for r in head], c, scale) for i, c in enumerate(table["columns"])]
    method = "every row" if scale == 1 else f"the first {len(head):,} of {rows:,} rows, scaled"
    return AgentReply(
        text=f"{len(columns)} columns described from {method}.",
        data={"columns": columns, "rows": rows, "method": method},
    )


def describe(values: list[str], column: dict[str, Any], scale: float) -> dict[str, Any]:
    """Count, missing, distinct; of numbers the moments and a histogram; of words the commonest."""
    known = [v for v in values if v]
    out = {"name": column["name"], "type": column["type"], "count": round(len(known) * scale)}
    out |= {"missing": round((len(values) - len(known)) * scale), "distinct": len(set(known))}
    if column["type"] == "number" and known:
        return out | numeric([float(v) for v in known])
    top = sorted(Counter(known).items(), key=lambda kv: (-kv[1], kv[0]))[:TOP]
    return out | {"top": [[v, round(n * scale)] for v, n in top]}


def numeric(x: list[float]) -> dict[str, Any]:
    """Moments, extremes, median and ten bins of equal width."""
    low, high = min(x), max(x)
    width, counts = (high - low) / 10 or 1.0, [0] * 10
    for v in x:
        counts[min(9, int((v - low) / width))] += 1
    return {
        "mean": statistics.fmean(x), "stdev": statistics.stdev(x) if len(x) > 1 else 0.0,
        "min": low, "max": high, "median": statistics.median(x),
        "histogram": {"edges": [low + k * width for k in range(11)], "counts": counts},
    }  # fmt: skip
