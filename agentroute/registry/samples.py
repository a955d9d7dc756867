"""Sample queries that somebody hands over to describe an agent by: lines, or prompts of JSON rows.

What is read is data: control and bidi characters are taken out, and nothing in it is followed.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentroute.adapters.untrusted import one_line
from agentroute.errors import UsageError
from agentroute.registry.generate import MAX_QUERIES

KEYS = ("prompt", "task", "query")
TABLES = ("outcomes.jsonl.gz", "outcomes.jsonl")
MAX_CHARS = 64 * 1024 * 1024
MAX_QUERY = 300
HINT = "a text file with a query a line, or a JSON list or lines with a 'prompt' each"


@dataclass(frozen=True, slots=True)
class Samples:
    """The queries that are used, how many there were, and what was left out, by reason."""

    queries: tuple[str, ...]
    found: int
    left_out: dict[str, int] = field(default_factory=dict)


def read_samples(path: Path) -> Samples:
    """The queries of a file, at most 200, spread evenly over it.

    A ``.jsonl`` or ``.jsonl.gz`` file has a JSON string a line, or a mapping with a ``prompt`` (or
    ``task``, ``query``), and a ``.json`` file a list of these; a folder is an outcome table. Its
    rows of the test split stay unread: who is to be scored on them is not described by them. Any
    other file has a query a line.

    Raises:
        UsageError: it cannot be read, is over 64 MiB, a line is none of this, or there is no query.
    """
    file = _file_of(path)
    asked: list[str] = []
    left: Counter[str] = Counter()
    for number, row in _rows(file):
        text, why = (row, "") if isinstance(row, str) else _query(file, number, row)
        if query := one_line(text, MAX_QUERY) if not why else "":
            asked.append(query)
        else:
            left[why or "empty"] += 1
    if not asked:
        raise UsageError(f"{file} holds no query", hint=HINT)
    used = asked
    if len(asked) > MAX_QUERIES:
        used = [asked[i * len(asked) // MAX_QUERIES] for i in range(MAX_QUERIES)]
        left[f"beyond {MAX_QUERIES} that are spread over the file"] = len(asked) - MAX_QUERIES
    return Samples(tuple(used), len(asked), dict(left))


def _file_of(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = [path / name for name in TABLES if (path / name).is_file()]
    if len(found) != 1:
        what = "both" if found else "neither"
        raise UsageError(f"{path} has {what} of {' and '.join(TABLES)}", hint=HINT)
    return found[0]


def _rows(file: Path) -> Iterator[tuple[int, Any]]:
    """``(number, row)``: lines that are not blank as text, or what JSON says of them."""
    if file.name.endswith((".json", ".json.gz")):
        rows = _parsed(file, 0, "".join(line for _, line in _lines(file)))
        if not isinstance(rows, list):
            raise UsageError(f"{file}: not a list", hint=HINT)
        yield from enumerate(rows, 1)
        return
    as_json = file.name.endswith((".jsonl", ".jsonl.gz"))
    for number, line in _lines(file):
        if line.strip():
            yield number, _parsed(file, number, line) if as_json else line


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    opened = gzip.open if file.suffix == ".gz" else open
    left = MAX_CHARS
    try:
        with opened(file, "rt", encoding="utf-8-sig") as stream:
            number = 0
            while line := stream.readline(left + 1):
                number, left = number + 1, left - len(line)
                if left < 0:
                    raise UsageError(f"{file} is over 64 MiB", hint="a few hundred lines do")
                yield number, line
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text", hint=HINT) from None
    except (OSError, EOFError, ValueError, zlib.error) as e:
        words = getattr(e, "strerror", None) or "is not whole"
        raise UsageError(f"{file}: {words}", hint=HINT) from None


def _parsed(file: Path, number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        where = f"{file}:{number}" if number else str(file)
        raise UsageError(f"{where}: not JSON", hint=HINT) from None


def _query(file: Path, number: int, row: Any) -> tuple[str, str]:
    """The words of a JSON row, and why it is left out; '' where it is not."""
    if isinstance(row, dict):
        if row.get("split") == "test":
            return "", "of the test split"
        row = next((row[key] for key in KEYS if key in row), None)
    if not isinstance(row, str):
        raise UsageError(f"{file}:{number}: no text under {', '.join(KEYS)}", hint=HINT)
    return row, ""
