"""``route``, ``plan``, ``run``, ``feedback``: one choice, the shape, the whole thing, teaching."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentroute.cli.parts.common import (
    AgentsDir,
    ConfigFile,
    Db,
    GraphsDir,
    Json,
    TopologyName,
    emit,
    orchestrator_of,
    run_async,
    spec_of,
)
from agentroute.inspector.money import usd

if TYPE_CHECKING:
    from agentroute.model.runs import Said
    from agentroute.orchestrator import Orchestrator

WorkArgument = Annotated[
    str, typer.Argument(help="A graph's name, a path to one, or a task in words.")
]
Inputs = Annotated[
    list[str] | None, typer.Option("--input", "-i", help="An input of the graph.", metavar="K=V")
]
User = Annotated[str | None, typer.Option("--user", help="On whose behalf.")]
InSession = Annotated[str | None, typer.Option("--session", help="What it belongs to.")]
RouterName = Annotated[
    str | None,
    typer.Option(
        "--router", help="Which router decides: a name, or '{name: gnn, state: S}'.", metavar="SPEC"
    ),
]
RefinerName = Annotated[
    str | None,
    typer.Option(
        "--refine", help="Who joins: an agent, 'primary', 'learned', or a mapping.", metavar="SPEC"
    ),
]
PlannerName = Annotated[
    str | None,
    typer.Option(
        "--planner", metavar="SPEC",
        help="Who splits words into tasks: one, offline, library, chat, or '{name: chat, ...}'.",
    ),
]  # fmt: skip
DepthName = Annotated[
    str | None,
    typer.Option(
        "--depth", metavar="SPEC",
        help="How many are asked: one, sigma, ..., or '{name: cascade, accept_at: 0.8}'.",
    ),
]  # fmt: skip
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of the choices.")]
Resume = Annotated[
    str | None, typer.Option("--resume", help="A run's id, its start, or 'last'.", metavar="RUN")
]
NOT_LEARNED = {
    "known already": "this key was given before, and its score stands",
    "duplicate": "this kind of source has spoken of it before",
    "expired": "the decision is too old",
    "quota": "its source has said of them all that feedback_quota lets one name",
    "muted": "feedback_weights gives this kind of source 0",
    "unknown": "it is not about a candidate of a route decision",
}
PLACE = 50  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (route, outcome, plan, run, feedback):
        app.command()(command)


def route(
    text: Annotated[str, typer.Argument(help="The task in words.")],
    skill: Annotated[list[str] | None, typer.Option("--skill", help="A required skill.")] = None,
    k: Annotated[
        int | None, typer.Option("-k", min=1, help="How many agents; else the settings' depth.")
    ] = None,
    why_not: Annotated[str | None, typer.Option("--why-not", metavar="AGENT")] = None,
    router: RouterName = None,
    depth: DepthName = None,
    user: User = None,
    session: InSession = None,
    record: Annotated[
        bool, typer.Option("--record", help="Write the decision down; 'outcome' closes it.")
    ] = False,
    config: ConfigFile = None,
    agents: AgentsDir = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """A dry run of one choice: who, with what probability, and why. Calls and writes nothing.

    With --record the decision is committed and its id printed: call whom it names yourself, then
    say what came of it with 'agentroute outcome ID'.
    """
    from agentroute.cli.parts.views import show_route
    from agentroute.errors import UsageError

    orc = orchestrator_of(config, db, agents, router=_spec(router), depth=_spec(depth, "--depth"))
    if record:
        if k is not None or why_not is not None:
            raise UsageError("--record takes neither -k nor --why-not", hint="--depth SPEC")
        _recorded(orc, text, skill or [], {"user": user, "session": session}, as_json=as_json)
        return

    async def go() -> Any:
        async with orc.reading():
            return await orc.route(text, skills=skill or (), k=k, user=user, session=session)

    found = run_async(go())
    if as_json:
        emit(found)
    else:
        show_route(found, why_not)


def _recorded(
    orc: Orchestrator, text: str, skills: list[str], labels: Said, *, as_json: bool
) -> None:
    async def go() -> Any:
        async with orc:
            return await orc.decide(text, skills=skills, **labels)

    made = run_async(go())
    if as_json:
        emit(made)
        return
    typer.echo(f"{', '.join(made.chosen) or 'nobody'}  ({made.status}, p = {made.propensity:.3f})")
    typer.echo(f"agentroute outcome {made.id} --quality Q --cost USD --latency S")


def outcome(
    decision: Annotated[str, typer.Argument(help="A decision of route --record, or its start.")],
    quality: Annotated[float | None, typer.Option("--quality", help="From 0 to 1.")] = None,
    cost: Annotated[float | None, typer.Option("--cost", help="USD.")] = None,
    latency: Annotated[float | None, typer.Option("--latency", help="Seconds.")] = None,
    error: Annotated[str | None, typer.Option("--error", help="What went wrong.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Which one of a team.")] = None,
    source: Annotated[str, typer.Option("--source", help="user or test.")] = "user",
    config: ConfigFile = None,
    agents: AgentsDir = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Say what came of a decision whose call you made yourself; the routers learn from it."""
    from agentroute.learning.teaching import find_target

    orc = orchestrator_of(config, db, agents)

    async def go() -> Any:
        async with orc:
            return await orc.report(
                find_target(orc.ledger, decision), quality=quality, cost_usd=cost,
                latency_s=latency, error=error, agent=agent, source=source,  # type: ignore[arg-type]
            )  # fmt: skip

    said = run_async(go())
    if as_json:
        emit(said)
        return
    known = "known already" if said.duplicate else "learned" if said.learned else "stored"
    what = (
        f"failed ({said.error})"
        if said.error
        else f"{usd(said.cost_usd)} USD, {said.latency_s:.3g} s"
    )
    typer.echo(f"{said.agent}: {what}, {known}")


