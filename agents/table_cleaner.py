"""Makes a table fit for counting: one form of missing, typed columns, repeats counted."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime
from typing import Any

from agentroute.errors import UsageError
from agentroute.model.calls import AgentCall, AgentReply, Artifact
from agentroute.toolbox.handover import data_with, file_of

MISSING = {"", "na", "n/a", "nan", "null", "none", "-", "--", "?", "missing", "#n/a", "nil"}
NUMBER = re.compile(r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,2})?$")
GROUPED = re.compile(r"^[-+]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?$")
EUROPEAN = re.compile(r"^[-+]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+)(,[0-9]+)?$")
IDENTIFIER = re.compile(r"^[-+]?0[0-9]")  # a number would lose the zero: zip codes, article numbers
CODE = re.compile(r"^[A-Z]{2}$")
UNITS = "$€£¥%"
ISO = re.compile(r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?$")
DATES = (
    "%Y/%m/%d", "%d.%m.%Y", "%b %d %Y", "%b %d, %Y", "%d %b %Y", "%B %d %Y", "%B %d, %Y",
    "%d %B %Y", "%d-%b-%Y",
)  # fmt: skip
EITHER = ("%d/%m/%Y", "%m/%d/%Y")
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
    if not kept:
        raise UsageError("no column of the table has a value", hint="is it the right file?")
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
    missing = MISSING - ({"na"} if codes({v for v in plain if v != "NA"}) else set())
    plain = ["" if v.lower() in missing else v for v in plain]
    distinct = {v for v in plain if v}
    if not distinct:
        return plain, "empty"
    if distinct_numbers := numbers(distinct):
        return [distinct_numbers.get(v, "") for v in plain], "number"
    if {v.lower() for v in distinct} <= TRUTH:
        return [v.lower() for v in plain], "truth"
    days = dates(distinct)
    return ([days.get(v, "") for v in plain], "date") if days else (plain, "text")


def codes(values: set[str]) -> bool:
    """Whether these are codes of two capitals, as of countries, where NA is Namibia."""
    known = {v for v in values if v}
    return len(known) >= 3 and all(CODE.match(v) for v in known)


def numbers(values: set[str]) -> dict[str, str] | None:
    """Value -> plain number, where all are numbers of one unit, written one way; else None.

    A decimal comma is taken for one only where the values cannot be read otherwise: 1,234 alone is
    a thousand.
    """
    bare = {v: v.replace("\u2212", "-").strip(UNITS).strip() for v in values}
    units = {c for v in values for c in v if c in UNITS}
    if len(units) > 1 or any(len(b) > 40 or is_identifier(b) for b in bare.values()):
        return None
    if all(NUMBER.match(b) or GROUPED.match(b) for b in bare.values()):
        return {v: b.replace(",", "") for v, b in bare.items()}
    if all(EUROPEAN.match(b) for b in bare.values()):
        return {v: b.replace(".", "").replace(",", ".") for v, b in bare.items()}
    return None


def is_identifier(bare: str) -> bool:
    """Whether digits are a name and not a quantity: a zero stands before them."""
    return bool(IDENTIFIER.match(bare)) and "." not in bare and "," not in bare


def dates(values: set[str]) -> dict[str, str] | None:
    """Value -> ISO date, where all are dates of one form; unchanged where two readings fit."""
    if all(ISO.match(v) for v in values):
        return {v: v for v in values}
    for form in DATES:
        if found := read_as(form, values):
            return found
    fits = [found for form in EITHER if (found := read_as(form, values))]
    return fits[0] if len(fits) == 1 else {v: v for v in values} if fits else None


def read_as(form: str, values: set[str]) -> dict[str, str] | None:
    """Value -> ISO date by one form of ``strptime``; None where one does not fit."""
    out = {}
    for v in values:
        try:
            day = datetime.strptime(v, form).replace(tzinfo=UTC)  # of a day, no zone matters
        except ValueError:
            return None
        out[v] = day.date().isoformat()
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
