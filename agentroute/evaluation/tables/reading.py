"""Reads outcome tables from disk, and refuses what it does not understand.

Every error names the file, the row (counted from 1) and the column, so that the owner of the data
can go there. The rules for what is allowed stand in ``outcomes``.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from agentroute.errors import TableError, did_you_mean
from agentroute.evaluation.tables.outcomes import Arm, OutcomeTable, split_name
from agentroute.features.text import MAX_CHARS
from agentroute.model.arrays import F64

__all__ = ["Arm", "OutcomeTable", "load_table"]

OUTCOMES = ("outcomes.jsonl.gz", "outcomes.jsonl")
KEYS = {
    "id", "split", "prompt", "features", "scores", "cost_usd", "latency_s", "abstain", "skills",
    "propensity", "tokens", "process",
}  # fmt: skip
Given = dict[str, Any]


def load_table(folder: Path | str) -> OutcomeTable:
    """The outcome table in ``folder``.

    Raises:
        TableError: a missing file, broken JSON, a missing or unknown arm, a score that is not a
            number in [0, 1], a negative cost, an unknown split, an id twice, or no rows.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise TableError(f"{folder} is not a folder", hint="a table is a folder; see README")
    meta = _read_meta(folder / "meta.json")
    arms = _read_arms(folder / "arms.json")
    reader = _RowReader(
        _outcomes_file(folder), arms,
        sparse=meta.get("sparse", False), partial=meta.get("partial", False),
    )  # fmt: skip
    return reader.table(str(meta.get("name", folder.name)), meta)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TableError(
            f"{path} is missing",
            hint="a table has outcomes.jsonl(.gz), arms.json and meta.json",
        ) from None
    except (OSError, UnicodeDecodeError) as e:
        raise TableError(f"{path} cannot be read: {e}") from e
    except ValueError as e:
        raise TableError(f"{path}: not JSON: {e}") from e


def _read_meta(path: Path) -> Mapping[str, Any]:
    meta = _read_json(path)
    if not isinstance(meta, dict):
        raise TableError(f"{path}: must be a mapping", hint='for example {"sparse": false}')
    for key in ("sparse", "partial"):
        if not isinstance(meta.get(key, False), bool):
            raise TableError(f"{path}: {key}: must be true or false")
    if meta.get("sparse") and meta.get("partial"):
        raise TableError(
            f"{path}: a table is sparse or partial, not both",
            hint="an absent arm scores 0 in a sparse table and is not known in a partial one",
        )
    return meta


def _read_arms(path: Path) -> tuple[Arm, ...]:
    raw = _read_json(path)
    if not isinstance(raw, list) or not raw:
        raise TableError(f"{path}: must be a list with at least one arm")
    arms = tuple(_arm(path, i, entry) for i, entry in enumerate(raw, 1))
    names = [a.name for a in arms]
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise TableError(f"{path}: the arm '{twice}' is listed twice")
    return arms


def _arm(path: Path, i: int, entry: Any) -> Arm:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"]:
        raise TableError(f"{path}:{i}:name: an arm needs a name")
    description = entry.get("description") or entry["name"]
    if not isinstance(description, str):
        raise TableError(f"{path}:{i}:description: must be text")
    prices = [entry.get(f"{kind}_usd_per_mtok") for kind in ("input", "output")]
    if any(p is not None and not (_is_number(p) and p >= 0) for p in prices):
        raise TableError(f"{path}:{i}: a price must be a number of US dollars, 0 or more")
    return Arm(entry["name"], description, *prices)


def _outcomes_file(folder: Path) -> Path:
    found = [folder / name for name in OUTCOMES if (folder / name).exists()]
    if not found:
        raise TableError(f"{folder} has no outcomes.jsonl.gz and no outcomes.jsonl")
    if len(found) > 1:
        raise TableError(f"{folder} has both {OUTCOMES[0]} and {OUTCOMES[1]}", hint="keep one")
    return found[0]


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool) and math.isfinite(x)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Non-blank lines with their number, from plain or gzipped text."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, line
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as e:
        raise TableError(f"{path} cannot be read: {e}", hint="is the file whole?") from e


