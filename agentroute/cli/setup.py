"""``init``, ``config``, ``schema``, ``doctor``: start, check, describe, diagnose."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from agentroute.cli.parts.common import ConfigFile, Json, emit, table

config_app = typer.Typer(help="Check and show the settings in force.", no_args_is_help=True)

_SETTINGS = """\
# Settings of agentroute in this folder. Every key is optional; `agentroute config show` lists all.
version: 1
agents: [agents]
graphs: [graphs]
db: sqlite:///agentroute.db
router: default
exploration: 0.05
objective: {quality: 1.0, cost: 0.1, latency: 0.0}
budget: {usd: 1.0, seconds: 300}
"""
_CARD = """\
# yaml-language-server: $schema=./card.schema.json
name: echo_words
description: Counts the words of a text and says which is the longest. A first agent to copy.
skills:
  - id: count_words
    description: count the words of a text
    examples: ["how many words are in this sentence", "count words"]
entrypoint: echo_words.py:agent
pricing: {cpu_s_usd: 0.00002}
latency_s: 0.01
"""
_CODE = '''\
"""A first agent: real work, no model."""

from agentroute.model.calls import AgentCall, AgentReply


def agent(call: AgentCall) -> AgentReply:
    """Count the words of the prompt."""
    words = call.task.prompt.split()
    longest = max(words, key=len)
    return AgentReply(
        text=f"{len(words)} words, the longest is '{longest}'",
        data={"words": len(words), "longest": longest},
        confidence=1.0,
    )
'''
_GRAPH = """\
# yaml-language-server: $schema=./graph.schema.json
name: hello
description: One task, one call. Copy it and add tasks.
inputs:
  text: {type: str, default: "agents that learn who is best at what", help: the text to look at}
tasks:
  - {id: count, prompt: "${inputs.text}", skills: [count_words]}
"""


PLACE = 20  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(init)
    app.add_typer(config_app, name="config")
    app.command()(schema)
    app.command()(doctor)


def init(
    folder: Annotated[Path, typer.Argument(help="Where to start; made if missing.")] = Path(),
) -> None:
    """Write settings, one agent with code and one graph to start from. Overwrites nothing."""
    from agentroute.cli.parts.schemas import schema_of
    from agentroute.errors import UsageError

    files = {
        "agentroute.yaml": _SETTINGS,
        "agents/echo_words.yaml": _CARD,
        "agents/echo_words.py": _CODE,
        "graphs/hello.yaml": _GRAPH,
        "agents/card.schema.json": schema_of("card"),
        "graphs/graph.schema.json": schema_of("graph"),
    }
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise UsageError(f"{folder / there[0]} exists", hint="choose another folder")
    try:
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as e:
        raise UsageError(f"{e.filename or folder}: {e.strerror}", hint="check the path") from None
    for name in files:
        typer.echo(folder / name)
    typer.echo(f"next: cd {folder} && agentroute run hello")


@config_app.command("show")
def config_show(config: ConfigFile = None, as_json: Json = False) -> None:
    """Every setting, its value and where it comes from."""
    from agentroute.config.settings import load_settings

    settings, origins = load_settings(config)
    if as_json:
        emit({"settings": settings, "origins": origins})
        return
    table("", ["key", "value", "origin"], [(o.key, o.value, o.origin) for o in origins])


@config_app.command("check")
def config_check(config: ConfigFile = None, as_json: Json = False) -> None:
    """Read settings, every card and every graph; exit 3 naming what is wrong."""
    from agentroute.cli.parts.checks import check_everything

    report = check_everything(config)
    if as_json:
        emit(report)
    else:
        for name, n in report["counts"].items():
            typer.echo(f"{name}: {n} ok")
        for line in report["problems"]:
            typer.echo(line, err=True)
    if report["problems"]:
        raise typer.Exit(3)


def schema(
    kind: Annotated[Literal["card", "graph", "config"], typer.Argument(help="Which file.")],
) -> None:
    """The JSON schema of a file, for editors."""
    from agentroute.cli.parts.schemas import schema_of

    typer.echo(schema_of(kind))


def doctor(config: ConfigFile = None, as_json: Json = False) -> None:
    """Versions, extras, threads, catalogue and ledger: what works here and what does not."""
    from agentroute.cli.parts.checks import diagnose

    rows = diagnose(config)
    if as_json:
        emit(rows)
    else:
        table("", ["what", "state", "detail"], [(r["what"], r["state"], r["detail"]) for r in rows])
    if any(r["state"] == "bad" for r in rows):
        raise typer.Exit(1)
