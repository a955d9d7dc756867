"""Explanations for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from agentroute.cli.parts.common import table
from agentroute.ledger.explaining.explanation import Explanation

RIVALS = 8


def show_headlines(found: Sequence[Explanation]) -> None:
    """One sentence a choice."""
    for e in found:
        typer.echo(f"{e.decision.task_id} [{e.decision.id}]: {e.headline}")
    if found:
        typer.echo(f"one of them whole: agentroute explain {found[0].decision.run_id} TASK")


def show_explanation(e: Explanation) -> None:
    """The sentence, the score part by part, the rivals, what came of it, and the like."""
    d = e.decision
    typer.echo(e.headline)
    typer.echo(
        f"decision {d.id}: {d.kind} of task '{d.task_id}' in run {d.run_id}, attempt {d.attempt}"
    )
    if e.task:
        typer.echo(f"task: {_short(e.task)}")
    typer.echo(
        f"policy {d.policy} {d.policy_version}, status {d.status}, probability {d.propensity:.3f}"
    )
    if d.reason:
        typer.echo(f"said then: {d.reason}")
    if e.out_of_scope >= 0.005:
        typer.echo(f"out of scope: {e.out_of_scope:.2f}")
    _show_terms(e)
    _show_standings(e)
    for reason, agents in sorted(e.excluded.items(), key=lambda x: -len(x[1])):
        few = ", ".join(agents[:4]) + (f" and {len(agents) - 4} more" if len(agents) > 4 else "")
        typer.echo(f"left out ({reason}): {few}")
    for words in e.came:
        typer.echo(f"came of it: {words}")
    _show_cases(e)
    if e.why_not is not None:
        typer.echo(f"why not: {e.why_not.sentence}")
        for change in e.why_not.changes:
            typer.echo(f"  it would have been first with {change}")


def _show_terms(e: Explanation) -> None:
    if not e.terms or not e.decision.chosen:
        return
    rows = [
        (t.words, f"{t.chosen:+.3f}", f"{t.rival:+.3f}" if e.rival else "", f"{t.difference:+.3f}")
        for t in e.terms
    ]
    sums = [sum(t.chosen for t in e.terms), sum(t.rival for t in e.terms)]
    rows.append(
        ("sum", f"{sums[0]:.3f}", f"{sums[1]:.3f}" if e.rival else "", f"{sums[0] - sums[1]:+.3f}")
    )
    table("", ["part", f">{e.decision.chosen[0]}", f">{e.rival or '-'}", ">difference"], rows)


def _show_standings(e: Explanation) -> None:
    rows = [
        (
            s.agent,
            f"{s.propensity:.3f}",
            "screened out" if s.mean is None else f"{s.mean:.3f}",
            f"{s.bonus:.3f}",
            s.calls,
            s.judged,
        )
        for s in e.candidates[:RIVALS]
    ]
    if len(e.candidates) > 1:
        table("", ["agent", ">chance", ">expected", ">unknown", ">calls", ">judged"], rows)
        more = len(e.candidates) - RIVALS
        typer.echo(
            (f"and {more} more; " if more > 0 else "")
            + "chance: to be drawn first; expected: utility in 0 to 1; unknown: bonus for what is "
            "little known; calls, judged: how often before"
        )


def _show_cases(e: Explanation) -> None:
    if e.cases:
        rows = [
            (f"{c.similarity:.2f}", ", ".join(c.chosen), f"{c.score:.2f}", _short(c.prompt, 60))
            for c in e.cases
        ]
        table("the nearest tasks of before", [">alike", "agent", ">score", "task"], rows)
    if e.cases_below:
        least = f"{e.cases_at_least:.2f}"
        typer.echo(f"{e.cases_below} judged tasks of before are less alike than {least}: left out")


def _short(text: str, most: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
