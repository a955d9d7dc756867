"""Answers questions about tables: words become one SQL query over the CSV files of a folder."""

from __future__ import annotations

import csv
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply, Citation
from agentroute.toolbox.handover import locate

MAX_FILES, MAX_ROWS, MAX_BYTES = 30, 200_000, 20_000_000
AGGREGATES = (
    ("avg", r"average|mean|on average"), ("sum", r"total|sum|altogether|all together"),
    ("max", r"highest|maximum|largest|longest|most expensive|biggest|heaviest|dearest"),
    ("min", r"lowest|minimum|smallest|shortest|cheapest|lightest"), ("median", r"median"),
)  # fmt: skip
MORE = r"(?:more than|over|above|longer than|greater than|at least|from)"
LESS = r"(?:less than|under|below|shorter than|fewer than|at most|up to)"


@dataclass
class Table:
    """A table in the database: ``t{i}`` with columns ``c{j}``; names never reach the SQL."""

    name: str
    file: str
    sql: str
    columns: list[str]
    numeric: list[bool]
    values: dict[str, tuple[int, str]] = field(default_factory=dict)


def agent(call: AgentCall) -> AgentReply:
    """One number or name, the query and the file; abstains when the words fit no table."""
    root = locate(str(call.params.get("data", ".")), "folder of tables")
    db, tables = database(tuple(sources(root)))
    question = call.task.prompt[:500]
    table = best(question, tables)
    query = compiled(question, table) if table else None
    if table is None or query is None:
        return AgentReply(text="I do not know: the words fit no table.", abstained=True)
    sql, args, what = query
    row = db.execute(sql, args).fetchone()
    if row is None or row[0] is None:
        return AgentReply(text=f"I do not know: {what} has no value.", abstained=True)
    value = row[0]
    said = f"{value:.10g}" if isinstance(value, (int, float)) else str(value)
    data = {
        "answer": said,
        "value": value,
        "sql": named(sql, table),
        "arguments": args,
        "confidence": 0.9,
    }
    cited = Citation(source=table.file, locator=data["sql"])
    return AgentReply(text=said, data=data, citations=(cited,), confidence=0.9)


def sources(root: Path) -> Iterator[tuple[str, str, int]]:
    """The CSV files below a folder: path, name in it, and when it changed."""
    files = [root] if root.is_file() else sorted(root.rglob("*.csv"))
    for f in files[:MAX_FILES]:
        if f.stat().st_size <= MAX_BYTES:
            name = f.name if f == root else f.relative_to(root).as_posix()
            yield str(f), name, f.stat().st_mtime_ns


@lru_cache(maxsize=4)
def database(files: tuple[tuple[str, str, int], ...]) -> tuple[sqlite3.Connection, list[Table]]:
    """Every table in memory; kept while no file changes."""
    db = sqlite3.connect(":memory:", check_same_thread=False)
    tables = []
    for i, (path, name, _) in enumerate(files):
        text = Path(path).read_text(encoding="utf-8-sig", errors="replace").replace("\x00", "")
        delimiter = max(",;\t|", key=text[:5000].count)
        header, *rows = [r for r in csv.reader(text.splitlines(), delimiter=delimiter) if r] or [[]]
        if header and rows:
            tables.append(stored(db, f"t{i}", Path(path).stem, name, header, rows[:MAX_ROWS]))
    return db, tables


