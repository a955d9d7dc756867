"""What a process that an agent spawns runs as its main module, so that it finds the agent's file.

``multiprocessing`` passes functions by the name of their module. An agent's file has a name of its
own, which a new process learns here. Standard library only: it runs before anything else is found.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import zlib
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

FILE = "_AGENTROUTE_FILE"


def module_name(path: Path) -> str:
    """The name of the module that an agent's file is: two folders may have a file of one name."""
    return f"agentroute_agent_{path.stem}_{zlib.crc32(os.fsencode(path)):08x}"


def announce(path: str) -> None:
    """Before a worker loads an agent's file: let the processes that it spawns find it."""
    os.environ[FILE] = path
    sys.modules["__main__"].__file__ = __file__


class _AgentsFile:
    """Finds the one module that is the agent's file."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = Path(os.environ.get(FILE, ""))
        if fullname != module_name(file):
            return None
        return importlib.util.spec_from_file_location(fullname, file)


def _home() -> None:
    """Our own package by its folder and not by a search, as in the worker itself."""
    home = str(Path(__file__).parents[1])
    spec = importlib.util.spec_from_file_location(
        "agentroute", os.path.join(home, "__init__.py"), submodule_search_locations=[home]
    )
    if spec is None or spec.loader is None:
        raise ImportError(home)
    sys.modules["agentroute"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["agentroute"])
    from agentroute.adapters.loading import search

    search(())


if __name__ == "__mp_main__":
    _home()
    sys.meta_path.append(_AgentsFile)
