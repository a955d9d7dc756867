"""The spans of a run, from its rows: run, plan, tasks, decisions and calls.

A trace's and a span's id follow from the ids of the ledger, so a run that is sent twice is one
trace, and whoever has a decision's id finds its span. A decision is a point in time; a call begins
its latency before its outcome was written. Texts of tasks and answers are left out unless asked
for; candidates, scores and reasons are always there.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import orjson

from agentroute.ledger import Ledger
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.events import Note
from agentroute.model.outcomes import Feedback, Outcome
from agentroute.tracing import names as n

Value = str | int | float | bool | Sequence[str]
CALLED = {"route": "AGENT", "refine": "CHAIN", "verify": "EVALUATOR", "lead": "AGENT"}


@dataclass(frozen=True, slots=True)
class Happened:
    """An event within a span, at nanoseconds since 1970."""

    name: str
    at_ns: int
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Span:
    """One span; times in nanoseconds since 1970. The root has the ``parent_id`` 0."""

    name: str
    trace_id: int
    span_id: int
    parent_id: int
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value]
    events: tuple[Happened, ...] = ()
    error: str = ""


def spans_of(ledger: Ledger, run_id: str, *, content: bool = False) -> list[Span]:
    """The run first, then its parts in order; [] where no such run is there."""
    rows = ledger.run_rows(run_id)
    return list(_Run(ledger, run_id, content, rows).spans()) if rows else []


def trace_id(run_id: str) -> int:
    """128 bits: a UUID's own, else of a hash."""
    try:
        return uuid.UUID(run_id).int
    except ValueError:
        return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:16], "big")


