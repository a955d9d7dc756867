"""Reads a table as people have them: any encoding and delimiter, ragged rows, no header."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from agentroute.errors import UsageError
from agentroute.model.calls import AgentCall, AgentReply, Artifact
from agentroute.toolbox.handover import locate

Row = list[str]
MAX_BYTES = 64 * 1024 * 1024
NUMBER = re.compile(r"^\s*[-+\u2212]?[\d.,]*\d[\d.,]*([eE][-+]?\d+)?\s*%?\s*$")
YEAR = re.compile(r"^(1[5-9]|20|21)\d\d$")
SEPARATOR = re.compile(r"\ufeff?sep=(.)\r?\n", re.IGNORECASE)


def agent(call: AgentCall) -> AgentReply:
    """Write ``table.csv`` (UTF-8, commas, one header row); say what was read and what was not."""
    path = locate(str(call.params["path"]), "table")
    max_rows, max_s = int(call.params.get("max_rows", 200_000)), float(call.params.get("max_s", 2))
    text, encoding = decode(path)
    rows: Iterator[Row]
    if (records := json_records(text, path, max_rows)) is not None:
        rows, how = table_of(records), {"format": "JSON"}
    else:
        rows, how = csv_rows(text)
    header, body, ragged, capped = squared(rows, max_rows, max_s)
    out = call.workdir / "table.csv"
    with out.open("w", encoding="utf-8", newline="") as f:
        csv.writer(f).writerows([header, *body])
    notes = remarks(path, encoding, how, ragged, len(body), capped)
    data = {
        "source": path.name, "columns": header, "rows": len(body), "ragged": ragged,
        "encoding": encoding, "left_out": notes["left_out"], **how,
        "blocks": [{"kind": "notes", "title": "What was read", "items": notes["items"]}],
    }  # fmt: skip
    said = f"{path.name}: {len(body):,} rows, {len(header)} columns. " + " ".join(notes["left_out"])
    table = Artifact(name="table.csv", path=str(out), media_type="text/csv")
    return AgentReply(text=said.strip(), data=data, artifacts=(table,))


def decode(path: Path) -> tuple[str, str]:
    """The text of a file (its first 64 MiB) and its encoding; gzip is undone."""
    if path.is_dir():
        raise UsageError(f"'{path.name}' is a folder, not a table", hint="name one file in it")
    with path.open("rb") as f:
        zipped = f.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if zipped else path.open("rb") as f:
            raw = f.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise UsageError(f"'{path.name}' is a damaged file") from None
    if len(raw) > MAX_BYTES:
        raw = raw[:MAX_BYTES].rpartition(b"\n")[0]
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", errors="replace"), "utf-16"
    if b"\x00" in raw[:8192]:
        raise UsageError(f"'{path.name}' is binary, not a table", hint="export it as CSV")
    try:
        return raw.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace"), "cp1252"


def csv_rows(text: str) -> tuple[Iterator[Row], dict[str, Any]]:
    """Rows, the header first (empty where the file has none), and the dialect that was found."""
    csv.field_size_limit(10_000_000)
    stated = SEPARATOR.match(text)
    text = text[stated.end() :] if stated else text
    delimiter = stated[1] if stated else delimiter_of(text[:20_000])
    closed = text.count('"') % 2 == 0
    lines = (parsed if closed else line_by_line)(text.replace("\x00", ""), delimiter)
    rows = (r for r in lines if any(c.strip() for c in r))
    first = next((r for r in rows if not r[0].startswith("#")), [])
    second = next(rows, [])
    headed = has_header(first, second)
    start = [first, second] if headed else [[], first, second]
    how = {"delimiter": delimiter, "header": headed, "format": "delimited text", "quoted": closed}
    return (r for part in (filter_second(start), rows) for r in part), how


def delimiter_of(sample: str) -> str:
    """The delimiter of a sample of lines."""
    try:
        return csv.Sniffer().sniff(sample, ",;\t|").delimiter
    except csv.Error:
        return max(",;\t|", key=sample.count)


def parsed(text: str, delimiter: str) -> Iterator[Row]:
    """Rows as the csv module reads them."""
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)


def line_by_line(text: str, delimiter: str) -> Iterator[Row]:
    """Rows where some quote is never closed: each line by itself, so that it swallows no other."""
    for line in text.splitlines():
        if line.count('"') % 2:
            yield from csv.reader([line], delimiter=delimiter, quoting=csv.QUOTE_NONE)
        else:
            yield from csv.reader([line], delimiter=delimiter)


def filter_second(start: list[Row]) -> list[Row]:
    """Drop an empty look-ahead row (a file of one line)."""
    return start if start[-1] else start[:-1]


def has_header(first: Row, second: Row) -> bool:
    """A header has no numbers but years, or words where the next row has numbers.

    Names that repeat are a header only where the next row has numbers.
    """
    if not first:
        return False
    numbers = [bool(NUMBER.match(c)) for c in first]
    below = [bool(NUMBER.match(c)) for c in second]
    if years(first, second, numbers):
        return True
    repeats = len(set(first)) < len(first)
    return (not any(numbers) and not (repeats and not any(below))) or (
        sum(below) > sum(numbers) + len(first) // 2
    )


def years(first: Row, second: Row, numbers: list[bool]) -> bool:
    """Whether the numbers of a first row are years over a row that has none there, beside words."""
    at = [i for i, is_number in enumerate(numbers) if is_number]
    named = {first[i].strip() for i in at}
    below = [second[i].strip() for i in at if i < len(second)]
    return (
        0 < len(at) < len(first)
        and len(named) == len(at)
        and all(YEAR.match(v) for v in named)
        and not any(YEAR.match(v) for v in below)
    )


def json_records(text: str, path: Path, limit: int) -> list[Any] | None:
    """The records of a JSON array, of the one array in an object, or of JSON lines; else None.

    What a file holds says so, and not its name: an array is often called ``.json`` or ``.csv``.
    """
    lines = path.name.removesuffix(".gz").endswith((".jsonl", ".ndjson"))
    if not lines and text.lstrip()[:1] not in ("[", "{"):
        return None
    whole = None if lines else json_of(text)
    if isinstance(whole, dict):
        arrays = [v for v in whole.values() if isinstance(v, list) and v]
        whole = arrays[0] if len(arrays) == 1 and isinstance(arrays[0][0], dict) else [whole]
    if isinstance(whole, list):
        return whole[: limit + 1]
    records = [json_of(line) for line in text.splitlines()[: limit + 1]]
    return records if lines or isinstance(records[0], dict) else None


def json_of(text: str) -> Any:
    """A JSON value; None where it is none."""
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None


def table_of(records: list[Any]) -> Iterator[Row]:
    """Records as rows; nested objects become ``a.b`` columns, arrays of arrays have a header."""
    if records and all(isinstance(r, list) for r in records):
        yield from ([dict(flatten(v)).get("value", "") for v in r] for r in records)
        return
    flat = [{} if r is None else dict(flatten(r)) for r in records]
    header = list(dict.fromkeys(k for r in flat for k in r))
    yield header
    for r in flat:
        yield [r.get(k, "") for k in header]


def flatten(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """``(dotted key, text)`` of every leaf; lists stay JSON text."""
    if isinstance(value, dict):
        for k, v in value.items():
            yield from flatten(v, f"{key}.{k}" if key else str(k))
    elif value is None or isinstance(value, str):
        yield key or "value", value or ""
    else:
        yield key or "value", json.dumps(value)


def squared(rows: Iterable[Row], max_rows: int, max_s: float) -> tuple[Row, list[Row], int, bool]:
    """Header, rows of equal length, how many were ragged, whether it was cut."""
    it, until = iter(rows), time.monotonic() + max_s
    body: list[list[str]] = []
    header, capped = next(it, []), False
    for seen, row in enumerate(it, 1):
        if len(body) >= max_rows or (seen % 4096 == 0 and time.monotonic() > until):
            capped = True
            break
        body.append(row)
    wide = max([len(header), *(len(r) for r in body)], default=0)
    if not wide or not body:
        raise UsageError(
            "the table has a header and no rows" if wide else "the table is empty",
            hint="it needs at least one row",
        )
    ragged = sum(len(r) != (len(header) or wide) for r in body)
    body = [r + [""] * (wide - len(r)) for r in body]
    return named(header, wide), body, ragged, capped


def named(header: Row, wide: int) -> Row:
    """Unique, non-empty column names."""
    out: Row = []
    for i in range(wide):
        name = " ".join(header[i].split()) if i < len(header) else ""
        name = name or f"column_{i + 1}"
        while name in out:
            name += "_2"
        out.append(name)
    return out


def remarks(
    path: Path, encoding: str, how: dict[str, Any], ragged: int, kept: int, capped: bool
) -> dict[str, list[str]]:
    """What a reader must know of the reading: dialect, repairs, and what was left out."""
    items = [f"{path.name}, {how['format']}, {encoding}"]
    if not how.get("header", True):
        items.append("the file has no header row; columns were numbered")
    if not how.get("quoted", True):
        items.append("a quote is never closed; every line was read by itself")
    if ragged:
        items.append(f"{ragged:,} rows had too few or too many fields and were padded")
    if path.stat().st_size > MAX_BYTES:
        capped = True
    left = [f"Only the first {kept:,} rows were read (cap)."] if capped else []
    return {"items": items + left, "left_out": left}
