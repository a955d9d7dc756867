"""``explain``: why this agent, and why not that one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentroute.cli.parts.common import ConfigFile, Db, Json, emit, open_ledger

if TYPE_CHECKING:
    from agentroute.ledger import Ledger
    from agentroute.ledger.explaining.explanation import Explanation

PLACE = 61  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(explain)


def explain(
    what: Annotated[
        str, typer.Argument(metavar="ID", help="A decision or run, the start of an id, or 'last'.")
    ] = "last",
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="A task of the run.")] = None,
    why_not: Annotated[
        str | None, typer.Option("--why-not", metavar="AGENT", help="Why was it not this one?")
    ] = None,
    cases: Annotated[int, typer.Option("--cases", min=0, help="How many past cases.")] = 5,
    config: ConfigFile = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Why a decision was taken: the score part by part, the rivals, past cases, who was left out.

    Of a run with several choices each is said in a sentence; TASK shows one whole. In JSON `flip`
    is the least that would have put the rival, or AGENT, first.
    """
    from agentroute.cli.parts.explained import show_explanation, show_headlines

    with open_ledger(config, db) as ledger:
        ids = decisions_of(ledger, what, task)
        one = len(ids) == 1
        found = [ledger.explain(i, why_not=why_not, cases=cases if one else 0) for i in ids]
        whole = [_with_flip(ledger, e) for e in found] if as_json else []
    if as_json:
        emit(whole[0] if one else whole)
    elif one:
        show_explanation(found[0])
    else:
        show_headlines(found)


def _with_flip(ledger: Ledger, e: Explanation) -> dict[str, Any]:
    """The explanation as data, and what would have flipped it; null where nobody else stood."""
    asked = e.why_not
    if asked is None and e.rival:
        asked = ledger.explain(e.decision.id, why_not=e.rival, cases=0).why_not
    flip = None if asked is None else asked.model_dump(mode="json")
    return {**e.model_dump(mode="json"), "flip": flip}


def decisions_of(ledger: Ledger, what: str, task: str | None) -> list[str]:
    """The decision that is meant; of a run, its choices of agents, or the last one of a task.

    Raises:
        UsageError: the run has no such task.
        UnknownDecisionError, UnknownRunError: nothing of that name.
    """
    from agentroute.errors import UsageError, did_you_mean
    from agentroute.learning.teaching import find_target

    target = find_target(ledger, what)
    rows = ledger.decisions(target)
    if not rows:
        return [target]
    routes = [d for d in rows if d.kind == "route"] or rows
    if task is None:
        return [d.id for d in routes]
    of = [d for d in rows if task in (d.task_id, d.kind)]
    if not of:
        names = sorted({d.task_id for d in rows if d.task_id})
        raise UsageError(f"the run has no task '{task}'", hint=did_you_mean(task, names))
    return [of[-1].id]
