"""``demo``: a pipeline on real input, one contested choice, learning, and a recorded table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PLACE = 10  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(demo)


def demo(
    out: Annotated[
        Path, typer.Option("--out", help="Where the report and the ledger go.", metavar="DIR")
    ] = Path("agentroute-out/demo"),
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
) -> None:
    """Offline, in seconds: audit this environment, explain a choice, watch it learn."""
    import asyncio

    from agentroute.cli.parts.common import command_line
    from agentroute.cli.parts.demoview import Teller
    from agentroute.demo.story import run_demo
    from agentroute.inspector.demopage import demo_page
    from agentroute.inspector.page import write

    story = asyncio.run(run_demo(out, seed=seed, tell=Teller()))
    typer.echo(str(write(out / "demo.html", demo_page(story, made_by=command_line()))))
