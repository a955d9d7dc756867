"""Reads what a Python project declares: in pyproject, setup.cfg, requirements, or its record."""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with

NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
Declared = tuple[str, str, bool]


def agent(call: AgentCall) -> AgentReply:
    """``data``: name, kind, declared [{name, spec, optional, source}], own (top-level modules)."""
    listed = data_with(call, "root", "files")
    root = Path(listed["root"])
    notes: list[str] = []
    if listed.get("environment"):
        return reply("running environment", "environment", [], [], ["no project here"])
    declared = list(from_files(root, notes))
    kind, name = ("project", project_name(root)) if declared or marked(root) else ("folder", "")
    if kind == "folder" and (dist := installed_as(root)):
        kind, name = "installed", dist.metadata["Name"]
        declared = [(r, "installed metadata", "extra ==" in r) for r in dist.requires or []]
    return reply(name or root.name, kind, declared, own_modules(root, listed["files"]), notes)


def reply(
    name: str, kind: str, declared: list[Declared], own: list[str], notes: list[str]
) -> AgentReply:
    """The declaration as data, each name once a source."""
    rows = []
    for spec, source, optional in dict.fromkeys(declared):
        if m := NAME.match(spec):
            bare = spec.split(";")[0].split("#")[0].strip()
            rows.append({"name": m[1], "spec": bare, "optional": optional, "source": source})
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
    return any((root / f).is_file() for f in ("pyproject.toml", "setup.cfg", "setup.py"))


def project_name(root: Path) -> str:
    """The name in pyproject, else the folder's."""
    table = toml(root, [])
    poetry = table.get("tool", {}).get("poetry", {}) if isinstance(table.get("tool"), dict) else {}
    return str(table.get("project", {}).get("name") or poetry.get("name") or root.name)


def toml(root: Path, notes: list[str]) -> dict[str, Any]:
    """pyproject.toml, or nothing and a note."""
    try:
        return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as e:
        notes.append(f"pyproject.toml cannot be read: {str(e).splitlines()[0]}")
        return {}


def from_files(root: Path, notes: list[str]) -> Iterator[Declared]:
    """Every declaration in the files that people use for it."""
    table = toml(root, notes)
    project = table.get("project", {})
    yield from ((d, "pyproject", False) for d in project.get("dependencies", []))
    groups = [*project.get("optional-dependencies", {}).values()]
    groups += table.get("dependency-groups", {}).values()
    yield from ((d, "pyproject", True) for g in groups for d in g if isinstance(d, str))
    poetry = table.get("tool", {}).get("poetry", {})
    yield from ((d, "poetry", False) for d in poetry.get("dependencies", {}) if d != "python")
    for g in poetry.get("group", {}).values():
        yield from ((d, "poetry", True) for d in g.get("dependencies", {}))
    yield from setup_cfg(root)
    for file in sorted(root.glob("requirements*.txt")):
        optional = file.name != "requirements.txt"
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        yield from ((d, file.name, optional) for d in lines if NAME.match(d))


def setup_cfg(root: Path) -> Iterator[Declared]:
    """``install_requires`` and ``extras_require`` of setup.cfg."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(root / "setup.cfg", encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return
    needed = parser.get("options", "install_requires", fallback="")
    yield from ((d, "setup.cfg", False) for d in needed.splitlines() if d.strip())
    if parser.has_section("options.extras_require"):
        for value in dict(parser.items("options.extras_require")).values():
            yield from ((d, "setup.cfg", True) for d in value.splitlines() if d.strip())


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
