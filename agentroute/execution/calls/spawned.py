"""What a process that an agent spawns runs as its main module, so that it finds the agent's file.

``multiprocessing`` passes functions by the name of their module. An agent's file has a name of its
own, which a new process learns here. It is run by its path, before our package can be imported.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType


class _AgentsFile:
    """Finds the one module that is the agent's file."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        from agentroute.adapters.loading import AGENTS_FILE, module_name

        file = Path(os.environ.get(AGENTS_FILE, ""))
        if fullname != module_name(file):
            return None
        return importlib.util.spec_from_file_location(fullname, file)


def _start() -> None:
    """Our own package by its folder and not by a search, as in the worker itself."""
    home = str(Path(__file__).parents[2])
    spec = importlib.util.spec_from_file_location(
        "agentroute", os.path.join(home, "__init__.py"), submodule_search_locations=[home]
    )
    if spec is None or spec.loader is None:
        raise ImportError(home)
    sys.modules["agentroute"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["agentroute"])
    from agentroute.adapters.loading import search

    search(())
    sys.meta_path.append(_AgentsFile)


if __name__ == "__mp_main__":
    _start()
