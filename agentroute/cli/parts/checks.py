"""What ``config check`` and ``doctor`` look at."""

from __future__ import annotations

import importlib.util
import os
import platform
import sqlite3
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentroute.config.paths import search_order
from agentroute.config.settings import Settings, load_settings
from agentroute.errors import AgentRouteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentroute.config.paths import Place
    from agentroute.registry.registry import Registry

EXTRAS = {
    "agents": ("packaging", "radon", "pint", "rank_bm25"),
    "fit": ("sklearn",),
    "gnn": ("torch", "torch_geometric"),
    "web": ("starlette", "uvicorn"),
}
WAL_FIXED = (3, 51, 3)


def check_everything(config: Path | None) -> dict[str, Any]:
    """Counts of what is valid and one line for each problem."""
    from agentroute.registry.registry import Registry

    settings, _ = load_settings(config)
    registry = Registry(search_order("agents", configured=[Path(p) for p in settings.agents]))
    wrong = _settings_problems(settings, registry)
    places = search_order("graphs", configured=[Path(p) for p in settings.graphs])
    graphs = check_graphs(registry, places)
    problems = [*wrong, *(_line(e) for e in registry.problems), *graphs["problems"]]
    counts = {"settings": int(not wrong), "agents": len(registry), "graphs": graphs["ok"]}
    return {"counts": counts, "problems": problems}


def _settings_problems(settings: Settings, registry: Registry) -> list[str]:
    """Folders, routers, parts and agents that the settings name and that are not there."""
    from agentroute.errors import UnknownAgentError
    from agentroute.model.plans import AgentUse
    from agentroute.orchestrator import Orchestrator
    from agentroute.planning.chatlead import lead_of
    from agentroute.planning.feasible import refiner_problem

    found = [
        f"{kind}: there is no folder {folder} (make it, or take it out of the settings)"
        for kind, folders in (("agents", settings.agents), ("graphs", settings.graphs))
        for folder in folders
        if not Path(folder).is_dir()
    ]
    try:
        Orchestrator.from_settings(settings, registry=registry)
        if problem := refiner_problem(AgentUse.of(settings.refine, field="refine"), registry):
            raise problem
        lead = lead_of(AgentUse.of(settings.lead, field="lead"))
        if lead is not None and lead.name not in registry:
            raise UnknownAgentError(lead.name, registry.entries)
        if settings.judge is not None and settings.judge.name not in registry:
            raise UnknownAgentError(settings.judge.name, registry.entries)
    except AgentRouteError as e:
        found.append(_line(e))
    return found


def check_graphs(
    registry: Registry, places: Sequence[Place], names: Sequence[str] | None = None
) -> dict[str, Any]:
    """How many graphs can be carried out, and one line for each problem of the others."""
    from agentroute.adapters.client import endpoint_configured
    from agentroute.planning.feasible import as_written, problems
    from agentroute.planning.library import all_graphs, find_graph

    good, bad = all_graphs(places) if not names else ([], [])
    graphs = [spec for spec, _, _ in good] + [find_graph(n, places) for n in names or ()]
    lines, ok = [_line(e) for e in bad], 0
    for spec in graphs:
        found = problems(as_written(spec), registry, chat_ready=endpoint_configured())
        lines += [f"graph '{spec.name}': {_line(e)}" for e in found]
        ok += not found
    return {"ok": ok, "problems": lines}


def _line(e: AgentRouteError) -> str:
    return f"{e} ({e.hint})" if e.hint else str(e)


def diagnose(config: Path | None) -> list[dict[str, str]]:
    """One row a thing: ``what``, ``state`` (ok, note, bad), ``detail``."""
    rows = [_row("python", "ok", platform.python_version()), _sqlite()]
    for package in ("langgraph", "pydantic", "numpy", "sqlmodel", "openai"):
        rows.append(_package(package))
    for extra, modules in EXTRAS.items():
        missing = [m for m in modules if importlib.util.find_spec(m) is None]
        state = "note" if missing else "ok"
        rows.append(
            _row(f"extra {extra}", state, f"missing {', '.join(missing)}" if missing else "")
        )
    rows += _threads()
    endpoint = os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_KEY")
    rows.append(_row("chat endpoint", "ok" if endpoint else "note", _endpoint_note(bool(endpoint))))
    try:
        settings, _ = load_settings(config)
    except AgentRouteError as e:
        return [*rows, _row("settings", "bad", _line(e))]
    return [*rows, _row("settings", "ok", "valid"), *_catalogue(config), *_ledger(settings)]


def _row(what: str, state: str, detail: str) -> dict[str, str]:
    return {"what": what, "state": state, "detail": detail}


def _endpoint_note(there: bool) -> str:
    return "set" if there else "OPENAI_BASE_URL is not set: chat agents are left out"


def _sqlite() -> dict[str, str]:
    fixed = sqlite3.sqlite_version_info >= WAL_FIXED
    detail = f"{sqlite3.sqlite_version}, one writer and a lock file keep clear of its WAL-reset bug"
    return _row("sqlite", "ok" if fixed else "note", sqlite3.sqlite_version if fixed else detail)


def _package(name: str) -> dict[str, str]:
    try:
        return _row(name, "ok", version(name))
    except PackageNotFoundError:
        return _row(name, "bad", "not installed")


def _threads() -> list[dict[str, str]]:
    import numpy as np  # noqa: F401  loads the pools that are looked at
    from threadpoolctl import threadpool_info

    return [
        _row(
            f"threads of {pool['internal_api']}",
            "ok" if pool["num_threads"] == 1 else "note",
            f"{pool['num_threads']}; decisions run on 1",
        )
        for pool in threadpool_info()
    ]


def _catalogue(config: Path | None) -> list[dict[str, str]]:
    report = check_everything(config)
    state = "bad" if report["problems"] else "ok"
    counts = ", ".join(f"{n} {k}" for k, n in report["counts"].items())
    return [_row("catalogue", state, "; ".join([counts, *report["problems"]]))]


def _ledger(settings: Settings) -> list[dict[str, str]]:
    """The file, and whether the routers can learn from what is in it."""
    from agentroute.config.paths import database_file
    from agentroute.evaluation.statistics.health import health
    from agentroute.ledger import Ledger

    file = database_file(settings.db)
    if not file.exists():
        return [_row("ledger", "note", f"{file} does not exist yet")]
    try:
        with Ledger.open(settings.db, read_only=True) as ledger:
            rows = [_row("ledger", "ok", f"{file}: {ledger.head()[0]} rows")]
            found = health(ledger, weights=settings.feedback_weights.model_dump())
            return rows + [_row(f.what, f.state, f.detail) for f in found]
    except AgentRouteError as e:
        return [_row("ledger", "bad", _line(e))]
