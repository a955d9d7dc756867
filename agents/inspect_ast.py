"""Finds likely defects with the syntax tree: exact where a file parses, else silent."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from pathlib import Path

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with

Finding = tuple[int, str]
SAYS = {
    "eval-call": "eval or exec runs text as code",
    "bare-except": "a bare except also catches SystemExit and KeyboardInterrupt",
    "mutable-default": "a mutable default argument is shared between calls",
    "none-equality": "compare with None by 'is', not by '=='",
    "star-import": "a star import hides where names come from",
    "shell-true": "shell=True lets text reach a shell",
    "assert-tuple": "an assert on a tuple is always true",
}
SEVERITY = {"eval-call": "high", "shell-true": "high", "assert-tuple": "high"}
SEVERITY |= {"bare-except": "medium", "mutable-default": "medium"}


def agent(call: AgentCall) -> AgentReply:
    """``data.findings``: [{file, line, rule, severity, text}, ...]."""
    listed = data_with(call, "root", "files")
    findings, unreadable = [], []
    for name in listed["files"]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(Path(listed["root"], name).read_bytes())
        except (SyntaxError, ValueError, RecursionError, OSError):
            unreadable.append(name)
            continue
        for line, rule in sorted(set(found(tree))):
            findings.append(finding(name, line, rule))
    tail = f"; {len(unreadable)} files do not parse" if unreadable else ""
    return AgentReply(
        text=f"{len(findings)} likely defects{tail}.",
        data={"findings": findings, "unreadable": unreadable, "by": "syntax tree"},
    )


def finding(name: str, line: int, rule: str) -> dict[str, str | int]:
    """One finding as data."""
    severity = SEVERITY.get(rule, "low")
    return {"file": name, "line": line, "rule": rule, "severity": severity, "text": SAYS[rule]}


def found(tree: ast.Module) -> Iterator[Finding]:
    """Every rule at every node."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from in_call(node)
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            yield node.lineno, "bare-except"
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for d in [*node.args.defaults, *node.args.kw_defaults]:
                if isinstance(d, (ast.List, ast.Dict, ast.Set)):
                    yield d.lineno, "mutable-default"
        elif isinstance(node, ast.Compare):
            yield from in_compare(node)
        elif isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            yield node.lineno, "star-import"
        elif isinstance(node, ast.Assert) and isinstance(node.test, ast.Tuple) and node.test.elts:
            yield node.lineno, "assert-tuple"


def in_call(node: ast.Call) -> Iterator[Finding]:
    """Calls of eval and exec, and shell=True."""
    if isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
        yield node.lineno, "eval-call"
    for k in node.keywords:
        if k.arg == "shell" and isinstance(k.value, ast.Constant) and k.value.value is True:
            yield k.value.lineno, "shell-true"


def in_compare(node: ast.Compare) -> Iterator[Finding]:
    """``x == None`` and ``None != x``."""
    sides = [node.left, *node.comparators]
    for op, a, b in zip(node.ops, sides, sides[1:], strict=False):
        for side in (a, b):
            none = isinstance(side, ast.Constant) and side.value is None
            if none and isinstance(op, (ast.Eq, ast.NotEq)):
                yield side.lineno, "none-equality"
