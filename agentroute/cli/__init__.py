"""The command line: one file a command group, no logic."""

from __future__ import annotations

import gc

# Imports leave a hundred thousand objects that all stay: looking for cycles among them was a
# tenth of a command's time.
CYCLES_EVERY = (50_000, 20, 50)


def main() -> None:
    """Entry point of ``agentroute``: runs a command, turns typed errors into one line."""
    gc.set_threshold(*CYCLES_EVERY)
    from agentroute.cli.app import run

    raise SystemExit(run())
