"""One decision: why this agent and not that one."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from agentroute.errors import UnknownDecisionError
from agentroute.inspector.charts import bars
from agentroute.inspector.links import address
from agentroute.inspector.page import Cell, Section
from agentroute.inspector.web.chained import sealed
from agentroute.inspector.web.desk import LINKS, Desk, Page, Query
from agentroute.inspector.web.forms import Field, form
from agentroute.learning.teaching import find_target
from agentroute.ledger.explaining.explanation import Explanation, Standing

SHOWN, DRAWN, BACK = 60, 16, 50_000


def page(desk: Desk, query: Query) -> Page:
    """The decision ``id`` (or the start of one); ``why_not`` asks about an agent."""
    ledger, wanted = desk.ledger, query.get("id", "")
    why_not = query.get("why_not", "").strip() or None
    try:
        e = ledger.explain(wanted, why_not=why_not, look_back=BACK)
    except UnknownDecisionError:
        target = find_target(ledger, wanted)
        e = ledger.explain(target, why_not=why_not, look_back=BACK)
    d = e.decision
    found = [
        _said(desk, e),
        _flip(e),
        _parts(e),
        _intervals(e),
        _candidates(e, every=bool(query.get("all"))),
        _left_out(e),
        Section("What came of it", notes=list(e.came) or ["nothing yet"]),
        _cases(e),
    ]
    lead = (
        f"{d.kind} of task '{d.task_id}', attempt {d.attempt}; policy {d.policy} "
        f"{d.policy_version}; {d.at[:19].replace('T', ' ')} UTC."
    )
    title = ", ".join(d.chosen) or "Nobody"
    sections = [s for s in found if s is not None]
    return Page(title, sections, lead=lead, ident=d.id, form=_form(e, why_not or ""))


def _form(e: Explanation, why_not: str) -> Markup:
    names = [s.agent for s in e.candidates if s.agent not in e.decision.chosen]
    names += [a for agents in e.excluded.values() for a in agents]
    if not names:
        return Markup()
    fields = [
        Field("id", "", e.decision.id, hidden=True),
        Field("why_not", "why was it not", why_not, hints=names[:300]),
    ]
    return form("/decision", "Ask", fields)


def _said(desk: Desk, e: Explanation) -> Section:
    d = e.decision
    check = sealed(desk.ledger, d.seq)
    badges: list[str | Cell] = [
        Cell(
            f"run {d.run_id}, task {d.task_id or '(the whole run)'}", LINKS.run(d.run_id, d.task_id)
        ),
        Cell(f"row {d.seq}: {check.words}", LINKS.row(d.seq), tone="ok" if check.ok else "bad"),
        f"status {d.status}, taken with probability {d.propensity:.3f}",
    ]
    if e.explored:
        badges.append(Cell("explored: the draw, and not the score, made the choice", tone="note"))
    if e.out_of_scope >= 0.005:
        badges.append(f"out of scope, by the router: {e.out_of_scope:.2f}")
    if d.reason:
        badges.append(f"said then: {d.reason}")
    return Section("Why", e.headline + ".", notes=badges, pre=e.task)


def _flip(e: Explanation) -> Section | None:
    if e.why_not is None:
        return None
    changes = [f"it would have been first with {c}" for c in e.why_not.changes]
    return Section(f"Why not {e.why_not.agent}", e.why_not.sentence + ".", notes=list(changes))


def _parts(e: Explanation) -> Section | None:
    """The chosen one's score beside the best rival's: the parts add up."""
    if not e.terms or not e.decision.chosen:
        return None
    sums = sum(t.chosen for t in e.terms), sum(t.rival for t in e.terms)
    rows: list[tuple[Any, ...]] = [
        (t.words, *_pair(t.chosen, t.rival, bool(e.rival)), f"{t.difference:+.3f}") for t in e.terms
    ]
    rows.append(("sum", *_pair(*sums, bool(e.rival)), f"{sums[0] - sums[1]:+.3f}"))
    columns = ("part", f">{e.decision.chosen[0]}", f">{e.rival or '-'}", ">difference")
    return Section(
        "The score, part by part", columns=columns, rows=rows, marked=frozenset({len(rows) - 1})
    )


def _pair(mine: float, other: float, rival: bool) -> tuple[str, str]:
    return f"{mine:+.3f}", f"{other:+.3f}" if rival else ""


def _intervals(e: Explanation) -> Section | None:
    """What was expected of each, and how much more it may be worth for being little known."""
    known = [s for s in e.candidates if s.mean is not None]
    if len(known) < 2:
        return None
    rows = [(s.agent, s.mean or 0.0, (s.mean or 0.0, s.total)) for s in known[:DRAWN]]
    chart = bars(rows, title="Expected utility, and the bonus for what is little known",
                 marked=e.decision.chosen)  # fmt: skip
    return Section(
        "Who stood for choice",
        "Bar: expected utility. Whisker: up to what counts for the choice, with the bonus for what "
        "is little known. The chosen one is coloured.",
        chart,
    )


def _candidates(e: Explanation, *, every: bool) -> Section | None:
    if not e.candidates:
        return None
    shown = e.candidates if every else e.candidates[:SHOWN]
    terms = sorted({k for s in shown for k in s.terms})
    notes: list[str | Cell] = []
    if len(e.candidates) > len(shown):
        more = f"{len(e.candidates) - len(shown)} more"
        notes.append(Cell(more, address("/decision", id=e.decision.id, all=1)))
    chosen = [i for i, s in enumerate(shown) if s.agent in e.decision.chosen]
    return Section(
        "All candidates",
        "Chance: to be drawn first. Expected: utility, which the terms add up to. Unknown: the "
        f"bonus. Calls, judged: how often in the {BACK:,} rows before.",
        columns=("agent", "", ">chance", ">expected", ">unknown", *(f">{t}" for t in terms),
                 ">calls", ">judged"),
        rows=[_standing(e, s, terms) for s in shown],
        marked=frozenset(chosen),
        notes=notes,
    )  # fmt: skip


def _standing(e: Explanation, s: Standing, terms: list[str]) -> tuple[Any, ...]:
    mark: str | Cell = ""
    if s.agent in e.decision.chosen:
        mark = Cell("explored", tone="note") if e.explored else Cell("chosen", tone="ok")
    ask = address("/decision", id=e.decision.id, why_not=s.agent)
    return (
        Cell(s.agent, "" if mark else ask),
        mark,
        f"{s.propensity:.3f}",
        "screened out" if s.mean is None else f"{s.mean:.3f}",
        f"{s.bonus:.3f}",
        *(f"{s.terms[t]:+.3f}" if t in s.terms else "" for t in terms),
        s.calls,
        s.judged,
    )


def _left_out(e: Explanation) -> Section | None:
    if not e.excluded:
        return None
    by = sorted(e.excluded.items(), key=lambda x: -len(x[1]))
    rows = [
        (why, len(who), ", ".join(who[:12]) + (f" and {len(who) - 12} more" if who[12:] else ""))
        for why, who in by
    ]
    return Section("Who was no candidate", columns=("=why", ">agents", "=who"), rows=list(rows))


def _cases(e: Explanation) -> Section | None:
    if not e.cases:
        return None
    rows = [
        (
            Cell(f"{c.similarity:.2f}", LINKS.decision(c.decision_id)),
            ", ".join(c.chosen),
            f"{c.score:.2f}",
            c.prompt if len(c.prompt) <= 160 else c.prompt[:159] + "…",
        )
        for c in e.cases
    ]
    columns = (">alike", "agent", ">score", "=task")
    return Section("The nearest tasks of before", columns=columns, rows=list(rows))
