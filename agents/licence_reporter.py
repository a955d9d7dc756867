"""Groups the installed packages by licence and marks those that ask for a second look."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with

FAMILIES = (
    ("copyleft", re.compile(r"(?<!L)(?<!Lesser )\bA?GPL|GNU (Affero )?General|Affero", re.I)),
    ("weak copyleft", re.compile(r"LGPL|Lesser|MPL|Mozilla|EPL|CDDL|Eclipse", re.I)),
    ("permissive", re.compile(
        r"MIT|BSD|Apache|ISC|PSF|Python Software|Unlicense|Zlib|0BSD|HPND|CC0|Public Domain|WTFPL"
        r"|CNRI|Expat", re.I)),
)  # fmt: skip


def agent(call: AgentCall) -> AgentReply:
    """``data.licences``: [{package, version, licence, family}], the ones to look at first."""
    known = data_with(call, "packages")
    packages = known["packages"]
    if not packages or not known.get("installed", True):
        text = "not checked: the project's licences are not known without its environment"
        data = {"licences": [], "blocks": [{"kind": "notes", "items": [text]}]}
        return AgentReply(text=text, data=data)
    rows = [
        {
            "package": n,
            "version": p["version"],
            "licence": p["licence"],
            "family": family(p["licence"]),
        }
        for n, p in packages.items()
    ]
    order = ["copyleft", "unknown", "weak copyleft", "permissive"]
    rows.sort(key=lambda r: (order.index(r["family"]), r["package"]))
    count = Counter(r["family"] for r in rows)
    look = [r for r in rows if r["family"] != "permissive"]
    text = ", ".join(f"{count[f]} {f}" for f in order if count[f]) + " licences."
    shown = blocks(count, look)
    if whose := known.get("source"):
        shown.append({"kind": "notes", "items": [f"licences of the packages in {whose}"]})
    return AgentReply(text=text, data={"licences": rows, "blocks": shown})


def family(licence: str) -> str:
    """The family of a licence; an 'OR' with a permissive part is permissive."""
    parts = re.split(r"\bOR\b", licence)
    found = [next((name for name, rule in FAMILIES if rule.search(p)), "unknown") for p in parts]
    return "permissive" if "permissive" in found and len(parts) > 1 else found[0]


def blocks(count: Counter[str], look: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Bars of the families, and the packages to look at."""
    items = [[k, n] for k, n in count.most_common()]
    out: list[dict[str, Any]] = [
        {"kind": "chart", "chart": {"kind": "bars", "title": "Licence families", "items": items}}
    ]
    if look:
        body = [
            [r["package"], r["version"], r["licence"] or "not stated", r["family"]] for r in look
        ]
        columns = ["package", "version", "licence", "family"]
        out.append(
            {"kind": "table", "title": "Look at these", "columns": columns, "rows": body[:80]}
        )
    return out
