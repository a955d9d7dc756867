"""What ``train`` and ``pheromone show`` do, as data and lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from agentroute.cli.parts.common import console, settings_of, spec_of
from agentroute.cli.parts.states import shown
from agentroute.cli.parts.terminal import raw
from agentroute.config.paths import SCHEME
from agentroute.config.settings import Settings
from agentroute.errors import TableError, UsageError
from agentroute.evaluation.offpolicy.astable import ledger_table, require_overlap
from agentroute.evaluation.tables.outcomes import OutcomeTable
from agentroute.evaluation.tables.reading import load_table
from agentroute.evaluation.tables.targets import Target, soft_targets
from agentroute.features.text import embedder_of
from agentroute.learning.state import Snapshot
from agentroute.ledger import Ledger
from agentroute.model.arrays import Embedder, Ints
from agentroute.model.candidates import Examples
from agentroute.model.plans import AgentUse, Spec


def train(
    spec: Spec, taught: Lessons, name: str | None, config: Path | None, *, seed: int | None,
    ablate: bool, quiet: bool,
) -> dict[str, Any]:  # fmt: skip
    """Fit a router on lessons; save it as a base state."""
    from agentroute.learning.fitting import fit_base
    from agentroute.learning.state import StateStore

    settings, use = settings_of(config), AgentUse.of(spec, field="router")
    if ablate and use.name != "gnn":
        raise UsageError(f"--ablate takes parts of the gnn away, not of {use.name}", hint="gnn")
    embedder = embedder_of(settings)
    seed = settings.seed if seed is None else seed
    examples = taught.table.examples(taught.rows, embedder)
    with _working(use.name, examples, quiet=quiet):
        snapshot = fit_base(
            use.written(), examples, embedder=embedder, states=StateStore(Path(settings.state)),
            name=name or _state_name(use.name), source=taught.source, seed=seed,
            progress=None if quiet else _epoch,
        )  # fmt: skip
    variants = _ablated(examples, embedder, seed) if ablate else []
    return {**shown(snapshot), "ablation": variants, "lines": _lines_of(snapshot, variants)}


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """Rows of a table to fit on, and where they come from."""

    table: OutcomeTable
    rows: Ints
    source: dict[str, Any]


def lessons(data: Path | None, ledger: str | None, config: Path | None) -> Lessons:
    """The train and val rows of a table, or every judged decision of a ledger.

    Raises:
        UsageError: both or neither are given, or no such ledger.
        TableError: a table that cannot be read, or without rows to learn from.
        OverlapError: too little of what was not the first choice was ever tried.
    """
    if (data is None) == (ledger is None):
        raise UsageError(
            "give a table or a ledger", hint="train linear TABLE, or --from-ledger URL"
        )
    if data is not None:
        table = load_table(data)
        source: dict[str, Any] = {"table": table.name, "splits": ["train", "val"]}
        rows = table.rows(source["splits"])
        if not len(rows):
            raise TableError(f"{table.name} has no rows of split train or val")
    else:
        table = _of_ledger(ledger or "", settings_of(config))
        source = {"ledger": dict(table.meta)}
        rows = np.arange(len(table))
    if table.partial:
        source["effective"] = round(require_overlap(table, rows), 1)
    return Lessons(table, rows, source)


def valued(taught: Lessons, written: str) -> Lessons:
    """The lessons with what is to be valued in place of the scores.

    Raises:
        UsageError: the weights cannot be read.
        ConfigError, TableError: one of them cannot be, or its column is not there.
    """
    given = spec_of(written, "--target")
    if not isinstance(given, Mapping):
        raise UsageError("--target takes weights", hint="--target '{correct: 1, efficient: 0.2}'")
    target = Target.of(given)
    table = target.taught(taught.table)
    mass = np.mean(soft_targets(table.scores[taught.rows]), axis=0)
    best = sorted(zip(mass, (a.name for a in table.arms), strict=True), reverse=True)[:3]
    source = {"target": asdict(target), "mass": {name: round(float(x), 4) for x, name in best}}
    return replace(taught, table=table, source={**taught.source, **source})


def _of_ledger(url: str, settings: Settings) -> OutcomeTable:
    if not url.startswith(SCHEME):
        raise UsageError(f"--from-ledger {url} is not a ledger URL", hint="use sqlite:///FILE")
    with Ledger.open(url, read_only=True) as ledger:
        return ledger_table(
            ledger, weights=settings.feedback_weights.model_dump(), quota=settings.feedback_quota
        ).table


def _state_name(router: str) -> str:
    return router.rpartition(":")[2]


def _ablated(examples: Examples, embedder: Embedder, seed: int) -> list[dict[str, Any]]:
    from agentroute.routers.gnn.training.ablation import ablation

    return [asdict(row) for row in ablation(examples, embedder, seed=seed)]


@contextmanager
def _working(router: str, examples: Examples, *, quiet: bool) -> Iterator[None]:
    """Say on stderr that work goes on, and how long it took."""
    started = time.monotonic()
    words = f"fitting {router} on {len(examples):,} rows, {len(examples.cards)} agents"
    if not quiet:
        print(words, file=sys.stderr, flush=True)
    turning = not quiet and sys.stderr.isatty() and router != "gnn"  # that one tells of its epochs
    with console(stderr=True).status("still at it") if turning else nullcontext():
        yield
    if not quiet:
        print(f"fitted in {time.monotonic() - started:.1f} s", file=sys.stderr)


def _lines_of(snapshot: Snapshot, variants: Sequence[Mapping[str, Any]]) -> list[str]:
    about = shown(snapshot)
    metrics = about["provenance"].get("metrics", {})
    spec = {**about["provenance"]["router"], "state": snapshot.name}
    return [
        f"state {snapshot.name}, version {snapshot.number}: {spec['name']} from"
        f" {about['rows']:,} rows,"
        f" {len(about['agents'])} agents",
        f"sha256 {snapshot.sha256}",
        *_valued_lines(about["provenance"]),
        *(f"{k}: {v:.4f}" for k, v in metrics.items()),
        *(f"{v['variant']:12} KL {v['kl']:.4f}, quality {v['quality']:.4f}" for v in variants),
        f"serve it with --router '{_flow(spec)}', or as router: in agentroute.yaml",
    ]


def _valued_lines(made: Mapping[str, Any]) -> list[str]:
    if "target" not in made:
        return []
    mass = ", ".join(f"{name} {100 * x:.1f} %" for name, x in made["mass"].items())
    return [f"target: {_flow(made['target'])}", f"most of what is valued: {mass}"]


def _flow(value: Any) -> str:
    """As people write it in one line of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_flow(v)}" for k, v in value.items()) + "}"
    return f'"{value}"' if isinstance(value, str) and ":" in value else str(value)


def _epoch(p: Any) -> None:
    held = "" if p.kl_val is None else f", held out {p.kl_val:.4f}"
    end = "\n" if not sys.stderr.isatty() or p.epoch == p.epochs else ""
    if sys.stderr.isatty():
        raw(sys.stderr).write("\r")
    words = f"{p.stage} {p.epoch}/{p.epochs}: loss {p.loss:.4f}{held}  "
    print(words, end=end, file=sys.stderr, flush=True)


def pheromones(config: Path | None, db: str | None, task: str | None) -> dict[str, Any]:
    """The trails folded from the ledger in force, with lines for people."""
    from agentroute.inspector.trails import trails

    settings = settings_of(config, db)
    with Ledger.open(settings.db, read_only=True) as ledger:
        shown = trails(ledger, settings, kind=task)
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
