"""Reads what a Python project declares, in the files people use for it, or its record."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.declared import Declared, declarations, package_of, project_name
from agentroute.toolbox.handover import data_with


def agent(call: AgentCall) -> AgentReply:
    """``data``: name, kind, declared [{name, spec, optional, source}], own (top-level modules)."""
    listed = data_with(call, "root", "files")
    root = Path(listed["root"])
    if listed.get("environment"):
        return reply("running environment", "environment", [], [], ["no project here"])
    declared, notes = declarations(root, listed["files"])
    kind, name = ("project", project_name(root)) if declared or marked(root) else ("folder", "")
    if kind == "folder" and (dist := installed_as(root)):
        kind, name = "installed", dist.metadata["Name"]
        declared = [
            Declared(package_of(r) or r, r, "installed metadata", "extra ==" in r)
            for r in dist.requires or []
        ]
    return reply(name or root.name, kind, declared, own_modules(root, listed["files"]), notes)


def reply(
    name: str, kind: str, declared: list[Declared], own: list[str], notes: list[str]
) -> AgentReply:
    """The declaration as data, each name once a source."""
    rows = [d._asdict() | {"spec": d.spec.split(";")[0].strip()} for d in declared]
    needed = sum(not r["optional"] for r in rows)
    blocks: list[dict[str, Any]] = [
        {"kind": "figures", "items": [["declared", needed], ["optional", len(rows) - needed]]}
    ]
    if notes:
        blocks.append({"kind": "notes", "items": notes})
    return AgentReply(
        text=f"{name}: {kind}, {needed} dependencies declared, {len(rows) - needed} optional.",
        data={"name": name, "kind": kind, "declared": rows, "own": own, "blocks": blocks},
    )


def marked(root: Path) -> bool:
    """Whether a folder says that it is a project."""
    return any((root / f).is_file() for f in ("pyproject.toml", "setup.cfg", "setup.py", "Pipfile"))


def installed_as(root: Path) -> metadata.Distribution | None:
    """The distribution that put this folder beside its own record."""
    for record in root.parent.glob("*.dist-info/RECORD"):
        with record.open(encoding="utf-8", errors="replace") as f:
            if any(line.startswith(f"{root.name}/") for line in f):
                return metadata.PathDistribution(record.parent)
    return None


def own_modules(root: Path, files: list[str]) -> list[str]:
    """Top-level names that the project itself provides, with a src layout or without."""
    names = {root.name.replace("-", "_")}
    for f in files:
        parts = Path(f).parts
        for i in range(min(len(parts), 3)):
            names.add(Path(parts[i]).stem)
    return sorted(n for n in names if n.isidentifier())
