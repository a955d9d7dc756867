"""The command line: one file a command group, no logic."""

from __future__ import annotations


def main() -> None:
    """Entry point of ``agentroute``: runs a command, turns typed errors into one line."""
    from agentroute.cli.app import run

    raise SystemExit(run())
