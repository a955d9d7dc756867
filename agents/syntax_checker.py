"""Says which files this Python does not compile, and where each stops."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with


def agent(call: AgentCall) -> AgentReply:
    """``data.findings``: one for each file that does not compile, with its line."""
    listed = data_with(call, "root", "files")
    checked = [problem(Path(listed["root"], n), n) for n in listed["files"]]
    findings = [f for f in checked if f]
    return AgentReply(
        text=f"{len(findings)} files do not compile.", data={"findings": findings, "left_out": 0}
    )


def problem(path: Path, name: str) -> dict[str, Any] | None:
    """The first reason why a file does not compile."""
    line, why = 1, ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(path.read_bytes(), name, "exec", dont_inherit=True)
    except SyntaxError as e:
        line, why = e.lineno or 1, e.msg
    except (ValueError, RecursionError, OSError) as e:
        why = str(e) or type(e).__name__
    if not why:
        return None
    found = {"file": name, "line": line, "rule": "syntax-error", "severity": "high"}
    return {**found, "text": f"does not compile: {why}"}
