"""Reads a project's packages: from its own environment, else its lock file; never from ours.

Where nobody names a project, or there is none, it reads the running environment and says so.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from agentroute.errors import UsageError
from agentroute.model.calls import AgentCall, AgentReply

LONG = 60
HOMES = (".venv", "venv", "env", ".env", "__pypackages__")
SITES = ("lib/python3*/site-packages", "lib64/python3*/site-packages", "Lib/site-packages", "*/lib")
LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock")
RUNNING = "the running environment"


def agent(call: AgentCall) -> AgentReply:
    """``data.packages``: name -> {version, requires, licence, modules}; ``source`` says whose.

    ``provides`` maps import names to packages, as far as any environment here knows them.
    ``params.environment``: a folder with an environment, or ``running``; else it is looked for.
    """
    files = next((r.data for r in reversed(list(call.inputs.values()))
                  if isinstance(r.data, dict) and "root" in r.data), {})  # fmt: skip
    wanted = str(call.params.get("environment") or "")
    paths, lock, source = chosen(Path(files.get("root", "/")), files, wanted)
    here, _ = installed(state(sys.path))
    packages, damaged = installed(state(paths)) if paths else (locked(lock), 0)
    provides = {m: n for known in (here, packages) for n, p in known.items() for m in p["modules"]}
    figures = [["packages installed" if paths else "packages locked", len(packages)]]
    figures.append(["without readable metadata", damaged])
    blocks: list[dict[str, Any]] = [{"kind": "figures", "items": figures}]
    note = f"packages as in {source}" if source else NOWHERE
    blocks.append({"kind": "notes", "items": [note]})
    text = f"{len(packages)} packages in {source}." if source else f"{NOWHERE}."
    data = {"packages": packages, "source": source, "provides": provides, "blocks": blocks}
    return AgentReply(text=text, data=data | {"installed": bool(paths)})


NOWHERE = (
    "no environment of the project (.venv, venv, env) and no lock file was found: its installed"
    " versions and licences are not known"
)


def chosen(root: Path, files: dict[str, Any], wanted: str) -> tuple[list[str], Path | None, str]:
    """The search path to read, else the lock file, and whose it is; nothing of ours for others."""
    if wanted == "running" or (not wanted and (not files or files.get("environment"))):
        return list(sys.path), None, RUNNING
    if wanted:
        if found := sites(Path(wanted).expanduser()):
            return found, None, wanted
        raise UsageError(f"'{wanted}' holds no environment", hint="name its folder, or 'running'")
    if any(root.parent.glob("*.dist-info")):  # a package where it is installed
        return [str(root.parent)], None, root.parent.name
    for home in HOMES:
        if found := sites(root / home):
            return found, None, home
    lock = next((root / name for name in LOCKS if (root / name).is_file()), None)
    return [], lock, lock.name if lock else ""


def sites(home: Path) -> list[str]:
    """The folders of an environment that hold packages."""
    return sorted({str(p.resolve()) for pattern in SITES for p in home.glob(pattern)})


def state(paths: list[str]) -> tuple[tuple[str, int], ...]:
    """A search path with the times of its last changes."""
    return tuple((p, modified(p)) for p in paths)


def locked(lock: Path | None) -> dict[str, dict[str, Any]]:
    """The packages of a lock file: name, version and needs; it states no licence and no module."""
    if lock is None:
        return {}
    try:
        text = lock.read_text(encoding="utf-8-sig")
        table = json.loads(text) if lock.name == "Pipfile.lock" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as e:
        raise UsageError(f"{lock.name} cannot be read: {e}", hint="lock the project again") from e
    rows = table.get("package") or table.get("packages") or []
    if lock.name == "Pipfile.lock":
        pinned = [*table.get("default", {}).items(), *table.get("develop", {}).items()]
        rows = [{"name": n, "version": str(v.get("version", "")).lstrip("=")} for n, v in pinned]
    return {
        canonical(str(r["name"])): {
            "name": str(r["name"]), "version": str(r.get("version", "")),
            "requires": needs(r.get("dependencies", [])), "licence": "", "modules": [],
        }
        for r in rows if isinstance(r, dict) and r.get("name")
    }  # fmt: skip


def needs(listed: Any) -> list[str]:
    """What a locked package needs: names from a table, texts as they are."""
    if isinstance(listed, dict):  # poetry
        return [str(n) for n in listed]
    named = (d.get("name") if isinstance(d, dict) else d for d in listed)
    return [str(n) for n in named if n]


def modified(folder: str) -> int:
    """When a folder of the search path last changed, in ns; 0 if it is not there."""
    try:
        return Path(folder or ".").stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=2)
def installed(state: tuple[tuple[str, int], ...]) -> tuple[dict[str, dict[str, Any]], int]:
    """Every package, and how many could not be read; kept while the search path is unchanged."""
    packages: dict[str, dict[str, Any]] = {}
    damaged = 0
    for dist in metadata.distributions(path=[p for p, _ in state]):
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
