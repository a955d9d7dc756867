"""A score that is about several: whose part in it is how large, written into the feedback's row.

Parts are found when the score is given, from the ledger alone, and stand in its row: whoever folds
the row later, under whatever settings, learns the same from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentroute.execution.history import stored_reply
from agentroute.ledger import Ledger
from agentroute.model.calls import AgentReply
from agentroute.model.decisions import Decision
from agentroute.model.outcomes import Feedback
from agentroute.model.plans import Plan
from agentroute.model.tasks import TaskGraph
from agentroute.refining.credit import (
    MOST,
    Credit,
    Worth,
    discounted,
    in_parts,
    last_hop,
    leave_one_out,
    shapley,
    worth_of_joining,
)
from agentroute.refining.joining import join
from agentroute.refining.naming import rules_problem

Parts = dict[str, float]
HOW = ("strategy", "weights", "routing", "top")  # what of a refiner's parameters a join takes


def credited(ledger: Ledger, row: Feedback, credit: Credit) -> Feedback:
    """The row with its rule, and with everybody's part where the rule is not ``equal``.

    A score of one agent is its own and stays as it is. A run's score is parted among its route
    decisions, each decision's part among its members that did not fail. Beyond five players
    ``shapley`` leaves one out instead; where a reply was erased, or nobody's text led to the
    answer, parts are equal. The row says which rule it was.
    """
    alone = row.target == "decision" and len(ledger.decision(row.target_id).chosen) == 1
    if row.agent is not None or alone:
        return row
    if credit.name == "equal":
        return row.model_copy(update={"credit": credit.name})
    run = _Recorded(ledger, row)
    said = [credit.name]
    parts = _of_tasks(run, credit, said) if row.target == "run" else _of_target(run, row)
    shares = {
        d.id: {a: parts[d.id] * x for a, x in _of_team(run, d, credit, said).items()}
        for d in run.decisions if d.id in parts
    }  # fmt: skip
    words = "; ".join(dict.fromkeys(said))
    return row.model_copy(update={"credit": words, "shares": shares})


class _Recorded:
    """What the ledger has of the run that a score is about."""

    def __init__(self, ledger: Ledger, row: Feedback) -> None:
        self._ledger = ledger
        run_id = row.target_id if row.target == "run" else ledger.decision(row.target_id).run_id
        every = ledger.decisions(run_id)
        outcomes = [o for o in ledger.outcomes(run_id) if not o.shadow]
        failed = {(o.decision_id, o.agent) for o in outcomes if o.error is not None}
        self._replies = {(o.decision_id, o.agent): o.reply for o in outcomes}
        self.refined = [d for d in every if d.kind == "refine"]
        self.members = {
            d.id: [a for a in d.chosen if (d.id, a) not in failed]
            for d in every if d.kind == "route"
        }  # fmt: skip
        self.decisions = [d for d in every if self.members.get(d.id)]
        notes = ledger.notes(run_id, "run.started")
        text = ledger.text(notes[0].data["plan"]) if notes else None
        self.graph = Plan.model_validate_json(text).graph() if text else None

    def reply(self, decision: Decision, agent: str) -> AgentReply | None:
        """What that agent answered."""
        return stored_reply(self._ledger, self._replies.get((decision.id, agent)))

    def answer(self, d: Decision) -> AgentReply | None:
        """What the task came to: its one reply, or that of its team."""
        found = self.team(d)
        if found is None or len(found) < 2:
            return None if found is None else next(iter(found.values()))
        joined = next((r for r in reversed(self.refined) if r.task_id == d.task_id), None)
        reply = self.reply(joined, joined.chosen[0]) if joined and joined.chosen else None
        return reply or join(found, **self.how(d.task_id))

    def team(self, d: Decision) -> dict[str, AgentReply] | None:
        """What each member answered; None where one of it cannot be read."""
        found = {a: self.reply(d, a) for a in self.members[d.id]}
        known = {a: r for a, r in found.items() if r is not None}
        return known if len(known) == len(found) else None

    def how(self, task_id: str) -> dict[str, Any]:
        """With which rules the answers to a task ('' the run's own) were joined."""
        joined = next((r for r in reversed(self.refined) if r.task_id == task_id), None)
        context = self._ledger.record(joined.id).context if joined else {}
        params = context.get("params", {})
        how = {k: params[k] for k in HOW if k in params}
        return {} if rules_problem(how) else how

    def weight(self, d: Decision) -> float:
        """``Task.weight`` of the task that was decided on."""
        request = self._ledger.record(d.id).request
        return 1.0 if request is None else request.task.weight


def _of_target(run: _Recorded, row: Feedback) -> Parts:
    return {d.id: 1.0 for d in run.decisions if d.id == row.target_id}


def _of_tasks(run: _Recorded, credit: Credit, said: list[str]) -> Parts:
    """Decision id to its part in the run's score."""
    if credit.name == "task_weight":
        return in_parts({d.id: run.weight(d) for d in run.decisions})
    last = {d.task_id: d for d in run.decisions}  # of a task done twice, the answer that was used
    if not last:
        return {}
    if credit.asks_without:
        parts = _asked_without(run, last, credit, said)
    else:
        hops = _hops(run.graph, list(last))
        by_hop = credit.name == "discounted"
        parts = discounted(hops, credit.gamma) if by_hop else last_hop(hops)
    return {last[v].id: x for v, x in parts.items()}


def _asked_without(
    run: _Recorded, last: Mapping[str, Decision], credit: Credit, said: list[str]
) -> Parts:
    needs = {v: _before(run.graph, v) & last.keys() for v in last}
    ends = [v for v in last if not any(v in needs[u] for u in last)]
    found = {v: run.answer(last[v]) for v in ends}
    replies = {v: r for v, r in found.items() if r is not None}
    if len(replies) < len(ends):
        return _equal(list(last), said, "a reply cannot be read")
    prompts = {v: run.graph[v].prompt[:500] for v in ends if run.graph and v in run.graph}
    of_ends = worth_of_joining(replies, prompts=prompts, **run.how(""))

    def worth(some: frozenset[str]) -> float:
        return of_ends(frozenset(v for v in ends if v in some and needs[v] <= some))

    def alone(some: frozenset[str]) -> float:
        way = {v for v in ends if some & ({v} | needs[v])}
        return worth(frozenset(way).union(*(needs[v] for v in way)))

    return _by(credit, list(last), worth, said, alone)


def _of_team(run: _Recorded, d: Decision, credit: Credit, said: list[str]) -> Parts:
    """The parts of a decision's members, which add up to 1."""
    members = run.members[d.id]
    if len(members) == 1 or not credit.asks_without:
        return in_parts(dict.fromkeys(members, 1.0))
    replies = run.team(d)
    if replies is None:
        return _equal(members, said, "a reply cannot be read")
    return _by(credit, members, worth_of_joining(replies, **run.how(d.task_id)), said)


def _by(
    credit: Credit, players: Sequence[str], worth: Worth, said: list[str],
    alone: Worth | None = None,
) -> Parts:  # fmt: skip
    if not worth(frozenset(players)):
        return _equal(players, said, "nobody's text is the answer")
    if credit.name == "shapley" and len(players) <= MOST:
        return in_parts(shapley(players, worth))
    if credit.name == "shapley":
        said.append(f"leave_one_out among {len(players)}: exact for at most {MOST}")
    return leave_one_out(players, worth, alone)


def _equal(players: Sequence[str], said: list[str], why: str) -> Parts:
    said.append(f"equal: {why}")
    return in_parts(dict.fromkeys(players, 1.0))


def _before(graph: TaskGraph | None, v: str) -> frozenset[str]:
    return frozenset(graph.ancestors(v)) if graph is not None and v in graph else frozenset()


def _hops(graph: TaskGraph | None, players: Sequence[str]) -> dict[str, int]:
    """Of each task, the longest way to one that nobody waits for, in dependencies."""
    hops = dict.fromkeys(players, 0)
    for v in reversed(graph.order if graph is not None else ()):
        for u in graph.parents(v) if graph is not None else ():
            hops[u] = max(hops.get(u, 0), hops.get(v, 0) + 1)
    return {v: hops[v] for v in players}
