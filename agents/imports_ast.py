"""Finds imports with the syntax tree: exact, and nothing at all where a file does not parse."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with


def agent(call: AgentCall) -> AgentReply:
    """``data.imports``: file -> [[line, top-level module], ...]; ``unreadable``: files skipped."""
    listed = data_with(call, "root", "files")
    imports: dict[str, list[list[int | str]]] = {}
    unreadable = []
    for name in listed["files"]:
        try:
            tree = parse(Path(listed["root"], name))
        except (SyntaxError, ValueError, RecursionError, OSError):
            unreadable.append(name)
        else:
            imports[name] = found(tree)
    modules = {str(m) for rows in imports.values() for _, m in rows}
    tail = f"; {len(unreadable)} files do not parse" if unreadable else ""
    return AgentReply(
        text=f"{len(modules)} modules are imported in {len(imports)} files{tail}.",
        data={"imports": imports, "unreadable": unreadable, "by": "syntax tree"},
        confidence=len(imports) / max(len(listed["files"]), 1),
    )


def parse(path: Path) -> ast.Module:
    """The tree of a file; its own warnings are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(path.read_bytes())


def found(tree: ast.Module) -> list[list[int | str]]:
    """Absolute imports, in file order."""
    out: set[tuple[int, str]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            out |= {(node.lineno, a.name.partition(".")[0]) for a in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            out.add((node.lineno, node.module.partition(".")[0]))
    return [list(x) for x in sorted(out)]
