"""A run as a tree: its tasks, the choices of each, and what came of each choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agentroute.inspector.links import Links
from agentroute.inspector.money import usd
from agentroute.inspector.page import Cell, Section
from agentroute.ledger.rows.decode import Row
from agentroute.model.decisions import Decision
from agentroute.model.outcomes import Feedback, Outcome

COLUMNS = ("what", "who", ">chance", ">score", ">s", ">USD", "=why, or what was said")
MOST = 400


def tree(rows: Sequence[Row], links: Links, *, selected: str = "") -> Section:
    """Everything that was chosen, called and said in a run, under the task that it belongs to.

    More than 400 choices are cut, which is said; ``selected`` is the task that is marked.
    """
    decisions = [r.value for r in rows if isinstance(r.value, Decision)]
    come = _come(rows)
    shown = sorted(decisions[:MOST], key=_order(decisions))
    table: list[tuple[Any, ...]] = []
    marked: set[int] = set()
    task = None
    for d in shown:
        if d.task_id != task:
            task = d.task_id
            name = task or "the run"
            href = links.run(d.run_id, task) if task else ""
            table.append((Cell(name, href), "", "", "", "", "", ""))
            if task and task == selected:
                marked.add(len(table) - 1)
        start = len(table)
        table += _choice(d, come.get(d.id, ()), links)
        if task and task == selected:
            marked |= set(range(start, len(table)))
    table += _on_the_run(decisions, come)
    cut = f"The first {MOST} of {len(decisions)} choices." if len(decisions) > MOST else ""
    return Section(
        "Every choice", cut, columns=COLUMNS, rows=table, marked=frozenset(marked), anchor="tree"
    )


def _on_the_run(
    decisions: Sequence[Decision], come: Mapping[str, Sequence[Outcome | Feedback]]
) -> list[tuple[Any, ...]]:
    """What was said of the run as a whole."""
    said = [_came(v, 1) for run_id in {d.run_id for d in decisions} for v in come.get(run_id, ())]
    return [("of the run", "", "", "", "", "", ""), *said] if said else []


def _order(decisions: Iterable[Decision]) -> Any:
    """Tasks in the order of their first choice, and of each the choices in order."""
    first: dict[str, int] = {}
    for d in decisions:
        first.setdefault(d.task_id, d.seq)
    return lambda d: (first[d.task_id], d.seq)


def _come(rows: Iterable[Row]) -> dict[str, list[Outcome | Feedback]]:
    """What came of each decision, in order."""
    out: dict[str, list[Outcome | Feedback]] = {}
    for row in rows:
        v = row.value
        if isinstance(v, Outcome):
            out.setdefault(v.decision_id, []).append(v)
        elif isinstance(v, Feedback):
            out.setdefault(v.target_id, []).append(v)
    return out


def _choice(d: Decision, come: Iterable[Outcome | Feedback], links: Links) -> list[tuple[Any, ...]]:
    what = d.kind if d.attempt == 1 else f"{d.kind}, attempt {d.attempt}"
    who = ", ".join(d.chosen) or "nobody"
    first = (
        Cell(what, links.decision(d.id), depth=1),
        who,
        f"{d.propensity:.3f}",
        "",
        "",
        "",
        d.reason if d.status == "selected" else f"{d.status}: {d.reason}",
    )
    return [first, *(_came(v) for v in come)]


def _came(v: Outcome | Feedback, depth: int = 2) -> tuple[Any, ...]:
    if isinstance(v, Outcome):
        what = "call beside, unused" if v.shadow else "call"
        end = Cell(f"failed: {v.error}", tone="bad") if v.error else ""
        took = (f"{v.latency_s:.3g}", usd(v.cost_usd))
        return (Cell(what, depth=depth), v.agent, "", "", *took, end)
    of = v.agent or ""
    words = v.source + (f" ({v.method})" if v.method else "")
    return (Cell("said", depth=depth), of, "", f"{v.score:.2f}", "", "", words)
