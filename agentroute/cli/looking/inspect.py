"""``inspect``: the ledger as pages in a browser of this machine."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from agentroute.cli.parts.common import ConfigFile, Db, open_ledger, settings_of

PLACE = 65  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(inspect)


def inspect(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is one that is free.")] = 0,
    browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Whether to open a browser.")
    ] = True,
    config: ConfigFile = None,
    db: Db = None,
) -> None:
    """Look at runs, choices, learning, agents and the ledger in a browser, until Ctrl-C.

    Served to this machine alone, under a link with a token; it only reads. Needs the extra web.
    """
    from agentroute.inspector.web.serving import serve

    def ready(link: str) -> None:
        typer.echo(f"{link}\nCtrl-C stops it")
        if browser and _has_windows():
            import webbrowser

            webbrowser.open(link)

    with open_ledger(config, db) as ledger:
        serve(ledger, settings_of(config, db), port=port, ready=ready)


def _has_windows() -> bool:
    """Whether a browser would open beside the terminal, and not in it."""
    if not sys.stdout.isatty():
        return False
    shown = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(shown) or sys.platform in ("darwin", "win32")
