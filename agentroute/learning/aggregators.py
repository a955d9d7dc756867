"""Who won as an aggregator, by kind of task: one JSON file in the folder for learned state."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import orjson
from pydantic import ValidationError

from agentroute.errors import RouterStateError
from agentroute.model.plans import AgentUse

FILE = "aggregators.json"
VERSION = 1


def keep_winners(folder: Path, winners: Mapping[str, AgentUse]) -> Path:
    """Write who won for each kind ('' for all others) in place of what was there; the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    data = {"version": VERSION, "winners": {k: u.written() for k, u in winners.items()}}
    new = path.with_suffix(".new")
    with open(new, "wb") as file:
        file.write(orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    return path


def load_winners(folder: Path) -> dict[str, AgentUse]:
    """Who won for each kind; nobody where nothing was measured.

    Raises:
        RouterStateError: the file is there and cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        data = orjson.loads(path.read_bytes())
        if data["version"] != VERSION:
            raise ValueError(f"version {data['version']}")
        return {str(k): AgentUse.of(use, field="refine") for k, use in data["winners"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError) as e:
        raise RouterStateError(
            f"{path} cannot be read: {e}", hint="agentroute bench aggregators writes it anew"
        ) from None
