"""Scores a table report: statistics recomputed one by one, and the file read a second time.

The file is read here in another way than the loader does, and what was kept of it is compared value
by value.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import re
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with, file_of, locate

Column = list[str]
BLANK = {"", "na", "n/a", "nan", "null", "none", "-", "--", "?", "missing", "#n/a", "nil"}
SIGNS = str.maketrans({"−": "-", "$": "", "€": "", "£": "", "¥": "", "%": ""})
YEAR = re.compile(r"(1[5-9]|20|21)\d\d")
MOST_BYTES = 64 * 1024 * 1024
WRONG = 0.5  # a step with a wrong result is worth at most this share of what is right in it


def agent(call: AgentCall) -> AgentReply:
    """``data.scores``: each reply with statistics against the cleaned table; with ``params.path``
    also the cleaned table against the file.
    """
    with file_of(call, "clean.csv").open(encoding="utf-8", newline="") as f:
        header, *rows = list(csv.reader(f))
    kept = {h: [r[i] for r in rows] for i, h in enumerate(header)}
    truth = {h: [v for v in c if v] for h, c in kept.items()}
    scores = []
    for task_id, reply in call.inputs.items():
        if isinstance(reply.data, dict) and {"columns", "method"} <= set(reply.data):
            parts = [list(agreement(c, truth, len(rows))) for c in reply.data["columns"]]
            parts += [[0.0]] * (len(header) - len(parts))
            method = f"{sum(map(len, parts))} statistics against the statistics module"
            scores.append(row(task_id, parts, f"{method}, {len(rows)} rows"))
        elif "path" in call.params and holds_clean(reply):
            parts = [[float(same)] for same in as_in_file(call, kept)]
            method = f"{len(parts)} columns against the file, read a second time"
            scores.append(row(task_id, parts, method))
    return AgentReply(text=said(scores), data={"scores": scores})


def holds_clean(reply: AgentReply) -> bool:
    """Whether a reply is the cleaning: it left the table that everything rests on."""
    return any(a.name == "clean.csv" for a in reply.artifacts)


def row(task_id: str, parts: list[list[float]], method: str) -> dict[str, Any]:
    """A score: the mean over all parts, less the more columns have one that is plainly wrong."""
    flat = [x for p in parts for x in p]
    wrong = sum(min(p, default=1.0) <= 0 for p in parts)
    right = 1.0 - wrong / len(parts) if parts else 0.0
    score = statistics.fmean(flat) * (1.0 if not wrong else WRONG + (1 - WRONG) * right)
    method += f", {wrong} of {len(parts)} columns wrong" if wrong else ""
    return {"task_id": task_id, "score": round(score if flat else 0.0, 6), "method": method}


def agreement(column: dict[str, Any], truth: dict[str, Column], n: int) -> Iterator[float]:
    """1 for a statistic that is right, falling to 0 at a tenth of the true value."""
    values = truth.get(column["name"], [])
    right: dict[str, float] = {
        "count": len(values), "missing": n - len(values), "distinct": len(set(values)),
    }  # fmt: skip
    if column["type"] == "number":
        right |= moments([x for v in values if (x := number(v)) is not None])
        right["distinct"] = len({number(v) for v in values})
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


# -- the file, read a second time --------------------------------------------------------------


def as_in_file(call: AgentCall, kept: dict[str, Column]) -> list[bool]:
    """For each column of the file that has a value: whether the cleaned one is the same.

    Columns are compared in their order, whatever they are called. Where the loader says that it
    read a part, so many rows are compared; where rows were dropped as repeats, none are.
    """
    loaded = data_with(call, "source", "encoding", "left_out")
    cleaned = data_with(call, "columns", "rows", "changes")
    n = int(loaded["rows"])
    if cleaned["rows"] != n:
        return [True] * len(kept)
    grid = read(locate(str(call.params["path"])))
    below = grid[1:] if headed(grid) else grid
    if loaded["left_out"]:
        below = below[:n]
    wide = max(map(len, below), default=0)
    columns = [[r[i] if i < len(r) else "" for r in below] for i in range(wide)]
    known = [c for c in columns if any(v.strip().lower() not in BLANK for v in c)]
    pairs = zip(known, kept.values(), cleaned["columns"], strict=False)
    found = [same(a, b, c["type"]) for a, b, c in pairs]
    return found + [False] * (max(len(known), len(kept)) - len(found))


def same(raw: Column, clean: Column, kind: str) -> bool:
    """Whether a cleaned column says what the file says: of numbers, values and how many."""
    plain = ["" if v.strip().lower() in BLANK else v.strip() for v in raw]
    if len(plain) != len(clean):
        return False
    comma = any(re.search(r",\d{1,2}$|,\d{4,}$|\.\d{3},", v.translate(SIGNS)) for v in plain)
    values = [number(v, comma=comma) for v in plain if v]
    named = any(re.match(r"[-+]?0\d", v) for v in plain) and all(v.isdigit() for v in plain if v)
    countable = bool(values) and None not in values and not named
    if kind == "number":
        stated = [number(v) for v in clean if v]
        return countable and len(stated) == len(values) and all(
            a is not None and b is not None and math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
            for a, b in zip(stated, values, strict=True)
        )  # fmt: skip
    mixed = len({c for v in plain for c in v if c in "$€£¥%"}) > 1
    if countable and not mixed:
        return False
    return len(set(plain) - {""}) == len(set(clean) - {""})


def number(text: str, *, comma: bool = False) -> float | None:
    """A number as people write it; with ``comma`` that is the sign of the decimals."""
    bare = text.translate(SIGNS).strip()
    bare = bare.replace(".", "").replace(",", ".") if comma else bare.replace(",", "")
    try:
        x = float(bare)
    except ValueError:
        return None
    return x if math.isfinite(x) and "_" not in bare and bare.isascii() else None


def read(path: Path) -> list[Column]:
    """Every row of a file as texts: a JSON array, JSON lines, or lines with a delimiter."""
    with path.open("rb") as f:
        zipped = f.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as f:
        raw = f.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:  # the last line may be cut
        raw = raw[:MOST_BYTES].rpartition(b"\n")[0]
    code = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(code)
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    return records(text) if text.lstrip()[:1] in ("[", "{") else delimited(text)


def records(text: str) -> list[Column]:
    """JSON objects as rows under their keys."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = [parsed(line) for line in text.splitlines()]
    if isinstance(found, dict):
        found = next((v for v in found.values() if isinstance(v, list)), [found])
    if found and all(isinstance(r, list) for r in found):
        return [[leaf(v) for v in r] for r in found]
    flat = [dict(leaves(r)) for r in found]
    keys = list(dict.fromkeys(k for r in flat for k in r))
    return [keys, *([r.get(k, "") for k in keys] for r in flat)]


