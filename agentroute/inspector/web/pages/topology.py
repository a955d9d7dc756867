"""In what shape runs were done: which was taken, why, and what the others were expected to be."""

from __future__ import annotations

from typing import Any

from agentroute.inspector.charts import bars
from agentroute.inspector.links import address
from agentroute.inspector.page import Cell, Section
from agentroute.inspector.web.desk import LINKS, Desk, Page, Query
from agentroute.model.decisions import DecisionRecord

SHOWN, BACK = 50, 20_000
_LATEST = (
    "SELECT id FROM decisions WHERE kind = 'topology' AND seq > ?1 - ?2 ORDER BY seq DESC LIMIT ?3"
)


def page(desk: Desk, query: Query) -> Page:
    """The latest runs' shapes; with ``id`` (of a decision of that kind) one of them in full."""
    ledger = desk.ledger
    if wanted := query.get("id", ""):
        record = ledger.record(wanted)
        return Page(
            record.decision.chosen[0], [_why(record), _others(record)],
            lead=f"the shape of run {record.decision.run_id}", ident=record.decision.id,
        )  # fmt: skip
    ids = ledger.query(_LATEST, (ledger.head()[0], BACK, SHOWN))
    records = [ledger.record(i) for (i,) in ids]
    notes: list[str | Cell] = [
        Cell("how often each shape won, and how good its runs were",
             address("/agents", by="topology"))
    ]  # fmt: skip
    rows: list[tuple[Any, ...]] = [
        (
            Cell(r.decision.run_id[:13], LINKS.run(r.decision.run_id), mono=True),
            Cell(r.decision.chosen[0], address("/topology", id=r.decision.id)),
            r.decision.policy,
            f"{r.decision.propensity:.3f}",
            r.decision.reason,
        )
        for r in records
    ]
    words = f"The latest {SHOWN} at most, of the last {BACK:,} rows."
    shown = Section(
        "Shapes", words if rows else "No shape was chosen in the latest rows.",
        columns=("run", "shape", "by", ">chance", "=why"), rows=rows, notes=notes,
    )  # fmt: skip
    return Page("Topology", [shown])


def _why(record: DecisionRecord) -> Section:
    d, stats = record.decision, record.context.get("stats", {})
    rows = [(k, f"{v:.4g}" if isinstance(v, float) else v) for k, v in stats.items()]
    return Section(
        "Why", d.reason, columns=("the graph's", ">number"), rows=rows,
        notes=[
            Cell("the run", LINKS.run(d.run_id)), Cell("the decision's row", LINKS.decision(d.id)),
        ],
    )  # fmt: skip


def _others(record: DecisionRecord) -> Section:
    """What each shape was expected to be worth, where it was learned."""
    c, d = record.context, record.decision
    if "mean" not in c:
        words = "Algorithm 1 of AdaptOrch names one shape and gives the others no number."
        return Section("The others", words)
    marked = [s for s in c["shapes"] if s in d.chosen]
    chart = bars(
        [(s, m, None) for s, m in zip(c["shapes"], c["mean"], strict=True)],
        title="Expected worth by shape; the chosen one is coloured", marked=marked,
    )  # fmt: skip
    p = c.get("propensities", [float("nan")] * len(c["shapes"]))
    rows = [
        (s, f"{m:.3f}", f"{b:.3f}", "" if x != x else f"{x:.3f}")
        for s, m, b, x in zip(c["shapes"], c["mean"], c["bonus"], p, strict=True)
    ]
    hot = frozenset(i for i, s in enumerate(c["shapes"]) if s in d.chosen)
    columns = ("shape", ">expected", ">unknown", ">chance")
    return Section("All shapes", "", chart, columns=columns, rows=rows, marked=hot)
