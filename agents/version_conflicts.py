"""Checks each installed package's needs against the installed versions."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with


def agent(call: AgentCall) -> AgentReply:
    """``data.conflicts``: [{package, needs, found}]; ``found`` is None for what is missing."""
    from packaging.utils import canonicalize_name

    known = data_with(call, "packages")
    packages, whose = known["packages"], known.get("source", "")
    conflicts, checked, odd = [], 0, 0
    for name, package in sorted(packages.items()):
        for text in package["requires"]:
            need = requirement(text)
            if need is None:
                odd += 1
            elif applies(text):
                checked += 1
                found = packages.get(canonicalize_name(need.name), {}).get("version")
                if found is None or not need.specifier.contains(found, prereleases=True):
                    conflicts.append({"package": name, "needs": str(need), "found": found})
    figures = [["requirements checked", checked], ["conflicts", len(conflicts)]]
    blocks: list[dict[str, Any]] = [{"kind": "figures", "items": figures}]
    if conflicts:
        body = [[c["package"], c["needs"], c["found"] or "not installed"] for c in conflicts[:100]]
        columns = ["package", "needs", "installed"]
        blocks.append({"kind": "table", "columns": columns, "rows": body})
    text = f"{checked:,} requirements checked, {len(conflicts)} conflicts."
    if not packages:
        text = "not checked: the project's installed versions are not known"
        blocks = [{"kind": "notes", "items": [text]}]
    elif whose:
        blocks.append({"kind": "notes", "items": [f"versions as in {whose}"]})
    return AgentReply(text=text, data={"conflicts": conflicts, "unreadable": odd, "blocks": blocks})


@lru_cache(maxsize=20_000)
def requirement(text: str) -> Any:
    """A parsed requirement, or None for one that the standard does not allow."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


@lru_cache(maxsize=20_000)
def applies(text: str) -> bool:
    """Whether a requirement holds here without extras."""
    need = requirement(text)
    return bool(need.marker is None or need.marker.evaluate({"extra": ""}))
