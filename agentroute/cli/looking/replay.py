"""``replay``: decide again over what is stored; as recorded, or by another policy."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentroute.cli.parts.common import (
    ConfigFile,
    Db,
    Json,
    emit,
    open_ledger,
    run_async,
    settings_of,
    table,
)
from agentroute.inspector.money import usd

if TYPE_CHECKING:
    from agentroute.config.settings import Settings
    from agentroute.evaluation.replay.again import Means
    from agentroute.evaluation.replay.found import Gain, Replay

PLACE = 63  # where it stands in the help
MOST = 10
NOBODY = {"depth": "may differ"}  # what is said of a choice that has no one outcome now


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(replay)


def replay(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="A run, the start of its id, or 'last'; else all."),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy",
            metavar="FILE",
            help="YAML: a router's name, its mapping, or {topology: ...}, {depth: ...}.",
        ),
    ] = None,
    config: ConfigFile = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Decide again over stored requests, without calling an agent: what would have changed?

    As recorded, every decision must come out as it was: exit 1 where one does not, unless its run
    is of an older release and does not say what decided it. With --policy
    another router decides, as far as it would have learned by then: who would have been chosen
    instead, and what that would have meant for quality and cost, with 95 % intervals. A policy
    file with the key topology asks the same of the shapes that were drawn, one with depth of how
    many were asked, and of a router's teams it is said too.
    """
    from agentroute.evaluation.replay.paths import replay_depths
    from agentroute.evaluation.replay.replay import replay as decide_again
    from agentroute.evaluation.replay.replay import replay_shapes
    from agentroute.learning.teaching import find_run

    settings = settings_of(config, db)
    spec: Any
    kind, spec = ("router", None) if policy is None else read_policy(policy)
    with open_ledger(config, db) as ledger:
        run_id = None if run is None else find_run(ledger, run)
        weights, name = settings.feedback_weights.model_dump(), _name(spec)
        if kind == "topology":
            found = replay_shapes(ledger, weights, spec, run_id=run_id, name=name)
        elif kind == "depth":
            quota = settings.feedback_quota
            found = replay_depths(ledger, weights, spec, run_id=run_id, name=name, quota=quota)
        else:
            found = run_async(
                decide_again(
                    ledger, means_of(settings), run_id=run_id, policy=spec, name=_name(spec)
                )
            )
    if as_json:
        emit({**found.model_dump(mode="json"), "agreement": found.agreement, "holds": found.holds})
    else:
        show(found)
    if not found.holds:
        raise typer.Exit(1)


KINDS = ("router", "topology", "depth")


def read_policy(file: Path) -> tuple[str, Any]:
    """What is asked about and its spec: a router's name or mapping, or one under its kind's key.

    Raises:
        ConfigError: it is none of these.
    """
    from agentroute.config.yaml import load_yaml
    from agentroute.errors import ConfigError
    from agentroute.model.plans import AgentUse

    data = load_yaml(file).data
    kind = "router"
    if isinstance(data, dict) and len(data) == 1 and (only := next(iter(data))) in KINDS:
        kind, data = only, data[only]
    try:
        AgentUse.of(data, field=kind)
    except ConfigError as e:
        raise ConfigError(
            f"names no {kind}", path=str(file), hint="for example {name: knn, k: 5}"
        ) from e
    return kind, data


def means_of(settings: Settings) -> Means:
    """With what a replay makes its policies: the settings in force."""
    from agentroute.evaluation.replay.again import Means
    from agentroute.features.text import embedder_of
    from agentroute.learning.state import StateStore

    s = settings
    defaults = {
        "exploration": s.exploration, "abstain_at": s.abstain_at, "margin": s.margin,
        "screening": s.screen,
    }  # fmt: skip
    return Means(
        embedder=embedder_of(s),
        states=StateStore(Path(s.state)),
        router=s.router,
        defaults={k: v for k, v in defaults.items() if v is not None},
        seed=s.seed,
        weights=s.feedback_weights.model_dump(),
        quota=s.feedback_quota,
    )


def show(r: Replay) -> None:
    """The counts, what changed into what, and what that would have meant."""
    share = "" if r.agreement is None else f", {r.agreement:.1%}"
    typer.echo(f"{r.policy}: {r.agreed} of {r.decisions} decisions agree{share}")
    if r.unstated:
        typer.echo(
            f"{r.unstated} of them are of runs that do not say what decided them (an older"
            " release): the settings in force did, and they may differ"
        )
    moves = Counter(
        (", ".join(c.was) or "nobody", ", ".join(c.now) or NOBODY.get(c.kind, "nobody"))
        for c in r.changed
    )
    if moves:
        table("", [">times", "was", "is now"], [(n, *m) for m, n in moves.most_common(MOST)])
        rows = [
            (c.id, c.task_id or c.kind, ", ".join(c.was) or "nobody", f"{c.propensity_was:.3f}",
             ", ".join(c.now) or NOBODY.get(c.kind, "nobody"), f"{c.propensity_now:.3f}")
            for c in r.changed[:MOST]
        ]  # fmt: skip
        table("", ["decision", "task", "was", ">p was", "is now", ">p now"], rows)
        if len(r.changed) > MOST:
            typer.echo(f"and {len(r.changed) - MOST} more: --json has them all")
    if r.quality is not None:
        typer.echo(_gain("quality", r.quality, "{:.3f}".format))
        typer.echo(_gain("cost of a decision, USD", r.cost_usd, usd))
    if r.teams is not None:
        typer.echo(_gain("quality of a team", r.teams, "{:.3f}".format))
    for why, n in r.left_out.items():
        typer.echo(f"{n} left out ({why})")
    for why, n in r.failed.items():
        typer.echo(f"{n} could not be decided again ({why})")


def _gain(what: str, g: Gain | str | None, say: Any) -> str:
    if g is None or isinstance(g, str):
        return f"{what}: cannot be predicted: {g}"
    lo, hi = g.ci95
    return (
        f"{what}: {say(g.logged)} was got over {g.rows} judged choices, {say(g.predicted)} "
        f"predicted: {g.difference:+.3g} [{lo:+.3g}, {hi:+.3g}]"
    )


def _name(spec: Any) -> str:
    return spec if isinstance(spec, str) else str((spec or {}).get("name", ""))