def stored(
    db: sqlite3.Connection, sql: str, name: str, file: str, header: list[str], rows: list[list[str]]
) -> Table:
    """Create and fill a table; a column is numeric when all of its values are numbers."""
    width = len(header)
    square = [[*r[:width], *[""] * (width - len(r))] for r in rows]
    columns = [[r[j] for r in square] for j in range(width)]
    numeric = [all(is_number(v) for v in c if v) and any(c) for c in columns]
    kinds = ", ".join(f"c{j} {'REAL' if numeric[j] else 'TEXT'}" for j in range(width))
    db.execute(f"CREATE TABLE {sql} ({kinds})")
    marks = ", ".join("nullif(?, '')" for _ in header)
    db.executemany(f"INSERT INTO {sql} VALUES ({marks})", square)
    table = Table(name.lower(), file, sql, [h.strip().lower() for h in header], numeric)
    for j, c in enumerate(columns):
        distinct = set(c) - {""}
        if not numeric[j] and len(distinct) <= 200:
            table.values |= {v.lower(): (j, v) for v in distinct}
    return table


def is_number(v: str) -> bool:
    """Whether a text is a finite number."""
    return bool(re.fullmatch(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d{1,2})?", v.strip()))


def forms(word: str) -> set[str]:
    """A name as people write it: with spaces, singular and plural."""
    plain = re.sub(r"[_\-]+", " ", word).strip()
    bare = re.sub(r" (kg|km|usd|eur|s|ms)$", "", plain)
    out = {plain, bare}
    for w in (plain, bare):
        out |= {w + "s", w[:-1] if w.endswith("s") else w, w[:-1] + "ies" if w[-1:] == "y" else w}
    return {w for w in out if len(w) > 1}


def mentions(question: str, word: str) -> re.Match[str] | None:
    """Where a name stands in the question, in any of its forms; the longest form first."""
    options = "|".join(re.escape(f) for f in sorted(forms(word), key=len, reverse=True))
    return re.search(rf"(?<![\w-])(?:{options})(?![\w-])", question.lower())


def best(question: str, tables: list[Table]) -> Table | None:
    """The table whose name, then columns and values, the question mentions most; None without."""
    scored = []
    for t in tables:
        hits = sum(bool(mentions(question, c)) for c in t.columns)
        values = sum(bool(mentions(question, v)) for v in t.values)
        scored.append((4 * bool(mentions(question, t.name)) + hits + 0.5 * min(values, 2), t))
    top = max(scored, key=lambda s: s[0], default=(0.0, None))
    return top[1] if top[0] >= 1.5 else None


def compiled(question: str, t: Table) -> tuple[str, list[Any], str] | None:
    """The query, its arguments and what it asks for in words; None where nothing fits."""
    q = question.lower()
    where, args, used = conditions(q, t)
    clause = f" WHERE {' AND '.join(where)}" if where else ""
    if m := re.search(r"\b(?:which|what) (\w+)\b.*\b(?:has|have|had|saw|is|was|with)\b", q):
        group = next((j for j, c in enumerate(t.columns) if m[1] in forms(c)), None)
        if group is not None and (found := extreme(q, t, group, clause)):
            return found[0], args, found[1]
    for function, words in AGGREGATES:
        if m := re.search(rf"\b(?:{words})\b", q):
            j = target(q, t, used)
            if j is not None:
                return aggregate(function, t, j, where), args, f"the {m[0]} {t.columns[j]}"
    if re.search(r"\bhow many (?:different|distinct|unique)\b", q):
        j = next((j for j, c in enumerate(t.columns) if mentions(q, c)), None)
        if j is not None:
            return f"SELECT count(DISTINCT c{j}) FROM {t.sql}{clause}", args, t.columns[j]
    if re.search(r"\bhow many\b|\bnumber of\b|\bcount\b", q):
        if not where and not (mentions(q, t.name) or re.search(r"\b(rows|records|entries)\b", q)):
            return None
        return f"SELECT count(*) FROM {t.sql}{clause}", args, "the count"
    return looked_up(q, t, where, args, used)


def conditions(q: str, t: Table) -> tuple[list[str], list[Any], set[int]]:
    """``column = value`` for values named in the question, and bounds on numeric columns."""
    where: list[str] = []
    args: list[Any] = []
    used: set[int] = set()
    for value, (j, original) in sorted(t.values.items(), key=lambda kv: -len(kv[0])):
        if j in used or value in ("yes", "no") or not mentions(q, value):
            continue
        where.append(f"c{j} = ?")
        args.append(original)
        used.add(j)
    for j, c in enumerate(t.columns):
        yes_no = {v for v, (k, _) in t.values.items() if k == j} == {"yes", "no"}
        if yes_no and (m := re.search(rf"\b(non-?|not )?{re.escape(c)}s?\b", q)):
            where.append(f"c{j} = ?")
            args.append("no" if m[1] else "yes")
            used.add(j)
        elif t.numeric[j]:
            for pattern, sign in ((MORE, ">"), (LESS, "<")):
                names = "|".join(map(re.escape, forms(c)))
                m = re.search(
                    rf"{pattern} ([\d.]+) (?:{names})\b|(?:{names}) {pattern} ([\d.]+)", q
                )
                if m:
                    inclusive = "=" if re.search("at least|from|at most|up to", m[0]) else ""
                    where.append(f"c{j} {sign}{inclusive} ?")
                    args.append(float((m[1] or m[2]).rstrip(".")))
                    used.add(j)
    return where, args, used


def target(q: str, t: Table, used: set[int]) -> int | None:
    """The numeric column that an aggregate is about."""
    own = forms(t.name)
    names = [(j, c) for j, c in enumerate(t.columns) if t.numeric[j] and not forms(c) & own]
    named_here = [j for j, c in names if mentions(q, c)]
    free = [j for j in named_here if j not in used] or named_here
    return free[0] if free else None


def aggregate(function: str, t: Table, j: int, where: list[str]) -> str:
    """One number over a column."""
    known = " AND ".join([*where, f"c{j} IS NOT NULL"])
    if function != "median":
        return f"SELECT {function}(c{j}) FROM {t.sql} WHERE {known}"
    ranked = f"SELECT c{j} AS v, row_number() OVER (ORDER BY c{j}) AS r, count(*) OVER () AS n "
    ranked += f"FROM {t.sql} WHERE {known}"
    return f"SELECT avg(v) FROM ({ranked}) WHERE r IN ((n + 1) / 2, n / 2 + 1)"


def extreme(q: str, t: Table, group: int, clause: str) -> tuple[str, str] | None:
    """Which X has the most rows, or the highest, lowest or average Y."""
    down = not re.search(r"\b(?:fewest|least|lowest|smallest|shortest|cheapest|lightest)\b", q)
    if not re.search(
        r"\b(?:most|fewest|least|highest|lowest|largest|smallest|longest|shortest)\b", q
    ):
        return None
    j = target(q, t, {group})
    measure = "count(*)"
    if j is not None:
        kind = "avg" if re.search(r"average|mean", q) else "sum" if "total" in q else None
        measure = f"{kind}(c{j})" if kind else f"{'max' if down else 'min'}(c{j})"
    order = f"{measure} {'DESC' if down else 'ASC'}, 1"
    known = f"{clause} {'AND' if clause else 'WHERE'} c{group} IS NOT NULL"
    sql = f"SELECT c{group} FROM {t.sql}{known} GROUP BY c{group} ORDER BY {order} LIMIT 1"
    return sql, f"the {t.columns[group]}"


def looked_up(
    q: str, t: Table, where: list[str], args: list[Any], used: set[int]
) -> tuple[str, list[Any], str] | None:
    """The one cell that a named row and a named column meet in."""
    if not where:
        return None
    for j, c in enumerate(t.columns):
        if j not in used and mentions(q, c):
            sql = f"SELECT c{j} FROM {t.sql} WHERE {' AND '.join(where)} LIMIT 1"
            return sql, args, c
    return None


def named(sql: str, t: Table) -> str:
    """The query with the table's own names, for people."""
    sql = re.sub(r"\bc(\d+)\b", lambda m: f'"{t.columns[int(m[1])]}"', sql)
    return sql.replace(t.sql, f'"{t.name}"')
