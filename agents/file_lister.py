"""Lists the files of a folder that matter, up to a cap, and says what it left out."""

from __future__ import annotations

import os
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentroute.errors import UsageError
from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import locate

SKIP = {
    "__pycache__", "node_modules", "build", "dist", "venv", "env", "site-packages", "htmlcov",
    "_bundled",
}  # fmt: skip


def agent(call: AgentCall) -> AgentReply:
    """``data``: root, files (relative, sorted), left_out (how many), environment (bool)."""
    p = call.params
    suffixes = tuple(p.get("suffixes", [".py"]))
    root, environment = locate(str(p.get("path") or ".")), False
    if p.get("else_environment") and root.is_dir() and next(walk(root, suffixes), None) is None:
        root, environment = Path(sysconfig.get_paths()["purelib"]), True
    found, in_time = listed(root, suffixes, float(p.get("max_s", 2)))
    if not found:
        kinds = ", ".join(suffixes)
        raise UsageError(f"'{root.name}' holds no {kinds} file", hint="name another folder")
    kept = capped(found, int(p.get("max_files", 300)), float(p.get("max_mb", 2)) * 1e6)
    base = root.parent if root.is_file() else root
    left = len(found) - len(kept)
    data = {
        "root": str(base), "files": [f.relative_to(base).as_posix() for f, _ in kept],
        "left_out": left, "environment": environment, "blocks": blocks(kept, left, in_time),
    }  # fmt: skip
    where = "the running environment" if environment else root.name
    tail = f"; {left:,} left out by the cap" if left else ""
    return AgentReply(text=f"{where}: {len(kept):,} files{tail}.", data=data)


def walk(root: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Files with one of the suffixes, in sorted order, without hidden and built folders."""
    for folder, names, files in os.walk(root):
        names[:] = sorted(n for n in names if n not in SKIP and not n.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(suffixes):
                yield Path(folder, name)


def listed(
    root: Path, suffixes: tuple[str, ...], max_s: float
) -> tuple[list[tuple[Path, int]], bool]:
    """Every readable file with its size in bytes, and whether the time was enough for all."""
    until = time.monotonic() + max_s
    found = []
    for path in [root] if root.is_file() else walk(root, suffixes):
        if time.monotonic() > until:
            return found, False
        try:
            found.append((path, path.stat().st_size))
        except OSError:
            continue
    return found, True


def capped(found: list[tuple[Path, int]], most: int, most_bytes: float) -> list[tuple[Path, int]]:
    """An even spread of the files that fits both caps (one file always passes)."""
    kept = spread(found, most)
    while len(kept) > 1 and sum(size for _, size in kept) > most_bytes:
        kept = spread(kept, max(1, min(len(kept) - 1, int(len(kept) * 0.9))))
    return kept


def spread(items: list[Any], n: int) -> list[Any]:
    """``n`` items at even distances, in order."""
    if len(items) <= n:
        return items
    return [items[i * len(items) // n] for i in range(n)]


def blocks(kept: list[tuple[Path, int]], left: int, in_time: bool) -> list[dict[str, Any]]:
    """The figures a report shows, and the cap in words."""
    figures = [["files read", len(kept)], ["left out", left]]
    figures.append(["kilobytes read", round(sum(size for _, size in kept) / 1000)])
    notes = [f"{left:,} files were left out by the cap on number and size"] if left else []
    if not in_time:
        notes.append("time ran out while listing; there may be more files")
    out: list[dict[str, Any]] = [{"kind": "figures", "items": figures}]
    return [*out, {"kind": "notes", "items": notes}] if notes else out
