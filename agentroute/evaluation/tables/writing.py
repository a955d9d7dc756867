"""Writes an outcome table in the form that ``load_table`` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson

from agentroute.errors import TableError
from agentroute.evaluation.tables.outcomes import Arm, OutcomeTable
from agentroute.model.arrays import F64

FILES = ("arms.json", "meta.json", "outcomes.jsonl")


def write_table(table: OutcomeTable, folder: Path) -> list[Path]:
    """Write ``outcomes.jsonl``, ``arms.json`` and ``meta.json`` into a folder that has no table.

    Raises:
        TableError: the folder has a table already, or cannot be written.
    """
    there = [n for n in (*FILES, "outcomes.jsonl.gz") if (folder / n).exists()]
    if there:
        raise TableError(f"{folder / there[0]} exists", hint="choose another folder")
    rows = b"".join(orjson.dumps(_row(table, i)) + b"\n" for i in range(len(table)))
    texts = (_page([_arm(a) for a in table.arms]), _page(dict(table.meta)), rows)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in zip(FILES, texts, strict=True):
            (folder / name).write_bytes(text)
    except OSError as e:
        raise TableError(f"{folder} cannot be written: {e.strerror}") from e
    return [folder / n for n in FILES]


def _page(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n"


def _arm(arm: Arm) -> dict[str, Any]:
    prices = {"input_usd_per_mtok": arm.input_usd_per_mtok,
              "output_usd_per_mtok": arm.output_usd_per_mtok}  # fmt: skip
    about = {"name": arm.name, "description": arm.description}
    return about | {k: v for k, v in prices.items() if v is not None}


def _row(table: OutcomeTable, i: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": table.ids[i], "split": table.split[i], "prompt": table.prompts[i],
        "features": dict(table.features[i]),
    }  # fmt: skip
    if table.skills is not None and table.skills[i]:
        row["skills"] = list(table.skills[i])
    columns = {
        "scores": table.scores, "propensity": table.propensity,
        "cost_usd": table.cost_usd, "latency_s": table.latency_s, "tokens": table.tokens,
        "process": table.process,
    }  # fmt: skip
    for name, values in columns.items():
        by_arm = {} if values is None else _by_arm(table, values[i])
        if by_arm or name == "scores":
            row[name] = by_arm
    return row | ({"abstain": True} if table.abstain[i] else {})


def _by_arm(table: OutcomeTable, values: F64) -> dict[str, float]:
    known = np.flatnonzero(~np.isnan(values))
    return {table.arms[j].name: float(values[j]) for j in known}
