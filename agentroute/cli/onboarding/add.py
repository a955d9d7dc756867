"""``agents add``: a card that somebody wrote, or one that is made of sample queries."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentroute.cli.agents import Into, agents_app
from agentroute.cli.parts.common import (
    ConfigFile,
    Json,
    counted,
    emit,
    registry_of,
    run_async,
    settings_of,
)

if TYPE_CHECKING:
    from agentroute.registry.newcard import NewCard
    from agentroute.registry.samples import Samples

CardFile = Annotated[Path | None, typer.Argument(help="A card (YAML, or an A2A agent-card.json).")]
Queries = Annotated[
    Path | None,
    typer.Option(
        "--from-queries", metavar="FILE",
        help="Write the card from sample queries: one a line, JSON, or a table.",
    ),
]  # fmt: skip
Chat = Annotated[str | None, typer.Option("--chat", metavar="MODEL", help="It is a chat model.")]
Prompt = Annotated[
    str | None, typer.Option("--prompt", metavar="TEXT", help="What the chat model is told.")
]
Like = Annotated[
    str | None, typer.Option("--like", metavar="AGENT", help="It is called as that agent is.")
]
Entrypoint = Annotated[
    str | None, typer.Option("--entrypoint", metavar="FN", help="NAME.py:fn, or module:fn.")
]
PLACE = 31  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this command to the group of agents."""
    agents_app.command("add")(add)


def add(
    file: CardFile = None,
    from_queries: Queries = None,
    name: Annotated[str | None, typer.Option("--name", help="Of the new agent.")] = None,
    chat: Chat = None,
    prompt: Prompt = None,
    like: Like = None,
    entrypoint: Entrypoint = None,
    draft: Annotated[bool, typer.Option("--draft", help="No way to call it yet.")] = False,
    skill: Annotated[str | None, typer.Option("--skill", help="The id of its skill.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Writes the description.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="No model writes it.")] = False,
    into: Into = Path("agents"),
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Onboard an agent: its card, and the code beside it, go into the catalogue folder.

    With --from-queries and --name the card is written from what people ask such an agent: by
    keyphrases, or in the words of a chat model where --model or OPENAI_MODEL names one. Say how it
    is called: --chat, --like or --entrypoint.
    """
    from agentroute.errors import UsageError
    from agentroute.registry.newcard import Calling
    from agentroute.registry.onboard import onboard

    how = Calling(chat=chat, like=like, entrypoint=entrypoint, draft=draft, prompt=prompt)
    making = (name, skill, model) != (None, None, None) or offline or how != Calling()
    if file is not None and from_queries is None and not making:
        for path in onboard(file, into):
            emit({"path": str(path)}) if as_json else typer.echo(f"added {path}")
        return
    if file is not None or from_queries is None or name is None:
        raise UsageError(
            "give a card's FILE, or --from-queries FILE with --name",
            hint="agentroute agents add --from-queries asked.txt --name helper --chat MODEL",
        )
    if offline and model is not None:
        raise UsageError("--offline asks no model", hint="leave out --model or --offline")
    from agentroute.adapters.writer import author
    from agentroute.registry.newcard import add_from_queries
    from agentroute.registry.samples import read_samples

    registry = registry_of(settings_of(config), None)
    samples, writer = read_samples(from_queries), None if offline else author(model)
    made = run_async(
        add_from_queries(name, samples, how.checked(), into, registry, skill=skill, author=writer)
    )
    _tell(made, samples, writer.model if writer else "", as_json=as_json)


def _tell(made: NewCard, samples: Samples, model: str, *, as_json: bool) -> None:
    """Where the card is, which method wrote it, what was left out, and what is not ready."""
    if as_json:
        emit({
            "path": str(made.path), "method": made.method, "model": model or None,
            "refused": made.refused, "queries": len(samples.queries), "found": samples.found,
            "left_out": samples.left_out, "notes": made.notes,
            "card": made.card.model_dump(mode="json", exclude_defaults=True),
        })  # fmt: skip
        return
    card = made.card
    by = f"model {model}" if made.method == "model" else "keyphrases, no model"
    typer.echo(f"added {made.path}: agent '{card.name}', {card.status}")
    typer.echo(f"description by {by}: {card.description}")
    typer.echo(f"skill '{card.skills[0].id}', from {counted(len(samples.queries), 'query')}")
    if made.refused:
        typer.echo(f"{model} wrote none that can be used: {'; '.join(dict.fromkeys(made.refused))}")
    for why, n in samples.left_out.items():
        typer.echo(f"left out: {n} {why}")
    typer.echo(
        f"called by {card.entrypoint or 'nothing yet'}"
        + (f", model {card.model}" if card.model else "")
    )
    if card.prompt:
        typer.echo(f"told: {card.prompt}")
    for note in made.notes:
        print(f"agentroute: note: {note}", file=sys.stderr)
