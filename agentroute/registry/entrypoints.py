"""Whether the code that a card names is there: read as text, and run only where it is Python's."""

from __future__ import annotations

import ast
import importlib
import sys
from importlib.machinery import BuiltinImporter, ModuleSpec, PathFinder
from pathlib import Path

from agentroute.adapters.loading import entry_of
from agentroute.errors import CardError, did_you_mean
from agentroute.model.cards import CapabilityCard


def check_entrypoint(card: CapabilityCard, file: Path) -> None:
    """See that the file or module of the card in ``file`` exists and has the function.

    What a package without source has, or gets by ``import *``, is taken on trust.

    Raises:
        CardError: it does not; says what the file has.
    """
    entry = card.entrypoint or ""
    if not entry or entry in ("chat", "inline") or entry.startswith("card:"):
        return
    try:
        target = entry_of(entry, file.parent)
        names = _names(_source(target), target.get("module", ""))
    except (CardError, SyntaxError, ValueError, OSError, RecursionError) as e:
        words = str(e).removeprefix("entrypoint: ")
        raise CardError(words, path=str(file), field="entrypoint",
                        hint=getattr(e, "hint", "") or "check the name") from None  # fmt: skip
    fn = target["fn"]
    if names is not None and fn not in names:
        raise CardError(
            f"{entry.rpartition(':')[0]} has no function '{fn}'",
            path=str(file), field="entrypoint", hint=did_you_mean(fn, names),
        )  # fmt: skip


def _source(target: dict[str, str]) -> Path | None:
    """The file of an entry point; None for a module that has no source."""
    if "file" in target:
        path = Path(target["file"])
        if not path.is_file():
            raise CardError(f"{path.name} does not exist", hint="put it beside the card")
        return path
    spec = _found(target["module"])
    if spec is None:
        raise CardError(f"no module is called '{target['module']}'", hint="install it, or check it")
    origin = Path(spec.origin) if spec.origin and spec.has_location else None
    return origin if origin is not None and origin.suffix == ".py" else None


def _found(name: str) -> ModuleSpec | None:
    """The module, found as an import would, without running its packages."""
    spec: ModuleSpec | None = None
    where: list[str] | None = None
    parts = name.split(".")
    for i in range(len(parts)):
        full = ".".join(parts[: i + 1])
        spec = PathFinder.find_spec(full, where) or BuiltinImporter.find_spec(full)
        if spec is None:
            return None
        where = list(spec.submodule_search_locations or ())
    return spec


def _names(source: Path | None, module: str = "") -> set[str] | None:
    """What a module defines at its top level; None where that cannot be told from its text."""
    if module.partition(".")[0] in sys.stdlib_module_names:
        return set(dir(importlib.import_module(module)))
    if source is None:
        return None
    found: set[str] = set()
    todo: list[ast.AST] = list(ast.parse(source.read_bytes()).body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            if any(a.name == "*" for a in node.names):
                return None
            found |= {(a.asname or a.name).partition(".")[0] for a in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        else:
            todo += list(ast.iter_child_nodes(node))
    return found
