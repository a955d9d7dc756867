"""Reads the installed packages from their metadata: versions, needs, licences, modules."""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply

LONG = 60


def agent(call: AgentCall) -> AgentReply:
    """``data.packages``: name -> {version, requires, licence, modules}."""
    packages, damaged = installed(tuple((p, modified(p)) for p in sys.path))
    figures = [["packages installed", len(packages)], ["without readable metadata", damaged]]
    return AgentReply(
        text=f"{len(packages)} packages are installed.",
        data={"packages": packages, "blocks": [{"kind": "figures", "items": figures}]},
    )


def modified(folder: str) -> int:
    """When a folder of the search path last changed, in ns; 0 if it is not there."""
    try:
        return Path(folder or ".").stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=1)
def installed(state: tuple[tuple[str, int], ...]) -> tuple[dict[str, dict[str, Any]], int]:
    """Every package, and how many could not be read; kept while the search path is unchanged."""
    packages: dict[str, dict[str, Any]] = {}
    damaged = 0
    for dist in metadata.distributions():
        try:
            name = canonical(dist.metadata["Name"])
            packages.setdefault(name, described(dist))
        except (KeyError, TypeError, AttributeError, OSError, UnicodeDecodeError):
            damaged += 1
    return packages, damaged


def canonical(name: str) -> str:
    """A package's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def described(dist: metadata.Distribution) -> dict[str, Any]:
    """One package."""
    meta = dist.metadata
    return {
        "name": meta["Name"], "version": dist.version, "requires": dist.requires or [],
        "licence": licence(meta), "modules": modules(dist),
    }  # fmt: skip


def licence(meta: Any) -> str:
    """The licence expression, else the classifier, else a short free text, else ''."""
    if meta.get("License-Expression"):
        return str(meta["License-Expression"])
    found = [c for c in meta.get_all("Classifier") or [] if c.startswith("License ::")]
    if found:
        return ", ".join(c.rpartition(" :: ")[2] for c in found)
    text = " ".join(str(meta.get("License") or "").split())
    return text if len(text) <= LONG else text[:LONG] + "…"


def modules(dist: metadata.Distribution) -> list[str]:
    """Top-level import names, from top_level.txt or from the record of files."""
    if listed := dist.read_text("top_level.txt"):
        return [m for m in listed.split() if m.isidentifier()]
    names = set()
    for line in (dist.read_text("RECORD") or "").splitlines():
        first, slash, rest = line.partition("/")
        if slash and rest.partition(",")[0].endswith((".py", ".so", ".pyd")):
            names.add(first)
        elif not slash and first.partition(",")[0].endswith(".py"):
            names.add(first.partition(",")[0][:-3])
    return sorted(n for n in names if n.isidentifier())
