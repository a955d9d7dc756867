"""Lists the files of a folder that matter, up to a cap, and says what it left out."""

from __future__ import annotations

import os
import sysconfig
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agentroute.errors import UsageError
from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.caps import within
from agentroute.toolbox.handover import locate

NAMED = 20  # so many files that were left out are named
SKIP = {
    "__pycache__", "node_modules", "build", "dist", "venv", "env", "site-packages", "htmlcov",
    "_bundled",
}  # fmt: skip


def agent(call: AgentCall) -> AgentReply:
    """``data``: root, files (relative, sorted), environment, and what the caps left out.

    ``left_out`` counts those files, ``unread`` names the largest, ``in_time`` is False where
    the listing itself was cut short.
    """
    p = call.params
    suffixes = tuple(p.get("suffixes", [".py"]))
    root, environment = locate(str(p.get("path") or ".")), False
    if p.get("else_environment") and root.is_dir() and next(walk(root, suffixes), None) is None:
        root, environment = Path(sysconfig.get_paths()["purelib"]), True
    found, in_time = listed(root, suffixes, float(p.get("max_s", 2)))
    if not found:
        kinds = ", ".join(suffixes)
        raise UsageError(f"'{root.name}' holds no {kinds} file", hint="name another folder")
    kept = within(found, int(p.get("max_files", 300)), float(p.get("max_mb", 2)) * 1e6)
    base = root.parent if root.is_file() else root
    left = passed_over(found, kept, base)
    data = {
        "root": str(base), "files": [f.relative_to(base).as_posix() for f, _ in kept],
        "left_out": len(left), "unread": left[:NAMED], "in_time": in_time,
        "environment": environment, "blocks": blocks(kept, left, in_time),
    }  # fmt: skip
    where = "the running environment" if environment else root.name
    tail = f"; {named(left, 3)} left out by the cap" if left else ""
    tail += "" if in_time else "; time ran out while listing"
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
    found: list[tuple[Path, int]] = []
    for path in [root] if root.is_file() else walk(root, suffixes):
        if time.monotonic() > until:
            return found, False
        try:
            found.append((path, path.stat().st_size))
        except OSError:
            continue
    return found, True


def passed_over(
    found: list[tuple[Path, int]], kept: list[tuple[Path, int]], base: Path
) -> list[str]:
    """Names of the files that were not kept, the largest first."""
    taken = {path for path, _ in kept}
    left = sorted((f for f in found if f[0] not in taken), key=lambda f: -f[1])
    return [path.relative_to(base).as_posix() for path, _ in left]


def named(left: Sequence[str], most: int) -> str:
    """How many, and the first ``most`` by name."""
    more = ", ..." if len(left) > most else ""
    return f"{len(left):,} ({', '.join(left[:most])}{more})"


def blocks(kept: list[tuple[Path, int]], left: list[str], in_time: bool) -> list[dict[str, Any]]:
    """The figures a report shows, and the cap in words."""
    figures = [["files read", len(kept)], ["left out", len(left)]]
    figures.append(["kilobytes read", round(sum(size for _, size in kept) / 1000)])
    notes = [f"left out by the cap on number and size: {named(left, NAMED)}"] if left else []
    if not in_time:
        notes.append("time ran out while listing; there may be more files")
    out: list[dict[str, Any]] = [{"kind": "figures", "items": figures}]
    return [*out, {"kind": "notes", "items": notes}] if notes else out
