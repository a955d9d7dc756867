"""What ``eval`` found, all parts of it: as JSON, as tables, as a report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from agentroute.cli.parts import evaluation as parts
from agentroute.cli.parts.common import command_line, counted, emit, table

if TYPE_CHECKING:
    from agentroute.evaluation.results import EvalResult
    from agentroute.evaluation.runner import EvalSpec
    from agentroute.evaluation.sweep import Sweep


@dataclass(frozen=True, slots=True)
class Found:
    """The table of scores, and what was asked for beside it."""

    result: EvalResult
    swept: list[Sweep]
    learned: dict[str, Any] | None
    chosen: dict[str, dict[str, float | None]]
    met: dict[str, list[dict[str, float | None]]]
    withhold: int


class Progress:
    """Says on stderr, every ten seconds, how far a long evaluation is."""

    EVERY_S = 10.0

    def __init__(self) -> None:
        self._began = self._said = time.monotonic()

    def __call__(self, done: int, whole: int) -> None:
        """After repetition ``done`` of ``whole``."""
        now = time.monotonic()
        if done == whole or now - self._said < self.EVERY_S:
            return
        self._said = now
        left = (now - self._began) / done * (whole - done)
        typer.echo(f"{done} of {whole} repetitions, about {left:,.0f} s to go", err=True)


def evaluated(spec: EvalSpec, *, sweep: bool, curve: bool, sets: bool, withhold: int) -> Found:
    """Everything that was asked for, measured."""
    from agentroute.evaluation.runner import evaluate

    spec = parts.with_baselines(spec)
    return Found(
        evaluate(spec, told=Progress()),
        parts.sweeps(spec) if sweep else [],
        parts.learning(spec) if curve else None,
        parts.chosen_sets(spec, withhold) if sets else {},
        parts.newcomers(spec, withhold) if withhold else {},
        withhold,
    )


def write_report(found: Found, report: Path) -> None:
    """One self-contained HTML file."""
    from agentroute.inspector.evalpage import eval_page
    from agentroute.inspector.page import write

    path = write(
        report, eval_page(found.result, found.swept, found.learned, made_by=command_line())
    )
    typer.echo(f"report: {path}", err=True)


def emit_found(found: Found) -> None:
    """JSON; parts that are empty are left out."""
    more = {
        "sweeps": [s.to_json() for s in found.swept],
        "learning_curve": found.learned,
        "sets": found.chosen,
        "newcomers": found.met,
    }
    emit({**found.result.to_json(), **{k: v for k, v in more.items() if v}})


def show_found(found: Found) -> None:
    """Tables, the scores first."""
    result = found.result
    header, rows = result.table()
    numeric = [header[0], *(f">{h}" for h in header[1:])]
    title = (
        f"{result.test}: {result.mode} mode, {counted(result.train_rows, 'row')} learned, "
        f"{result.rows:,} scored, {counted(result.repetitions, 'repetition')}; score x 100"
    )
    table(title, numeric, rows)
    for note in result.notes:
        typer.echo(note)
    parts.show_sweeps(found.swept)
    if found.learned is not None:
        parts.show_curve(found.learned)
    parts.show_sets(found.chosen)
    parts.show_newcomers(found.met, found.withhold)