class _RowReader:
    """Fills the columns row by row; ``_bad`` knows where it is."""

    def __init__(
        self, path: Path, arms: tuple[Arm, ...], *, sparse: bool, partial: bool = False
    ) -> None:
        self.path, self.arms, self.sparse, self.partial = path, arms, sparse, partial
        self.column = {a.name: j for j, a in enumerate(arms)}
        self.number = 0
        self.seen: dict[str, int] = {}
        self.clipped = 0

    def table(self, name: str, meta: Mapping[str, Any]) -> OutcomeTable:
        """Reads the whole file."""
        parsed = []
        for number, line in _lines(self.path):
            self.number = number
            parsed.append(self._row(line))
        if not parsed:
            raise TableError(f"{self.path} has no rows")
        (ids, split, prompts, features, scores, cost, latency, abstain, skills, p, tokens,
         process) = zip(*parsed, strict=True)  # fmt: skip
        return OutcomeTable(
            name, self.arms,
            np.array(ids, dtype=object), np.array(split, dtype=object), prompts, features,
            np.array(scores, dtype=np.float64), _optional(cost), _optional(latency),
            np.array(abstain, dtype=bool), self.sparse, self.clipped, meta, _optional(p),
            skills if any(skills) else None, tokens=_optional(tokens), process=_optional(process),
        )  # fmt: skip

    def _bad(self, column: str, what: str, hint: str = "") -> NoReturn:
        raise TableError(f"{self.path}:{self.number}:{column}: {what}", hint=hint)

    def _row(self, line: str) -> tuple[Any, ...]:
        try:
            row = json.loads(line)
        except ValueError as e:
            self._bad("1", f"not JSON: {e}")
        if not isinstance(row, dict):
            self._bad("1", "a row must be a mapping")
        if unknown := sorted(set(row) - KEYS):
            self._bad(unknown[0], "no column is called so", did_you_mean(unknown[0], KEYS))
        abstain = row.get("abstain", False)
        if not isinstance(abstain, bool):
            self._bad("abstain", "must be true or false")
        return (
            self._id(row), self._split(row), self._prompt(row), self._features(row),
            self._scores(row, abstain), self._measured(row, "cost_usd"),
            self._measured(row, "latency_s"), abstain, self._skills(row), self._propensity(row),
            self._measured(row, "tokens"), self._measured(row, "process", most=1.0),
        )  # fmt: skip

    def _id(self, row: Given) -> str:
        value = row.get("id")
        if not isinstance(value, str) or not 1 <= len(value) <= 200:
            self._bad("id", "must be text of 1 to 200 characters")
        if value in self.seen:
            self._bad("id", f"'{value}' is also the id of row {self.seen[value]}")
        self.seen[value] = self.number
        return value

    def _split(self, row: Given) -> str:
        value = row.get("split")
        if not isinstance(value, str):
            self._bad("split", "is missing", "one of train, val, test")
        try:
            return split_name(value)
        except TableError as e:
            self._bad("split", str(e), e.hint)

    def _prompt(self, row: Given) -> str:
        value = row.get("prompt")
        if not isinstance(value, str):
            self._bad("prompt", "must be text (it may be empty)")
        self.clipped += len(value) > MAX_CHARS
        return value[:MAX_CHARS]

    def _features(self, row: Given) -> dict[str, str]:
        value = row.get("features", {})
        if not isinstance(value, dict):
            self._bad("features", "must be a mapping")
        for key, word in value.items():
            if not isinstance(word, str):
                self._bad(f"features.{key}", "must be text", "numbers go in quotes")
        return value

    def _scores(self, row: Given, abstain: bool) -> list[float]:
        given = row.get("scores")
        if not isinstance(given, dict):
            self._bad("scores", "must be a mapping of arm to score")
        out = self._by_arm(given, "scores", absent=math.nan if self.partial else 0.0)
        if any(s > 1 for s in out):
            arm = next(a for a, s in given.items() if s > 1)
            self._bad(f"scores.{arm}", f"{given[arm]} is not in [0, 1]")
        if not given and not abstain and self.partial:
            self._bad("scores", "nothing is known of this row", "leave it out")
        whole = not self.sparse and not self.partial
        if whole and len(given) < len(self.arms) and not (abstain and not given):
            missing = next(a.name for a in self.arms if a.name not in given)
            self._bad(
                f"scores.{missing}",
                "this arm has no score",
                'meta.json may say "sparse": true (an absent arm scores 0) or "partial": true '
                "(it is not known)",
            )
        return out

    def _measured(self, row: Given, column: str, *, most: float = math.inf) -> list[float] | None:
        given = row.get(column)  # null, for the row or for an arm, means not measured
        if given is None:
            return None
        if not isinstance(given, dict):
            self._bad(column, "must be a mapping of arm to number")
        measured = {arm: value for arm, value in given.items() if value is not None}
        out = self._by_arm(measured, column, absent=math.nan)
        if any(x > most for x in out):
            self._bad(column, f"a value is above {most:g}")
        return out

    def _skills(self, row: Given) -> tuple[str, ...]:
        given = row.get("skills", [])
        if not isinstance(given, list) or not all(isinstance(s, str) and s for s in given):
            self._bad("skills", "must be a list of names")
        return tuple(given)

    def _propensity(self, row: Given) -> list[float] | None:
        """Each candidate's probability, NaN for who was none; None where the table is whole."""
        given = row.get("propensity")
        if not self.partial:
            if given is not None:
                self._bad("propensity", "belongs to a table whose meta.json says partial: true")
            return None
        if not isinstance(given, dict):
            self._bad("propensity", "a row of a partial table says each candidate's probability")
        out = self._by_arm(given, "propensity", absent=math.nan)
        if any(p > 1 for p in out):
            self._bad("propensity", "a probability is not in [0, 1]")
        for arm in row["scores"]:
            if not given.get(arm):
                self._bad(f"propensity.{arm}", "an arm with a score was chosen: above 0")
        return out

    def _by_arm(self, given: dict[str, Any], column: str, *, absent: float) -> list[float]:
        out = [absent] * len(self.arms)
        for arm, value in given.items():
            if arm not in self.column:
                self._bad(
                    f"{column}.{arm}", "no such arm in arms.json", did_you_mean(arm, self.column)
                )
            if not _is_number(value) or value < 0:
                self._bad(f"{column}.{arm}", f"{value!r} is not a finite number of 0 or more")
            out[self.column[arm]] = float(value)
        return out


def _optional(rows: tuple[list[float] | None, ...]) -> F64 | None:
    """(m, n) with NaN where a row has nothing, or None where no row has anything."""
    width = next((len(r) for r in rows if r is not None), None)
    if width is None:
        return None
    return np.array([[math.nan] * width if r is None else r for r in rows], dtype=np.float64)