def parsed(line: str) -> Any:
    """A line of JSON; an empty object where it is none."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return {}


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every leaf under its dotted key."""
    if isinstance(value, dict):
        for k, v in value.items():
            yield from leaves(v, f"{key}.{k}" if key else k)
    else:
        yield key or "value", leaf(value)


def leaf(value: Any) -> str:
    """A JSON value as text; null is empty."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def delimited(text: str) -> list[Column]:
    """Lines as rows, by the delimiter that gives most lines the same number of fields."""
    first, _, rest = text.partition("\n")
    if m := re.fullmatch(r"sep=(.)\s*", first, re.IGNORECASE):
        return rows_of(rest, m[1])
    head = text[:50_000].rpartition("\n")[0] or text

    def even(delimiter: str) -> tuple[int, int]:
        widths = Counter(len(r) for r in rows_of(head, delimiter) if len(r) > 1)
        width, lines = max(widths.items(), key=lambda w: (w[1], w[0]), default=(1, 0))
        return lines, width

    return rows_of(text, max(",;\t|", key=even))


def rows_of(text: str, delimiter: str) -> list[Column]:
    """Rows that have a value; comments before the first are left out."""
    text = text.replace("\x00", "")
    if text.count('"') % 2:  # an open quote would swallow the rest
        rows = [line.split(delimiter) for line in text.splitlines()]
    else:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    rows = [r for r in rows if any(v.strip() for v in r)]
    while rows and rows[0][0].startswith("#"):
        rows.pop(0)
    return rows


def headed(grid: list[Column]) -> bool:
    """Whether the first row names the columns: over most columns of numbers it has none.

    A year over numbers that are none is a name. Without a column of numbers the first row is taken
    for names where they differ.
    """
    if len(grid) < 2:
        return False
    first, votes = grid[0], []
    for i, head in enumerate(first):
        texts = [r[i] for r in grid[1:200] if i < len(r) and r[i].strip().lower() not in BLANK]
        values = [number(v) for v in texts]
        if values and None not in values:
            over = YEAR.fullmatch(head.strip()) and not any(map(YEAR.fullmatch, texts))
            votes.append(number(head) is None or bool(over))
    return 2 * sum(votes) > len(votes) if votes else len(set(first)) == len(first)
