"""From an entry point to a function: ``NAME.py:fn`` beside a card, or ``module:fn``.

Imported in the worker process, and in this one only for cards that say ``isolation: inline``.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentroute.errors import CardError

Entry = dict[str, str]


def entry_of(entrypoint: str, folder: Path | None) -> Entry:
    """An entry point as data that can cross to a worker.

    ``NAME.py:fn`` gives ``{"file", "fn"}`` with an absolute path, ``module:fn`` gives
    ``{"module", "fn"}``.

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
        return {"module": where, "fn": fn}
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
        module = _file(Path(entry["file"])) if "file" in entry else _module(entry["module"])
        fn = getattr(module, entry["fn"])
    except CardError:
        raise
    except BaseException as e:
        where = entry.get("file") or entry["module"]
        raise CardError(f"{where}:{entry['fn']} cannot be loaded: {type(e).__name__}: {e}") from e
    if not callable(fn):
        raise CardError(f"'{entry['fn']}' is not a function", field="entrypoint")
    return fn  # type: ignore[no-any-return]


def _module(name: str) -> Any:
    return importlib.import_module(name)


def _file(path: Path) -> Any:
    name = f"agentroute_agent_{path.stem}"
    found = sys.modules.get(name)
    if found is not None and getattr(found, "__file__", None) == str(path):
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
