"""What ``train gnn`` and ``pheromone show`` do, as data and lines."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from agentroute.cli.parts.common import settings_of
from agentroute.features.text import make_embedder
from agentroute.ledger import Ledger
from agentroute.model.plans import AgentUse


def train(data: Path, out: Path, *, seed: int, ablate: bool, quiet: bool) -> dict[str, Any]:
    """Fit the GNN on a table's train and val rows; save its arrays and the manifest."""
    from agentroute.evaluation.tables.reading import load_table
    from agentroute.learning.state import StateStore, write_synced
    from agentroute.routers.gnn.training.ablation import ablation
    from agentroute.routers.gnn.training.train import manifest
    from agentroute.routers.gnn.training.train import train as fit

    table, embedder = load_table(data), make_embedder()
    rows = np.flatnonzero(table.split != "test")
    examples = table.examples(rows, embedder)
    router = fit(examples, embedder, seed=seed, progress=None if quiet else _epoch)
    assert router.fitted is not None
    variants = list(ablation(examples, embedder, seed=seed)) if ablate else []
    snapshot = StateStore(out).save("gnn", router.state_dict())
    page = manifest(router.fitted, f"{table.name}: {len(rows)} rows", variants)
    text = _json(page)
    write_synced(out / "gnn" / "manifest.json", text)
    lines = [
        f"{len(rows)} rows, {len(table.arms)} agents; state {out}/gnn, version {snapshot.number}",
        f"manifest: {out}/gnn/manifest.json",
        *(f"{k}: {v:.4f}" for k, v in page["metrics"].items() if isinstance(v, float)),
    ]
    lines += [f"{r.variant:12} KL {r.kl:.4f}, quality {r.quality:.4f}" for r in variants]
    return {**page, "ablation": [asdict(r) for r in variants], "lines": lines}


def _epoch(p: Any) -> None:
    held = "" if p.kl_val is None else f", held out {p.kl_val:.4f}"
    end = "\n" if not sys.stderr.isatty() or p.epoch == p.epochs else ""
    start = "\r" if sys.stderr.isatty() else ""
    words = f"{start}{p.stage} {p.epoch}/{p.epochs}: loss {p.loss:.4f}{held}  "
    print(words, end=end, file=sys.stderr, flush=True)


def _json(page: dict[str, Any]) -> bytes:
    import orjson

    return orjson.dumps(page, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY)


def pheromones(config: Path | None, db: str | None, task: str | None) -> dict[str, Any]:
    """The trails folded from the ledger in force, with lines for people."""
    from agentroute.choosing.catalog import make_policy
    from agentroute.learning.fold import Learner

    settings = settings_of(config, db)
    named = AgentUse.of(settings.router, field="router").name == "pheromone"
    embedder = make_embedder(settings.embedder)
    spec = settings.router if named else "pheromone"  # what a run uses, where one does
    router: Any = make_policy(spec, embedder=embedder, seed=settings.seed).router
    with Ledger.open(settings.db, read_only=True) as ledger:
        weights = settings.feedback_weights.model_dump()
        Learner(router, ledger, weights=weights, embedder=embedder).fold()
    shown = router.show(task)
    lines = [f"{shown['folded']} observations folded"]
    for kind, data in shown["kinds"].items():
        lines += _lines(kind, data)
    return {**shown, "lines": lines}


def _lines(kind: str, data: dict[str, Any]) -> list[str]:
    out = ["", f"kind {kind or '(any)'}"]
    names = [a[:14] for a in data["agents"]]
    out.append("  " + " " * 18 + " ".join(f"{n:>14}" for n in names))
    for source, tau, p in zip(data["sources"], data["tau"], data["p"], strict=True):
        cells = (f"{t:6.3f} p={q:.3f}" for t, q in zip(tau, p, strict=True))
        out.append(f"  {source[:18]:18}" + " ".join(f"{c:>14}" for c in cells))
    for source, agent, p in data["top"][:5]:
        out.append(f"  {source or 'start'} -> {agent}: {p:.3f}")
    return out
