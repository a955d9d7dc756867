"""Counts how often each file changed, from the version control's log, where there is one."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with

LOG = (
    "-c", "core.fsmonitor=false", "--no-pager", "log", "--no-merges", "--no-ext-diff",
    "--no-textconv", "--no-renames", "--numstat", "--relative", "--format=",
)  # fmt: skip


def agent(call: AgentCall) -> AgentReply:
    """``data.churn``: file -> [commits, lines changed]; empty without a repository."""
    root = Path(data_with(call, "root", "files")["root"])
    commits = int(call.params.get("commits", 500))
    log, why = history(root, commits)
    count, lines = Counter[str](), Counter[str]()
    for row in log.splitlines():
        added, removed, name = (*row.split("\t"), "", "")[:3]
        if name:
            count[name] += 1
            lines[name] += sum(int(x) for x in (added, removed) if x.isdigit())
    churn = {f: [n, lines[f]] for f, n in count.most_common(2_000)}
    text = why or f"{len(churn)} files changed in the last {commits} commits at most."
    items = [[f, n] for f, n in count.most_common(10)]
    chart = {"kind": "bars", "title": "Most often changed (commits)", "items": items}
    blocks = [{"kind": "chart", "chart": chart}] if items else []
    return AgentReply(text=text, data={"churn": churn, "repository": not why, "blocks": blocks})


def history(root: Path, commits: int) -> tuple[str, str]:
    """The log and '', or '' and the reason why there is none."""
    git = shutil.which("git")
    if git is None:
        return "", "git is not installed, so churn is unknown."
    command = [git, "-C", str(root), *LOG, f"--max-count={commits}", "--", "."]
    try:
        done = subprocess.run(command, capture_output=True, timeout=5, check=False)
    except subprocess.TimeoutExpired:
        return "", "the history took longer than 5 s to read, so churn is unknown."
    if done.returncode:
        return "", "there is no version control here, so churn is unknown."
    log = done.stdout.decode("utf-8", errors="replace")
    return (
        log,
        "" if log.strip() else "version control knows none of these files; churn is unknown.",
    )
