"""From an entry point to a function: ``NAME.py:fn`` beside a card, or ``module:fn``.

Imported in the worker process, and in this one only for cards that say ``isolation: inline``.
A worker imports this first, so it must need nothing but the standard library.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from agentroute.errors import CardError

Target = dict[str, str]
AGENTS_FILE = "_AGENTROUTE_FILE"
_SPAWNED = Path(__file__).parents[1] / "execution" / "calls" / "spawned.py"
# Our own package by its folder and not by a search, so that nothing else can be taken for it.
_BOOT = """
import importlib.util, json, os, sys
home, more = json.loads(sys.argv.pop())
spec = importlib.util.spec_from_file_location(
    "agentroute", os.path.join(home, "__init__.py"), submodule_search_locations=[home])
sys.modules["agentroute"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["agentroute"])
from agentroute.adapters.loading import search
search(more)
from agentroute.adapters.child import main
main()
"""


def entry_of(entrypoint: str, folder: Path | None) -> Target:
    """An entry point as data that can cross to a worker.

    ``NAME.py:fn`` gives ``{"file", "fn"}`` with an absolute path, ``module:fn`` gives
    ``{"module", "fn", "folder"}``: the folder is where this process would find the module.

    Raises:
        CardError: not one of these two, no folder, or a file outside the card's folder.
    """
    where, _, fn = entrypoint.rpartition(":")
    if not where or not fn.isidentifier():
        raise CardError(
            f"the entrypoint '{entrypoint}' is not NAME.py:fn or module:fn",
            field="entrypoint",
            hint="for example scanner.py:scan",
        )
    if not where.endswith(".py"):
        return {"module": where, "fn": fn, "folder": _home(where)}
    if folder is None or Path(where).name != where:
        raise CardError(
            f"'{where}' must be a file beside the card", field="entrypoint", hint="no folders in it"
        )
    return {"file": str((folder / where).resolve()), "fn": fn}


def load(entry: Mapping[str, str]) -> Callable[..., Any]:
    """The function of an entry; its file is executed once a process.

    Raises:
        CardError: no such file, module or function, or importing it failed.
    """
    try:
        if "file" in entry:
            module = _file(Path(entry["file"]))
        else:
            module = _module(entry["module"], entry.get("folder", ""))
        fn = getattr(module, entry["fn"])
    except CardError:
        raise
    except BaseException as e:
        where = entry.get("file") or entry["module"]
        raise CardError(f"{where}:{entry['fn']} cannot be loaded: {type(e).__name__}: {e}") from e
    if not callable(fn):
        raise CardError(f"'{entry['fn']}' is not a function", field="entrypoint")
    return fn  # type: ignore[no-any-return]


def _home(name: str) -> str:
    """The folder of a module's outermost package, found without running anything; '' if none."""
    try:
        spec = importlib.util.find_spec(name.partition(".")[0])
    except (ImportError, ValueError):
        return ""
    if spec is None:
        return ""
    inside = list(spec.submodule_search_locations or ())
    place = inside[0] if inside else spec.origin if spec.has_location else None
    return str(Path(place).resolve().parent) if place else ""


def _module(name: str, folder: str) -> Any:
    # Only a card that names a module of this folder brings the folder in, and then last.
    if folder and importlib.util.find_spec(name.partition(".")[0]) is None:
        sys.path.append(folder)
    return importlib.import_module(name)


def module_name(path: Path) -> str:
    """The name of the module that an agent's file is: two folders may have a file of one name."""
    return f"agentroute_agent_{path.stem}_{zlib.crc32(os.fsencode(path)):08x}"


def announce(entry: Mapping[str, str]) -> None:
    """In a worker, before it loads an agent: the processes that it spawns are to find its file."""
    os.environ[AGENTS_FILE] = entry.get("file", "")
    sys.modules["__main__"].__file__ = str(_SPAWNED)


def _file(path: Path) -> Any:
    name = module_name(path)
    found = sys.modules.get(name)
    if found is not None:
        return found
    if not path.is_file():
        raise CardError(f"{path} does not exist", field="entrypoint", hint="put it beside the card")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CardError(f"{path} is not Python", field="entrypoint")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class _StandardFirst(PathFinder):
    """Finds modules on the path, those with a standard name in the standard library only."""

    standard: list[str] = []

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None and fullname in sys.stdlib_module_names:
            path = cls.standard
        return PathFinder.find_spec(fullname, path, target)


def search(more: Iterable[str]) -> None:
    """Search ``more`` folders after everything else; no folder can stand for a standard module.

    Being last is not enough: a standard module tries names that only other systems have.
    """
    library = os.path.dirname(os.__file__)
    compiled = [p for p in sys.path if os.path.basename(p) in ("lib-dynload", "DLLs")]
    _StandardFirst.standard = [library, *compiled]
    at = sys.meta_path.index(PathFinder)
    sys.meta_path[at] = _StandardFirst
    sys.path.extend(p for p in more if p not in sys.path)


def search_path() -> list[str]:
    """This process's search path without the current folder, whose files nobody asked to run."""
    try:
        here = os.path.realpath(os.getcwd())
    except OSError:  # it was deleted
        here = ""
    paths = (os.path.realpath(p) for p in sys.path if p and (here or os.path.isabs(p)))
    return [p for p in dict.fromkeys(paths) if p != here]


def command() -> list[str]:
    """Starts a child without the current folder and the user's site, but with our search path."""
    start = json.dumps([str(Path(__file__).parents[1].absolute()), search_path()])
    return [sys.executable, "-P", "-s", "-c", _BOOT, start]
