"""``agents quiz``: a new agent is asked the past tasks that tell most about it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentroute.cli.agents import Name, agents_app
from agentroute.cli.parts.common import (
    AgentsDir,
    ConfigFile,
    Db,
    Json,
    emit,
    open_ledger,
    orchestrator_of,
    run_async,
    table,
)
from agentroute.inspector.money import usd

if TYPE_CHECKING:
    from agentroute.evaluation.onboarding.quiz import Answer, Held, Quiz

PLACE = 32  # where it stands in the help
WORDS = 60


def register(app: typer.Typer) -> None:
    """Add this command to the group of agents."""
    agents_app.command("quiz")(quiz)


def quiz(
    name: Name,
    size: Annotated[int, typer.Option("--size", min=1, help="How many tasks.")] = 20,
    listed: Annotated[bool, typer.Option("--list", help="Show them; call nobody.")] = False,
    budget: Annotated[
        float | None, typer.Option("--budget", min=0, help="USD, of the quiz as a whole.")
    ] = None,
    verifier: Annotated[
        str | None, typer.Option("--verifier", metavar="AGENT", help="Scores each answer.")
    ] = None,
    config: ConfigFile = None,
    agents: AgentsDir = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Ask a new agent the tasks of your ledger that tell most about it, each as an ordinary run.

    Those are tasks on which the router expects the others to differ, and that are unlike one
    another. Verifiers and your feedback on the runs teach the routers. Exit 1 where it stopped
    before its end.
    """
    from agentroute.cli.parts.progress import Progress
    from agentroute.evaluation.onboarding.quiz import choose, hold

    open_ledger(config, db).close()  # where there is none, none is made
    orc = orchestrator_of(config, db, agents)

    async def look() -> Quiz:
        async with orc.reading():
            return await choose(orc, name, size, verifier=verifier)

    async def ask(progress: Progress) -> Held:
        async with orc:
            chosen = await choose(orc, name, size, verifier=verifier)
            return await hold(orc, chosen, budget_usd=budget, on_event=progress)

    if listed:
        made = run_async(look())
        emit(_of_quiz(made)) if as_json else _show_quiz(made)
        return
    with Progress(quiet=as_json) as progress:
        held = run_async(ask(progress))
    emit(_of_held(held)) if as_json else _show_held(held, db)
    if held.stopped:
        raise typer.Exit(1)


def _of_quiz(made: Quiz) -> dict[str, Any]:
    return {
        "agent": made.agent, "policy": made.policy, "pool": len(made.pool),
        "left_out": made.left_out,
        "questions": [
            {
                "prompt": q.past.task.prompt, "features": q.past.task.features,
                "skills": q.past.task.skills, "decision": q.past.decision_id,
                "spread": q.spread, "believed": q.believed,
                "verifiers": [v.name for v in q.plan.verifiers],
            }
            for q in made.questions
        ],
    }  # fmt: skip


def _of_held(held: Held) -> dict[str, Any]:
    return {
        **_of_quiz(held.quiz),
        "answers": [
            {
                "run": a.result.run_id, "status": a.result.status, "answer": a.result.answer,
                "score": a.score, "failed": a.failed, "needs_score": a.needs_score,
                "before": a.question.believed, "after": a.believed,
                "cost_usd": a.result.usage.cost_usd,
            }
            for a in held.answers
        ],
        "before": held.quiz.believed, "after": held.believed,
        "cost_usd": held.cost_usd, "stopped": held.stopped,
    }  # fmt: skip


def _show_quiz(made: Quiz) -> None:
    """The questions, most telling first, and what was no question."""
    rows = [
        (
            _short(q.past.task.prompt), f"{q.spread:.3f}", f"{q.believed:.3f}",
            ", ".join(v.name for v in q.plan.verifiers),
        )
        for q in made.questions
    ]  # fmt: skip
    title = f"{len(rows)} of {len(made.pool)} tasks that '{made.agent}' could be asked"
    table(f"{title}, by {made.policy}", ["task", ">others differ", ">expected", "verifier"], rows)
    if all(q.spread == 0 for q in made.questions):
        typer.echo("no two agents that were called differ on these: chosen as unlike one another")
    for why, n in sorted(made.left_out.items()):
        typer.echo(f"left out: {n} {why}")


def _show_held(held: Held, db: str | None) -> None:
    """Each answer, what the router believes before and after, and what still needs a score."""
    rows = [
        (
            a.result.run_id, _short(a.question.past.task.prompt), _came(a),
            f"{a.question.believed:.3f}", f"{a.believed:.3f}",
        )
        for a in held.answers
    ]  # fmt: skip
    table(
        f"quiz of '{held.quiz.agent}', by {held.quiz.policy}",
        ["run", "task", "score", ">before", ">after"], rows,
    )  # fmt: skip
    if held.stopped:
        left = len(held.quiz.questions) - len(held.answers)
        typer.echo(f"stopped with {left} tasks left: {held.stopped}")
    typer.echo(
        f"expected of '{held.quiz.agent}' over its {len(held.quiz.pool)} tasks: "
        f"{held.quiz.believed:.3f} before, {held.believed:.3f} now; {usd(held.cost_usd)} USD"
    )
    where = f" --db {shlex.quote(db)}" if db else ""
    waiting = [a.result for a in held.answers if a.result.waiting]
    for result in waiting:
        typer.echo(f"waits for approval: agentroute runs show {result.run_id}{where}")
    unscored = [a for a in held.answers if a.needs_score]
    if unscored:
        typer.echo(f"{len(unscored)} of {len(rows)} runs teach nothing of quality until scored:")
    for a in unscored:
        typer.echo(f"  agentroute feedback {a.result.run_id} --score S{where}")


def _came(a: Answer) -> str:
    if a.score is not None:
        return f"{a.score:.2f}"
    return "failed, 0" if a.failed else a.result.status if a.result.waiting else "none yet"


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= WORDS else words[: WORDS - 3] + "..."