def plan(
    work: WorkArgument,
    inputs: Inputs = None,
    planner: PlannerName = None,
    topology: TopologyName = None,
    config: ConfigFile = None,
    agents: AgentsDir = None,
    graphs: GraphsDir = None,
    as_json: Json = False,
) -> None:
    """The tasks of a graph and the shape they will be run in; runs nothing."""
    from agentroute.cli.parts.views import show_plan

    orc = orchestrator_of(
        config, None, agents, graphs=_folders(graphs), planner=_spec(planner, "--planner"),
        topology=_spec(topology, "--topology"),
    )  # fmt: skip
    made = orc.plan(work, inputs=parse_inputs(inputs))
    if as_json:
        emit(made.model_dump(mode="json"))
    else:
        show_plan(made)


def run(
    work: Annotated[str | None, typer.Argument(help="A graph's name or path, or a task.")] = None,
    inputs: Inputs = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where artefacts are kept.", metavar="DIR")
    ] = None,
    router: RouterName = None,
    refine: RefinerName = None,
    planner: PlannerName = None,
    topology: TopologyName = None,
    depth: DepthName = None,
    seed: Seed = None,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Skip the verifier.")] = False,
    budget: Annotated[float | None, typer.Option("--budget", min=0, help="USD.")] = None,
    resume: Resume = None,
    approve: Annotated[list[str] | None, typer.Option("--approve", metavar="TASK")] = None,
    reject: Annotated[list[str] | None, typer.Option("--reject", metavar="TASK")] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="To find the run by; repeatable.")
    ] = None,
    user: User = None,
    session: InSession = None,
    meta: Annotated[
        list[str] | None, typer.Option("--meta", help="Kept with the run.", metavar="K=V")
    ] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Show answers as they come.")] = False,
    config: ConfigFile = None,
    agents: AgentsDir = None,
    graphs: GraphsDir = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Run a graph or a task: plan, choose, call, join, verify, learn.

    Exit 1 if it failed, missed its goal, or was verified below accept_at.
    """
    from agentroute.cli.parts.progress import answers_of, carried_out, fell_short
    from agentroute.cli.parts.views import show_run
    from agentroute.errors import UsageError

    if (work is None) == (resume is None):
        raise UsageError("give a graph or a task, or --resume RUN", hint="agentroute graphs ls")
    orc = orchestrator_of(
        config, db, agents, router=_spec(router), planner=_spec(planner, "--planner"),
        depth=_spec(depth, "--depth"), seed=seed, out=str(out) if out else None,
        graphs=_folders(graphs), topology=_spec(topology, "--topology"),
    )  # fmt: skip
    options = {
        "inputs": parse_inputs(inputs), "refine": _spec(refine, "--refine"), "stream": stream,
        "answers": answers_of(approve, reject), "verify": not no_verify, "budget_usd": budget,
        "tags": tag or (), "user": user, "session": session,
        "metadata": parse_inputs(meta, "--meta"),
    }  # fmt: skip
    result = carried_out(orc, work, resume, quiet=as_json, **options)
    emit(result) if as_json else show_run(result, db)
    if fell_short(result):
        raise typer.Exit(1)


def feedback(
    target: Annotated[
        str,
        typer.Argument(metavar="ID", help="A run or a decision, the start of its id, or 'last'."),
    ],
    score: Annotated[float, typer.Option("--score", help="From 0 (useless) to 1 (perfect).")],
    agent: Annotated[str | None, typer.Option("--agent", help="One agent of a team.")] = None,
    source: Annotated[str, typer.Option("--source", help="Who says so.")] = "user",
    key: Annotated[str | None, typer.Option("--key", help="Idempotency key.")] = None,
    config: ConfigFile = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Say how good a run or a decision was; the routers learn from it.

    ID may be the start of an id, or 'last' for the latest run. The first word of each kind of
    source (user, test, verifier, self) is learned from; what was done with yours is said.
    """
    from agentroute.learning.teaching import find_target

    orc = orchestrator_of(config, db, None)

    async def go() -> Any:
        async with orc:
            about = find_target(orc.ledger, target)
            return await orc.feedback(
                about, score=score, agent=agent, source=source, idempotency_key=key
            )

    row = run_async(go())
    if as_json:
        emit(row)
        return
    done = "learned" if row["learned"] else f"stored, not learned: {NOT_LEARNED[row['reason']]}"
    typer.echo(f"{row['target']} {row['target_id']}: {row['score']} as row {row['seq']}, {done}")
    for name in row["beyond_quota"] if row["learned"] else ():
        typer.echo(f"  {name}: not learned, beyond feedback_quota")
    for parts in row["shares"].values():
        for name, part in parts.items():
            typer.echo(f"  {name}: {part:.3f} of it, by {row['credit']}")
    for name, mean in row["believes"].items():
        typer.echo(f"  {name}: the router now expects {mean:.3f} here")


def parse_inputs(given: list[str] | None, option: str = "--input") -> dict[str, str]:
    """``K=V`` pairs as a mapping; the graph's own types turn the values into what they are."""
    from agentroute.errors import UsageError

    out: dict[str, str] = {}
    for pair in given or ():
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise UsageError(f"{option} {pair} is not K=V", hint=f"for example {option} path=.")
        out[key] = value
    return out


def _spec(text: str | None, option: str = "--router") -> Any:
    return None if text is None else spec_of(text, option)


def _folders(graphs: list[Path] | None) -> tuple[str, ...] | None:
    from agentroute.errors import UsageError

    for folder in graphs or ():
        if not folder.is_dir():
            raise UsageError(f"--graphs {folder} is not a folder", hint="check the path")
    return tuple(str(g) for g in graphs) if graphs else None
