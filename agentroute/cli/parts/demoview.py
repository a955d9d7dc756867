"""The demo as it happens, for a terminal."""

from __future__ import annotations

import sys
from typing import Any

import typer

from agentroute.cli.parts.common import counted, seconds, table
from agentroute.cli.parts.progress import plain
from agentroute.cli.parts.terminal import raw
from agentroute.cli.parts.views import show_choices, show_route
from agentroute.demo.story import REPEATS, Contest, Learning, picks
from agentroute.evaluation.results import EvalResult
from agentroute.inspector.charts import sparkline
from agentroute.inspector.money import usd
from agentroute.model.runs import RunResult


class Teller:
    """Prints each part when it is there."""

    def __call__(self, part: str, data: Any) -> None:
        """Show one part of the story."""
        getattr(self, f"_{part}")(data)

    def _event(self, event: Any) -> None:
        if event.type == "run.started":
            typer.echo("1. A pipeline on real input: audit_project on this environment\n")
        elif event.type in ("agent.finished", "agent.failed") and (line := plain(event)):
            typer.echo(line)

    def _run(self, run: RunResult) -> None:
        typer.echo(f"\n{run.answer}\n")
        show_choices(run)
        for words in run.degraded:
            typer.echo(f"degraded: {words}")
        u = run.usage
        typer.echo(
            f"{run.status}: {run.topology}, {counted(u.calls, 'call')} in {seconds(u.wall_s)}, "
            f"{usd(u.cost_usd)} USD of CPU\n"
        )

    def _contest(self, contest: Contest) -> None:
        typer.echo(f"2. The contested step '{contest.task_id}': who, how likely, and why\n")
        show_route(contest.found)
        for agent, words in contest.why_not.items():
            typer.echo(f"why not {agent}: {words}")
        typer.echo(f"\n3. The same step {REPEATS} times on code that no longer parses\n")

    def _repeat(self, step: tuple[int, Learning]) -> None:
        i, learning = step
        if sys.stdout.isatty():
            chance = learning.chances[-1].get(learning.agents[-1], 0.0)
            raw(sys.stdout).write("\r")
            print(f"{i + 1:3}  {learning.agents[-1]} (p={chance:.2f})   ", end="", flush=True)

    def _learning(self, learning: Learning) -> None:
        if sys.stdout.isatty():
            raw(sys.stdout).write("\r" + " " * 60 + "\r")
        early, late = picks(learning)
        for agent in sorted({*early, *late}):
            chances = [c.get(agent, 0.0) for c in learning.chances]
            score = learning.mean_score(agent)
            said = "" if score is None else f", verified at {score:.2f} on average"
            typer.echo(
                f"{agent:16} {sparkline(chances)}  chance {chances[0]:.2f} -> {chances[-1]:.2f}; "
                f"chosen {early[agent]} times in the first half, {late[agent]} in the second{said}"
            )
        each = learning.seconds / max(1, len(learning.agents))
        typer.echo(f"{len(learning.agents)} runs, {seconds(each)} each\n")

    def _table(self, result: EvalResult) -> None:
        typer.echo("4. A recorded table of real outcomes, streamed through the learner\n")
        header, rows = result.table()
        table(
            f"{result.test}: learned from {result.train_rows} tasks seeing only the chosen arm, "
            f"scored on {result.rows} others",
            [header[0], *(f">{h}" for h in header[1:])],
            rows,
        )
        curve = next(iter(result.routers.values())).curve
        if curve:
            typer.echo(f"quality while learning  {_shape(curve['mean'])}")
        typer.echo("")


def _shape(values: list[float]) -> str:
    lo, hi = min(values), max(values)
    return f"{sparkline(values, lo, hi)}  {values[0]:.3f} -> {values[-1]:.3f}"