def span_id(*parts: str) -> int:
    """64 bits of a hash over what the span is of; never 0."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") | 1


@dataclass
class _Run:
    ledger: Ledger
    run_id: str
    content: bool
    rows: Sequence[Any]
    said: dict[str, list[Happened]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.at = {r.id: _ns(r.at) for r in self.rows}
        self.decisions = [r.value for r in self.rows if isinstance(r.value, Decision)]
        self.outcomes = [(r, r.value) for r in self.rows if isinstance(r.value, Outcome)]
        self.notes = [(r, r.value) for r in self.rows if isinstance(r.value, Note)]
        for r in self.rows:
            if isinstance(r.value, Feedback):
                f = r.value
                about: dict[str, Value] = {n.EVALUATION_NAME: f.source, n.EVALUATION_SCORE: f.score}
                if f.agent:
                    about[n.AGENT] = f.agent
                self.said.setdefault(f.target_id, []).append(
                    Happened(n.EVALUATION, _ns(r.at), about)
                )
        self.times = [_ns(r.at) for r in self.rows if not isinstance(r.value, Feedback)]

    def spans(self) -> Iterator[Span]:
        start = self._of("run.started")
        end = self._of("run.finished")
        root = span_id(self.run_id, "run")
        yield self._run(root, start, end)
        tasks = {d.task_id for d in self.decisions if d.task_id}
        for task in sorted(tasks, key=self._first):
            yield self._task(root, task)
        by_id = {d.id: d for d in self.decisions}
        for d in self.decisions:
            yield self._decision(root, d)
        for row, o in self.outcomes:
            yield self._call(by_id[o.decision_id], o, _ns(row.at))

    def _of(self, type_: str) -> dict[str, Any]:
        return next((note.data for _, note in self.notes if note.type == type_), {})

    def _first(self, task: str) -> int:
        return min(self.at[d.id] for d in self.decisions if d.task_id == task)

    # -- one span each -------------------------------------------------------------------------

    def _run(self, own: int, start: Mapping[str, Any], end: Mapping[str, Any]) -> Span:
        name, status = str(start.get("name") or "run"), str(end.get("status") or "unfinished")
        about: dict[str, Value] = {
            n.OPERATION: "invoke_workflow", n.KIND: "CHAIN", n.WORKFLOW: name,
            n.RUN: self.run_id, n.STATUS: status,
            n.COST: float(sum(o.cost_usd for _, o in self.outcomes)),
            n.TOKENS: sum(o.tokens for _, o in self.outcomes),
        }  # fmt: skip
        shape = next((d.chosen[0] for d in self.decisions if d.kind == "topology"), "")
        said = start.get("labels") or {}
        labels = {n.TOPOLOGY: shape, n.SESSION: said.get("session"), n.USER: said.get("user"),
                  n.CONVERSATION: said.get("session")}  # fmt: skip
        about |= {key: str(value) for key, value in labels.items() if value}
        if said.get("tags"):
            about[n.TAGS] = tuple(map(str, said["tags"]))
        about |= self._texts(start.get("plan"), end.get("answer"))
        bad = status in ("failed", "abstained", "budget_exhausted")
        if bad:
            about[n.ERROR] = status
        words = "; ".join(map(str, end.get("degraded", ()))) if bad else ""
        return self._span(
            f"invoke_workflow {name}", own, 0, min(self.times), max(self.times), about,
            self.said.get(self.run_id, []), words or (status if bad else ""),
        )  # fmt: skip

    def _task(self, root: int, task: str) -> Span:
        mine = {d.id for d in self.decisions if d.task_id == task}
        ends = [_ns(r.at) for r, o in self.outcomes if o.decision_id in mine]
        ends += [self.at[i] for i in mine]
        about: dict[str, Value] = {n.KIND: "CHAIN", n.TASK: task, n.NODE: task}
        first = self._record(next(d for d in self.decisions if d.task_id == task))
        before = [] if first is None or first.request is None else first.request.task.depends_on
        if before:
            about[n.NODE_PARENT] = sorted(before)[0]
        if self.content and first is not None and first.request is not None:
            about |= {n.INPUT: first.request.task.prompt, n.INPUT_TYPE: n.TEXT}
        own = span_id(self.run_id, "task", task)
        return self._span(f"task {task}", own, root, self._first(task), max(ends), about)

    def _decision(self, root: int, d: Decision) -> Span:
        parent = span_id(self.run_id, "task", d.task_id) if d.task_id else root
        about: dict[str, Value] = {
            n.KIND: "DECISION", n.SYSTEM: "agentroute", n.MODEL: f"{d.policy}@{_short(d)}",
            n.DECISION: d.id, n.DECIDED: d.kind, n.STATUS: d.status, n.ATTEMPT: d.attempt,
            n.PROPENSITY: d.propensity, n.REASON: d.reason, n.CHOSEN: d.chosen,
        }  # fmt: skip
        if d.kind == "plan":
            about[n.OPERATION] = "plan"
        if d.task_id:
            about[n.TASK] = d.task_id
        about |= _seen(self._record(d))
        name = f"plan {self._of('run.started').get('name') or ''}".strip()
        name = name if d.kind == "plan" else f"decide {d.kind} {d.task_id}".strip()
        at = self.at[d.id]
        return self._span(name, span_id(d.id), parent, at, at, about, self.said.get(d.id, []))

    def _call(self, d: Decision, o: Outcome, end: int) -> Span:
        about: dict[str, Value] = {
            n.OPERATION: "invoke_agent", n.KIND: CALLED.get(d.kind, "AGENT"), n.AGENT: o.agent,
            n.DECISION: d.id, n.COST: o.cost_usd, n.TOKENS: o.tokens,
        }  # fmt: skip
        if d.task_id:
            about[n.TASK] = d.task_id
        if o.shadow:
            about[n.SHADOW] = True
        if o.error:
            about[n.ERROR] = o.error.partition(":")[0][:100]
        about |= self._texts(None, o.reply)
        start = end - int(o.latency_s * 1e9)
        own, parent = span_id(d.id, "call", o.agent), span_id(d.id)
        return self._span(f"invoke_agent {o.agent}", own, parent, start, end, about,
                          error=o.error or "")  # fmt: skip

    # -- parts ---------------------------------------------------------------------------------

    def _span(
        self, name: str, own: int, parent: int, start: int, end: int,
        attributes: Mapping[str, Value], events: Sequence[Happened] = (), error: str = "",
    ) -> Span:  # fmt: skip
        trace = trace_id(self.run_id)
        return Span(name, trace, own, parent, start, end, attributes, tuple(events), error)

    def _record(self, d: Decision) -> DecisionRecord | None:
        return self.ledger.record(d.id) if d.kind == "route" else None

    def _texts(self, given: Any, answer: Any) -> dict[str, Value]:
        """What went in and came out, where texts are asked for and were not erased."""
        if not self.content:
            return {}
        out: dict[str, Value] = {}
        for sha, key, kind in ((given, n.INPUT, n.INPUT_TYPE), (answer, n.OUTPUT, n.OUTPUT_TYPE)):
            text = self.ledger.text(str(sha)) if sha else None
            if text is not None:
                out |= {key: text, kind: n.TEXT}
        return out


def _seen(record: DecisionRecord | None) -> dict[str, Value]:
    """Candidates, and what each was expected to be worth."""
    if record is None or record.request is None:
        return {}
    who = [str(a) for a in record.request.candidates.names]
    given = {"candidates": who, "skills": list(record.request.task.skills)}
    out: dict[str, Value] = {n.INPUT: orjson.dumps(given).decode(), n.INPUT_TYPE: n.JSON}
    if record.scores is not None:
        p = record.propensities
        told = {
            "scores": _by_agent(who, record.scores.mean),
            "bonus": _by_agent(who, record.scores.bonus),
            "propensity": {} if p is None else _by_agent(who, p),
            "chosen": list(record.decision.chosen),
        }
        out |= {n.OUTPUT: orjson.dumps(told).decode(), n.OUTPUT_TYPE: n.JSON}
    return out


def _by_agent(who: Sequence[str], values: Any) -> dict[str, float]:
    pairs = zip(who, np.asarray(values).tolist(), strict=True)
    return {a: round(x, 6) for a, x in pairs if np.isfinite(x)}


def _short(d: Decision) -> str:
    """The version with the state's hash shortened, as people read it."""
    base, _, seq = d.policy_version.rpartition("@")
    return f"{base[:12]}@{seq}" if base else seq


def _ns(at: str) -> int:
    """Nanoseconds since 1970 of a row's time."""
    t = datetime.fromisoformat(at)
    return int(t.timestamp()) * 1_000_000_000 + t.microsecond * 1_000
