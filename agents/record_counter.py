"""Counts the records that the steps before handed over, by one of their fields."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from agentroute.errors import AgentFailedError
from agentroute.model.calls import AgentCall, AgentReply

Records = list[dict[str, Any]]
FEW = 0.5  # a field with more distinct values than this share of the records is a name, not a kind
SHOWN = 40


def agent(call: AgentCall) -> AgentReply:
    """``data.counts``: [[value, number], ...], most first; ``data.by``, ``data.of``, ``data.records``.

    The field is the one that the prompt names; else of those with few values the one with the
    fewest, more than one. The records are the longest list of mappings of the nearest input.
    """
    of, records = records_of(call)
    by, named = field_for(call.task.prompt, records)
    count = Counter(shown(r.get(by)) for r in records).most_common()
    items = [[value, n] for value, n in count[:SHOWN]]
    why = "" if named else f" The words name no field of {of}; '{by}' has the fewest values."
    more = f" and {len(count) - 6} more" if len(count) > 6 else ""
    said = ", ".join(f"{n} {value}" for value, n in count[:6])
    chart = {"kind": "bars", "title": f"{of} by {by}", "items": items}
    return AgentReply(
        text=f"{len(records)} {of} by {by}: {said}{more}.{why}",
        data={
            "counts": [[v, n] for v, n in count], "by": by, "of": of, "records": records,
            "blocks": [{"kind": "chart", "chart": chart}],
        },
    )  # fmt: skip


def records_of(call: AgentCall) -> tuple[str, Records]:
    """The name and the records of the longest list of mappings of the nearest input that has one."""
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


def _are_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(r, dict) for r in value)


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
