"""Scores a table's statistics against ones computed here, one by one, with ``statistics``."""

from __future__ import annotations

import csv
import math
import statistics
from collections import Counter
from collections.abc import Iterator
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import file_of


def agent(call: AgentCall) -> AgentReply:
    """``data.scores``: for each reply with statistics, the mean agreement over all of them."""
    with file_of(call, "clean.csv").open(encoding="utf-8", newline="") as f:
        header, *rows = list(csv.reader(f))
    truth = {h: [r[i] for r in rows if r[i]] for i, h in enumerate(header)}
    scores = []
    for task_id, reply in call.inputs.items():
        if isinstance(reply.data, dict) and {"columns", "method"} <= set(reply.data):
            parts = [s for c in reply.data["columns"] for s in agreement(c, truth, len(rows))]
            score = statistics.fmean(parts) if parts else 0.0
            method = f"{len(parts)} statistics against the statistics module, {len(rows)} rows"
            scores.append({"task_id": task_id, "score": round(score, 6), "method": method})
    return AgentReply(text=said(scores), data={"scores": scores})


def agreement(column: dict[str, Any], truth: dict[str, list[str]], n: int) -> Iterator[float]:
    """1 for a statistic that is right, falling to 0 at a tenth of the true value."""
    values = truth.get(column["name"], [])
    right: dict[str, float] = {
        "count": len(values), "missing": n - len(values), "distinct": len(set(values)),
    }  # fmt: skip
    if column["type"] == "number":
        right |= moments([float(v) for v in values])
    for name, x in right.items():
        yield closeness(column.get(name), x)
    if column["type"] != "number":
        top = Counter(values)
        for value, count in column.get("top", []):
            yield closeness(count, top[value])


def moments(x: list[float]) -> dict[str, float]:
    """Mean, deviation, extremes and median."""
    if not x:
        return {}
    return {
        "mean": statistics.fmean(x), "stdev": statistics.stdev(x) if len(x) > 1 else 0.0,
        "min": min(x), "max": max(x), "median": statistics.median(x),
    }  # fmt: skip


def closeness(said: Any, right: float) -> float:
    """1 - |said - right| / (0.1 |right|), not below 0; what was not said is worth 0."""
    if not isinstance(said, (int, float)) or not math.isfinite(said):
        return 0.0
    error = abs(said - right)
    if error <= 1e-9 + 1e-6 * abs(right):
        return 1.0
    return max(0.0, 1.0 - error / (0.1 * abs(right))) if right else 0.0


def said(scores: list[dict[str, Any]]) -> str:
    """The scores in words."""
    return "; ".join(f"{s['task_id']} {s['score']:.3f}" for s in scores) or "nothing to verify"
