"""Makes a table fit for counting: one form of missing, typed columns, repeats counted."""

from __future__ import annotations

import csv
import re
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply, Artifact
from agentroute.toolbox.handover import data_with, file_of

MISSING = {"", "na", "n/a", "nan", "null", "none", "-", "--", "?", "missing", "#n/a", "nil"}
NUMBER = re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,2})?$")
GROUPED = re.compile(r"^[-+]?\d{1,3}(,\d{3})+(\.\d+)?$")
DATE = re.compile(r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?$")
TRUTH = {"true", "false", "yes", "no"}
Column = list[str]


def agent(call: AgentCall) -> AgentReply:
    """Write ``clean.csv``; ``data.columns`` says each column's name, type and missing count."""
    source = data_with(call, "columns", "rows")
    with file_of(call, "table.csv").open(encoding="utf-8", newline="") as f:
        header, *rows = list(csv.reader(f))
    rows, changes = repeated(rows, drop=bool(call.params.get("drop_repeated", False)))
    columns = [tidy([r[i] for r in rows]) for i in range(len(header))]
    kept = [(h, c, t) for h, (c, t) in zip(header, columns, strict=True) if t != "empty"]
    if dropped := len(header) - len(kept):
        changes.append(f"{dropped} columns without any value were left out")
    out = call.workdir / "clean.csv"
    with out.open("w", encoding="utf-8", newline="") as f:
        csv.writer(f).writerows(
            [[h for h, _, _ in kept], *zip(*(c for _, c, _ in kept), strict=True)]
        )
    described = [{"name": h, "type": t, "missing": c.count("")} for h, c, t in kept]
    return AgentReply(
        text=f"{len(rows):,} rows, {len(kept)} columns kept. " + "; ".join(changes),
        data={
            "columns": described, "rows": len(rows), "source": source.get("source", ""),
            "changes": changes, "blocks": blocks(described, len(rows), changes),
        },
        artifacts=(Artifact(name="clean.csv", path=str(out), media_type="text/csv"),),
    )  # fmt: skip


def repeated(rows: list[list[str]], *, drop: bool) -> tuple[list[list[str]], list[str]]:
    """Say how many rows are repeated; leave them out if asked (a repeat may be a true reading)."""
    unique = list({tuple(r): r for r in reversed(rows)}.values())[::-1]
    extra = len(rows) - len(unique)
    if not extra:
        return rows, []
    done = "left out" if drop else "kept; drop_repeated leaves them out"
    return (unique if drop else rows), [f"{extra:,} repeated rows were {done}"]


def tidy(column: Column) -> tuple[Column, str]:
    """The values in one form (missing is '', numbers without signs of thousands), and the type."""
    plain = [v.strip() for v in column]
    plain = ["" if v.lower() in MISSING else v for v in plain]
    distinct = {v for v in plain if v}
    if not distinct:
        return plain, "empty"
    if distinct_numbers := numbers(distinct):
        return [distinct_numbers.get(v, "") for v in plain], "number"
    if {v.lower() for v in distinct} <= TRUTH:
        return [v.lower() for v in plain], "truth"
    return plain, "date" if all(DATE.match(v) for v in distinct) else "text"


def numbers(values: set[str]) -> dict[str, str] | None:
    """Value -> plain number, where all of them are numbers; else None."""
    out = {}
    for v in values:
        bare = v.removeprefix("$").removeprefix("€").removesuffix("%").strip()
        bare = bare.replace(",", "") if GROUPED.match(bare) else bare
        if len(bare) > 40 or not NUMBER.match(bare):
            return None
        out[v] = bare
    return out


def blocks(columns: list[dict[str, Any]], rows: int, changes: list[str]) -> list[dict[str, Any]]:
    """What a report shows of the cleaning."""
    missing = sum(c["missing"] for c in columns)
    figures = [
        ["rows", rows],
        ["columns", len(columns)],
        ["of them numbers", sum(c["type"] == "number" for c in columns)],
        ["missing values", missing],
    ]
    out: list[dict[str, Any]] = [{"kind": "figures", "items": figures}]
    if changes:
        out.append({"kind": "notes", "title": "What was cleaned", "items": changes})
    return out
