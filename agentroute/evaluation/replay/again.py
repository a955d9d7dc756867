"""Stored requests, decided again by a policy in the state that it was in then.

A router's state depends on the rows that it folded and on nothing else, and a decision's row names
them (``policy_version``), the seed and the depth. So the recorded policy takes each decision again
as it was taken. Another policy is folded to the same rows before it decides: it is asked what it
would have chosen with what was known then. A reply of a model that was recorded is used in place of
a call; nothing is written.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from agentroute.choosing.decide import Choice
from agentroute.choosing.policy import Policy
from agentroute.config.settings import FeedbackQuota
from agentroute.errors import AgentRouteError, RouterStateError, RowUnreadableError, UsageError
from agentroute.evaluation.replay.batches import Batched
from agentroute.learning.base import start_policy
from agentroute.learning.fold import Learner
from agentroute.learning.respace import Respace
from agentroute.learning.sources import QUOTA, WEIGHTS
from agentroute.learning.state import StateStore
from agentroute.ledger import Ledger
from agentroute.model.arrays import F64, Embedder
from agentroute.model.candidates import Request
from agentroute.model.decisions import DecisionRecord
from agentroute.model.ids import keyed_rng
from agentroute.model.plans import AgentUse, Spec
from agentroute.model.scores import Scores

CLOSE = 1e-9  # two propensities that differ by less are one
NOT_SAMPLED = "named, retried or fallen back to: not sampled"

MadeOf = Mapping[str, Any]  # router, seed, weights, quota: what a policy can be made of again


@dataclass(frozen=True, slots=True, eq=False)
class Again:
    """A recorded decision, and the same one taken again.

    ``propensities`` (n,) are those of the first draw; ``same`` says that agents, status and
    probability are as they were. ``stated`` is False where the run does not say what its policy
    was made of, as runs of older releases do not: then the settings in force stand in for it.
    ``team`` is how probable it is now to draw the team that was drawn; None where it was none.
    """

    record: DecisionRecord
    chosen: tuple[str, ...]
    status: str
    propensity: float
    propensities: F64
    stated: bool
    team: float | None = None

    @property
    def same(self) -> bool:
        """Whether it is the decision that was recorded."""
        d = self.record.decision
        return (
            self.chosen == d.chosen
            and self.status == d.status
            and math.isclose(self.propensity, d.propensity, rel_tol=0.0, abs_tol=CLOSE)
        )


@dataclass(frozen=True, slots=True)
class Means:
    """With what policies are made: the settings in force."""

    embedder: Embedder
    """Turns texts into vectors where a row was recorded with another one."""
    states: StateStore | None
    """Where fitted routers are found by name."""
    router: Spec
    """The router of the settings: for rows that do not say which, and trusted to be code."""
    defaults: Mapping[str, Any]
    """What a policy explores, abstains and screens by where its spec does not say."""
    seed: int = 0
    """Of routers that draw."""
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    """How much each kind of source counts."""
    quota: FeedbackQuota | None = QUOTA
    """How much of it one named source may be."""


class Replayer:
    """Takes the route decisions of a ledger again. ``left_out`` counts what was none to take
    again, ``failed`` what could not be, each by its reason.
    """

    def __init__(self, ledger: Ledger, means: Means, *, policy: Spec | None = None) -> None:
        self._ledger, self._means, self._policy = ledger, means, policy
        self._respace = Respace(means.embedder)
        self.left_out: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    async def again(self, run_id: str | None = None) -> list[Again]:
        """Each sampled route decision of a run, or of all, in order of ``seq``.

        Raises:
            ConfigError, RouterStateError: the policy that is asked about cannot be made.
        """
        groups: dict[bytes, list[DecisionRecord]] = {}
        made_of = self._made_of()
        for record in self._records(run_id):
            key = _key(made_of.get(record.decision.run_id) or self._own(record))
            groups.setdefault(key, []).append(record)
        out: list[Again] = []
        for key, records in groups.items():
            out += await self._by(orjson.loads(key), records, made_of)
        return sorted(out, key=lambda a: a.record.decision.seq)

    def _records(self, run_id: str | None) -> Iterator[DecisionRecord]:
        where = "" if run_id is None else " AND run_id = ?"
        key = () if run_id is None else (run_id,)
        sql = f"SELECT id FROM decisions WHERE kind = 'route'{where} ORDER BY seq"
        for (decision_id,) in self._ledger.query(sql, key):
            try:
                record = self._ledger.record(decision_id)
            except RowUnreadableError as e:
                self.failed[str(e)] += 1
                continue
            if record.request is None or record.scores is None:
                self.left_out[NOT_SAMPLED] += 1
            else:
                yield record

    def _made_of(self) -> dict[str, MadeOf]:
        """Run to what its policy was made of; nothing of a run that does not say."""
        if self._policy is not None:
            return {}
        rows = self._ledger.query("SELECT run_id, body FROM events WHERE type = 'run.started'")
        found = ((run_id, orjson.loads(body)["data"].get("policy")) for run_id, body in rows)
        return {run_id: made for run_id, made in found if made}

    def _own(self, record: DecisionRecord) -> MadeOf:
        """What the policy that is asked about is made of, or one of that name as set."""
        m, name = self._means, record.decision.policy
        spec = self._policy
        if spec is None:
            spec = m.router if AgentUse.of(m.router).name == name else name
        full = {**m.defaults, **AgentUse.of(spec).written()}
        return {
            "router": full, "seed": m.seed, "weights": dict(m.weights),
            "quota": m.quota and m.quota.model_dump(),
        }  # fmt: skip

    async def _by(
        self, made: MadeOf, records: Iterable[DecisionRecord], stated: Container[str]
    ) -> list[Again]:
        """Decisions of one policy, as its router learns: each on the rows that were folded then."""
        out: list[Again] = []
        learner: Learner | None = None
        records = list(records)
        batched = Batched(records)
        for record in sorted(records, key=self._upto):
            try:
                if learner is None:
                    policy, learner = self._start(made)
                self._check_base(learner, record)
                learner.fold(self._upto(record))
                again = await self._one(policy, record, batched)
                out.append(replace(again, stated=record.decision.run_id in stated))
            except AgentRouteError as e:
                if self._policy is not None and (learner is None or isinstance(e, UsageError)):
                    raise  # of what was asked for, not of this row
                self.failed[str(e)] += 1
        return out

    def _start(self, made: MadeOf) -> tuple[Policy, Learner]:
        m, spec = self._means, made["router"]
        # What a ledger names is no permission to import code: the user's own words are.
        trusted = self._policy is not None or spec.get("name") == AgentUse.of(m.router).name
        policy, base = start_policy(
            spec, embedder=m.embedder, states=m.states, seed=made["seed"], trusted=trusted
        )
        quota = made.get("quota")  # a run of before there was one says nothing
        learner = Learner(
            policy.router, self._ledger, base=base, weights=made["weights"], embedder=m.embedder,
            quota=quota and FeedbackQuota.model_validate(quota),
        )  # fmt: skip
        return policy, learner

    def _check_base(self, learner: Learner, record: DecisionRecord) -> None:
        base = record.decision.policy_version.partition("@")[0]
        if self._policy is None and base != learner.base:
            raise RouterStateError(
                f"the state that '{record.decision.policy}' started from is not here any more"
            )

    def _upto(self, record: DecisionRecord) -> int:
        """The row up to which the policy had folded; of another one what could be known then."""
        folded = _folded(record.decision.policy_version)
        return folded if self._policy is None else folded or record.decision.seq - 1

    def _request(self, record: DecisionRecord) -> Request:
        assert record.request is not None
        own = self._policy is None
        return self._respace.of(_recorded(record.request, record.scores, own=own))

    async def _one(self, policy: Policy, record: DecisionRecord, batched: Batched) -> Again:
        d = record.decision
        request = self._request(record)
        rng = keyed_rng(d.seed, d.run_id, d.task_id, "route", d.attempt)
        now = await policy.scores(request)
        if self._policy is not None and now.usage is not None and now.usage.tokens:
            raise UsageError(
                f"the router '{policy.name}' asks a model for each decision: once was enough",
                hint="agentroute eval compares such routers",
            )
        if "assign" in record.context:
            given = await batched.again(policy, record, self._request)
            if given.choice is None:
                raise RouterStateError("nobody of its batch could take it now")
            return _again(record, request, given.choice)
        k = max(1, int(record.context.get("depth", {}).get("k", len(d.chosen))))
        choice = policy.decide(request, now, k=k, rng=rng)
        made = _again(record, request, choice)
        if len(d.chosen) < 2:
            return made
        return replace(made, team=policy.of_team(request, now, d.chosen, k))


def _again(record: DecisionRecord, request: Request, choice: Choice) -> Again:
    names = tuple(str(request.candidates.names[i]) for i in choice.positions)
    return Again(record, names, choice.status, choice.propensity, choice.propensities, True)


def _recorded(request: Request, scores: Scores | None, *, own: bool) -> Request:
    """The request with what a model said then: another policy's reply is not its own."""
    if not own:
        return replace(request, recorded=None)
    if scores is None or scores.evidence is None:
        return request
    return replace(request, recorded=scores.evidence)


def _folded(version: str) -> int:
    digits = version.rpartition("@")[2]
    return int(digits) if digits.isdigit() else 0


def _key(made: MadeOf) -> bytes:
    return orjson.dumps(made, option=orjson.OPT_SORT_KEYS)
