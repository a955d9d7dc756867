"""Plans, choices and results for a terminal."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence

import typer

from agentroute.cli.parts.common import counted, seconds, table
from agentroute.execution.found import RouteFound
from agentroute.inspector.money import usd
from agentroute.model.plans import Plan
from agentroute.model.runs import RunResult

MOST = 16


def show_route(found: RouteFound, why_not: str | None = None) -> None:
    """Who, with what probability, and what each score is made of."""
    who = ", ".join(found.chosen) or "nobody"
    typer.echo(f"{who}  ({found.status}, policy {found.policy} {found.policy_version})")
    if found.reason:
        typer.echo(f"why: {found.reason}")
    terms = sorted({k for r in found.ranked for k in r.terms})
    rows = [
        (
            r.agent,
            f"{r.propensity:.3f}",
            "screened out" if r.mean is None else f"{r.mean:.3f}",
            "" if r.bonus is None else f"{r.bonus:.3f}",
            *(f"{r.terms[k]:+.3f}" if k in r.terms else "" for k in terms),
        )
        for r in found.ranked[:MOST]
    ]
    table("", ["agent", ">p", ">mean", ">bonus", *(f">{t}" for t in terms)], rows)
    if len(found.ranked) > MOST:
        typer.echo(f"and {len(found.ranked) - MOST} more")
    if why_not:
        typer.echo(f"why not: {found.why_not(why_not)}")
    elif found.excluded:
        reasons: dict[str, int] = {}
        for reason in found.excluded.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        for reason, n in sorted(reasons.items(), key=lambda r: -r[1]):
            typer.echo(f"left out: {n} ({reason})")


def show_plan(plan: Plan) -> None:
    """The tasks, the numbers of the graph and the topology that follows from them."""
    from agentroute.planning.mermaid import mermaid

    choice, s = plan.choice, plan.choice.stats
    typer.echo(f"{plan.name}: {choice.topology} ({choice.reason})")
    if plan.selector is not None:
        typer.echo("that is the rule's; what was learned picks the shape when a run starts")
    if (how := plan.planning) is not None:
        typer.echo(f"planned by {how.by}: {how.why}")
        if how.usage.tokens:
            cost = usd(how.usage.cost_usd or 0.0)
            typer.echo(f"its model used {how.usage.tokens:,} tokens, {cost} USD")
    typer.echo(
        f"{counted(s.nodes, 'task')}, {counted(s.edges, 'edge')}, width {s.omega}, "
        f"depth {s.delta:g}, coupling {s.gamma:.2f}, width/tasks {s.r:.2f}"
    )
    rows = [
        (t.id, ", ".join(t.skills), t.agent or "", ", ".join(t.depends_on), t.prompt)
        for t in plan.tasks[:MOST]
    ]
    table("", ["task", "skills", "pinned", "after", "prompt"], rows)
    if len(plan.tasks) > MOST:
        typer.echo(f"and {len(plan.tasks) - MOST} more")
    typer.echo(mermaid(plan))


def show_run(result: RunResult, db: str | None = None) -> None:
    """The answer, what was degraded, who did what, where the artefacts are, and who waits."""
    if result.answer:
        typer.echo(result.answer)
        typer.echo("")
    show_choices(result)
    for words in result.degraded:
        if words not in result.goal_missed and words not in result.answer:
            typer.echo(f"degraded: {words}")
    for words in result.goal_missed:
        typer.echo(f"goal missed: {words}")
    between = f"{os.sep}work{os.sep}{result.run_id}{os.sep}"
    for a in result.artifacts:
        if between not in a.path:
            typer.echo(f"artefact: {a.path}")
    u = result.usage
    typer.echo(
        f"run {result.run_id}: {result.status}, {result.topology}, {counted(u.calls, 'call')}, "
        f"{seconds(u.wall_s)}, {usd(u.cost_usd)} USD"
    )
    show_waiting(result.run_id, result.waiting, db)


def show_waiting(run_id: str, waiting: Mapping[str, Sequence[str]], db: str | None) -> None:
    """Who waits for a word, and the two commands that give it."""
    for task, agents in waiting.items():
        typer.echo(f"waiting for approval: task '{task}' by {', '.join(agents)}")
        where = f" --db {shlex.quote(db)}" if db else ""
        for word in ("approve", "reject"):
            typer.echo(f"  agentroute runs resume {run_id} --{word} {shlex.quote(task)}{where}")


def show_choices(result: RunResult) -> None:
    """The route decisions of a run with the verifier's scores beside them."""
    scores = {(row["decision_id"], row.get("agent") or ""): row["score"] for row in result.scores}
    rows = []
    for d in [d for d in result.decisions if d.kind == "route"][: 2 * MOST]:
        score = scores.get((d.id, d.chosen[0] if d.chosen else ""), scores.get((d.id, "")))
        rows.append(
            (
                d.task_id,
                ", ".join(d.chosen) or "nobody",
                f"{d.propensity:.3f}",
                "" if score is None else f"{score:.2f}",
                d.status,
            )
        )
    table("", ["task", "agent", ">p", ">verified", "status"], rows)
    more = sum(d.kind == "route" for d in result.decisions) - 2 * MOST
    if more > 0:
        typer.echo(f"and {more} more choices")
