"""Describes every column of a table exactly, with SQL over all of its rows."""

from __future__ import annotations

import csv
import math
import sqlite3
from pathlib import Path
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with, file_of

TOP = 8


def agent(call: AgentCall) -> AgentReply:
    """``data.columns``: per column its statistics; ``data.rows``: how many rows they rest on."""
    columns = data_with(call, "columns", "rows", "changes")["columns"]
    db = loaded(file_of(call, "clean.csv"), columns)
    try:
        described = [describe(db, i, c) for i, c in enumerate(columns)]
        rows = int(db.execute("SELECT count(*) FROM t").fetchone()[0])
    finally:
        db.close()
    text = f"{rows:,} rows, {len(columns)} columns described exactly with SQL."
    return AgentReply(
        text=text, data={"columns": described, "rows": rows, "method": "SQL over every row"}
    )


def loaded(path: Path, columns: list[dict[str, Any]]) -> sqlite3.Connection:
    """The table in memory; columns are named c0, c1, ... so that no name reaches the SQL."""
    db = sqlite3.connect(":memory:")
    db.create_function("sqrt", 1, math.sqrt, deterministic=True)
    kinds = ", ".join(
        f"c{i} {'REAL' if c['type'] == 'number' else 'TEXT'}" for i, c in enumerate(columns)
    )
    db.execute(f"CREATE TABLE t ({kinds})")
    marks = ", ".join("nullif(?, '')" for _ in columns)
    with path.open(encoding="utf-8", newline="") as f:
        rows = csv.reader(f)
        next(rows, None)
        db.executemany(f"INSERT INTO t VALUES ({marks})", rows)
    return db


def describe(db: sqlite3.Connection, i: int, column: dict[str, Any]) -> dict[str, Any]:
    """Count, missing, distinct; of numbers the moments and a histogram; of words the commonest."""
    c = f"c{i}"
    count, missing, distinct = db.execute(
        f"SELECT count({c}), count(*) - count({c}), count(DISTINCT {c}) FROM t"
    ).fetchone()
    out = {"name": column["name"], "type": column["type"], "count": count, "missing": missing}
    out["distinct"] = distinct
    return out | (numeric(db, c, count) if column["type"] == "number" and count else words(db, c))


def numeric(db: sqlite3.Connection, c: str, count: int) -> dict[str, Any]:
    """Mean, sample standard deviation in two passes, extremes, median, and ten bins."""
    mean, low, high = db.execute(f"SELECT avg({c}), min({c}), max({c}) FROM t").fetchone()
    squares = db.execute(f"SELECT sum(({c} - ?) * ({c} - ?)) FROM t", (mean, mean)).fetchone()[0]
    middle = db.execute(
        f"SELECT {c} FROM t WHERE {c} IS NOT NULL ORDER BY {c} LIMIT ? OFFSET ?",
        (2 - count % 2, (count - 1) // 2),
    ).fetchall()
    stdev = math.sqrt(squares / (count - 1)) if count > 1 else 0.0
    out = {"mean": mean, "stdev": stdev, "min": low, "max": high}
    out["median"] = sum(r[0] for r in middle) / len(middle)
    return out | {"histogram": histogram(db, c, low, high)}


def histogram(db: sqlite3.Connection, c: str, low: float, high: float) -> dict[str, Any]:
    """Counts in ten bins of equal width."""
    width = (high - low) / 10 or 1.0
    counts = [0] * 10
    sql = f"SELECT min(9, cast(({c} - ?) / ? AS INTEGER)), count({c}) FROM t WHERE {c} NOTNULL "
    for at, n in db.execute(sql + "GROUP BY 1", (low, width)):
        counts[max(0, at)] += n
    return {"edges": [low + k * width for k in range(11)], "counts": counts}


def words(db: sqlite3.Connection, c: str) -> dict[str, Any]:
    """The commonest values."""
    sql = f"SELECT {c}, count(*) FROM t WHERE {c} NOTNULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?"
    return {"top": [[str(v), n] for v, n in db.execute(sql, (TOP,))]}
