"""Counts the records that the steps before handed over, by one of their fields."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from agentroute.errors import AgentFailedError
from agentroute.model.calls import AgentCall, AgentReply

Records = list[dict[str, Any]]
FEW = 0.5  # a field with more distinct values than this share of the records is a name, not a kind
SHOWN, ROWS = 40, 200


def agent(call: AgentCall) -> AgentReply:
    """``data.counts``: [[value, number], ...], most first; ``data.by``, ``of``, ``records``.

    The field is the one that the prompt names; else of those with few values the one with the
    fewest, more than one. The records are the longest list of mappings of the nearest input.
    """
    of, records = records_of(call)
    if not records:
        notes = notes_of(call)
        why = "; ".join(str(item) for b in notes for item in b["items"])
        text = f"No {of} to count: {why or 'the step before found none'}."
        data = {"title": of.capitalize(), "counts": [], "by": "", "of": of, "records": []}
        return AgentReply(text=text, data=data | {"blocks": notes})
    by, named = field_for(call.task.prompt, records)
    count = Counter(shown(r.get(by)) for r in records).most_common()
    items = [[value, n] for value, n in count[:SHOWN]]
    why = "" if named else f" The words name no field of {of}; '{by}' has the fewest values."
    more = f" and {len(count) - 6} more" if len(count) > 6 else ""
    said = ", ".join(f"{n} {value}" for value, n in count[:6])
    chart = {"kind": "bars", "title": f"{of} by {by}".capitalize(), "items": items}
    return AgentReply(
        text=f"{len(records)} {of} by {by}: {said}{more}.{why}",
        data={
            "title": chart["title"],
            "counts": [[v, n] for v, n in count], "by": by, "of": of, "records": records,
            "blocks": [{"kind": "chart", "chart": chart}, listed(of, records), *notes_of(call)],
        },
    )  # fmt: skip


def listed(of: str, records: Records) -> dict[str, Any]:
    """The records as a table, as many as a page bears."""
    columns = list(dict.fromkeys(k for r in records for k in r))
    rows = [[r.get(c) for c in columns] for r in records[:ROWS]]
    more = f"{len(records) - ROWS} more are in report.json" if len(records) > ROWS else ""
    title = f"All {of}" if not more else f"The first {ROWS} {of}"
    return {"kind": "table", "title": title, "columns": columns, "rows": rows, "note": more}


def records_of(call: AgentCall) -> tuple[str, Records]:
    """The name and the records of the longest list of mappings of the nearest input that has one.

    An empty list is one: a step before looked and found nothing.
    """
    for reply in reversed(list(call.inputs.values())):
        data = reply.data if isinstance(reply.data, dict) else {}
        lists = {k: v for k, v in data.items() if k != "blocks" and _are_records(v)}
        if lists:
            name = max(lists, key=lambda k: len(lists[k]))
            return name, lists[name]
    raise AgentFailedError(
        f"no input of '{call.task.id}' holds a list of records",
        hint="count after a step that lists something",
        retryable=False,
    )


def notes_of(call: AgentCall) -> list[dict[str, Any]]:
    """What the steps before noted: whose the records are, or why there are none."""
    blocks = [
        b
        for r in call.inputs.values()
        if isinstance(r.data, dict) and isinstance(r.data.get("blocks"), list)
        for b in r.data["blocks"]
    ]
    notes = [b for b in blocks if isinstance(b, dict) and b.get("kind") == "notes"]
    return [b for b in notes if isinstance(b.get("items"), list)]


def _are_records(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(r, dict) for r in value)


def field_for(prompt: str, records: Records) -> tuple[str, bool]:
    """The field to count by, and whether the prompt names it."""
    fields = list(dict.fromkeys(k for r in records for k in r))
    words = set(re.findall(r"[a-z]+", prompt.lower()))
    for f in fields:
        if {f.lower(), f.lower().rstrip("s"), f"{f.lower()}s"} & words:
            return f, True
    values = {f: len({shown(r.get(f)) for r in records}) for f in fields}
    kinds = [f for f in fields if 1 < values[f] <= max(2, FEW * len(records))]
    return min(kinds or fields, key=lambda f: values[f]), False


def shown(value: Any) -> str:
    """A value as a word to count; what is missing or empty is 'not stated'."""
    return "not stated" if value in (None, "", [], {}) else str(value)[:120]
