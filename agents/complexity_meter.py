"""Measures cyclomatic complexity and length of functions (radon), and reports the large ones."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with


def agent(call: AgentCall) -> AgentReply:
    """``data.findings``: functions above ``params.complexity`` or ``params.lines``."""
    listed, p = data_with(call, "root", "files"), call.params
    most, long = int(p.get("complexity", 15)), int(p.get("lines", 80))
    until, findings, left = time.monotonic() + float(p.get("max_s", 2)), [], 0
    for i, name in enumerate(listed["files"]):
        if time.monotonic() > until:
            left = len(listed["files"]) - i
            break
        findings += list(large(Path(listed["root"], name), name, most, long))
    tail = f" {left} files were left out (time cap)." if left else ""
    return AgentReply(
        text=f"{len(findings)} functions are complex or long.{tail}",
        data={"findings": findings, "left_out": left},
    )


def large(path: Path, name: str, most: int, long: int) -> Iterator[dict[str, Any]]:
    """One finding a function that is too complex (above twice: high) or too long."""
    from radon.complexity import cc_visit

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            blocks = cc_visit(path.read_text(encoding="utf-8", errors="replace"))
    except (SyntaxError, ValueError, RecursionError, OSError):
        return
    for b in (b for b in blocks if not hasattr(b, "methods")):
        lines = b.endline - b.lineno + 1
        at = {"file": name, "line": b.lineno}
        if b.complexity > most:
            severity = "high" if b.complexity > 2 * most else "medium"
            text = f"{b.name} has {b.complexity} independent paths"
            yield {**at, "rule": "complex-function", "severity": severity, "text": text}
        elif lines > long:
            text = f"{b.name} is {lines} lines long"
            yield {**at, "rule": "long-function", "severity": "low", "text": text}
