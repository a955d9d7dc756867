"""Draws which installed packages need which, from the project's own needs downwards."""

from __future__ import annotations

import re
from collections import Counter, deque
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with, leave

NEED = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
Edges = dict[str, list[str]]


def agent(call: AgentCall) -> AgentReply:
    """``data``: nodes, edges [[from, to]], depth; leaves ``dependencies.mmd`` (Mermaid)."""
    packages = data_with(call, "packages")["packages"]
    project = data_with(call, "declared")
    needs = {n: sorted(set(direct(p["requires"])) & set(packages)) for n, p in packages.items()}
    top = [canonical(d["name"]) for d in project["declared"] if not d["optional"]]
    nodes = reach([t for t in top if t in packages] or busiest(needs), needs)
    most = int(call.params.get("nodes", 40))
    shown = list(nodes)[:most]
    edges = [[a, b] for a in shown for b in needs[a] if b in nodes and b in shown]
    chart: dict[str, Any] = {
        "kind": "network",
        "title": "Who needs whom",
        "nodes": shown,
        "edges": edges,
    }
    chart["levels"] = {n: nodes[n] for n in shown}
    chart["marks"] = [t for t in top if t in nodes]
    left = len(nodes) - len(shown)
    tail = f" ({left} more are not drawn)" if left else ""
    mermaid = "graph LR\n" + "".join(f"  {a} --> {b}\n" for a, b in edges)
    data = {"nodes": list(nodes), "edges": edges, "depth": max(nodes.values(), default=0)}
    data["blocks"] = [{"kind": "chart", "chart": chart}]
    return AgentReply(
        text=f"{len(nodes)} packages, {data['depth']} levels deep{tail}.",
        data=data,
        artifacts=(leave(call, "dependencies.mmd", mermaid, "text/vnd.mermaid"),),
    )


def canonical(name: str) -> str:
    """A package's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def direct(requires: list[str]) -> list[str]:
    """Names of the needs that no extra guards."""
    return [canonical(m[1]) for r in requires if "extra ==" not in r and (m := NEED.match(r))]


def busiest(needs: Edges) -> list[str]:
    """Without a project: the packages that nobody needs and that need the most."""
    needed = Counter(b for row in needs.values() for b in row)
    return sorted((n for n in needs if not needed[n]), key=lambda n: (-len(needs[n]), n))[:8]


def reach(start: list[str], needs: Edges) -> dict[str, int]:
    """Package -> levels from the start, breadth first."""
    level = dict.fromkeys(start, 0)
    queue = deque(start)
    while queue:
        at = queue.popleft()
        for to in needs[at]:
            if to not in level:
                level[to] = level[at] + 1
                queue.append(to)
    return level
