"""Many routers as one: how far to trust each, learned for each kind of task."""

from __future__ import annotations

import base64
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson

from agentroute.errors import ConfigError, RouterStateError, RoutingError
from agentroute.model.decisions import Observation
from agentroute.model.embedding import Embedder
from agentroute.model.scores import F64, Request, Scores, StateDict, Taxonomy
from agentroute.routers.base import Router
from agentroute.routers.baselines import check_kind
from agentroute.routers.hedge import Hedge

MEMBERS = ("linucb", "knn", "skill_match")


class Ensemble:
    """Mean = sum over members of trust times the member's mean; one term a member.

    Trust is EXP4 with implicit exploration over the members as experts (Auer et al. 2002; Neu
    2015), a table of weights for each kind of task (see ``Hedge``). Bonus = the trusted
    members' bonuses plus h times the spread of their means, where h in [0, 1] is the entropy of
    the trust: as long as it is open whom to trust, their disagreement is worth a try.

    Evidence is every member's means (and its own evidence): what is learned later is judged by
    what the members said at the decision, in a replay as live.
    """

    name = "ensemble"
    taxonomy = Taxonomy("before", ("task", "card", "outcomes"), "ensemble")

    def __init__(
        self,
        *,
        members: Sequence[str | Mapping[str, Any]] = MEMBERS,
        eta: float = 0.05,
        share: float = 0.001,
        by: Sequence[str] = (),
        embedder: Embedder | None = None,
        seed: int = 0,
    ) -> None:
        from agentroute.routers.catalog import make_router

        specs = [m if isinstance(m, str) else dict(m) for m in members]
        if not specs:
            raise ConfigError("an ensemble needs members", field="router.members")
        self.members: list[Router] = [make_router(m, embedder=embedder, seed=seed) for m in specs]
        self.labels = _labels([m.name for m in self.members])
        self.by = tuple(by)
        self.hedge = Hedge(len(self.members), eta=eta, share=share)

    async def score(self, request: Request) -> Scores:
        """See ``Router.score``."""
        said = [await m.score(_for_member(request, i)) for i, m in enumerate(self.members)]
        pi = self.hedge.trust(self.kind(request))
        means = np.array([s.mean for s in said])
        parts = pi[:, None] * means
        mean = parts.sum(axis=0)
        h = _entropy(pi)
        spread = np.sqrt(np.maximum((pi[:, None] * (means - mean) ** 2).sum(axis=0), 0.0))
        bonus = pi @ np.array([s.bonus for s in said]) + h * spread
        oos = float(pi @ np.array([s.out_of_scope for s in said]))
        terms = dict(zip(self.labels, parts, strict=True))
        clipped = np.minimum(mean, 1.0)
        reason = ", ".join(f"{n} {p:.2f}" for n, p in zip(self.labels, pi, strict=True))
        return Scores(clipped, bonus, terms, f"trust: {reason}", min(oos, 1.0), _pack(said))

    def update(self, observation: Observation) -> None:
        """Charge the members by what they had said, then let each of them learn."""
        o = observation
        if o.quality is not None:
            position = _position(o)
            if position is not None:
                advice = self._advice(o.request)
                self.hedge.learn(self.kind(o.request), advice, position, o.quality, o.propensity)
        for i, member in enumerate(self.members):
            member.update(replace(o, request=_for_member(o.request, i)))

    def kind(self, request: Request) -> str:
        """The kind of a task: its values of the features ``by`` (of all, where none is named)."""
        items = sorted(request.task.features.items())
        return "&".join(f"{k}={v}" for k, v in items if not self.by or k in self.by)

    def state_dict(self) -> StateDict:
        """The trust and every member's state."""
        states = [m.state_dict() for m in self.members]
        meta = {
            "labels": self.labels,
            "hedge": self.hedge.meta(),
            "members": [[s.kind, s.version, s.meta] for s in states],
        }
        arrays = {f"{i}.{k}": v for i, s in enumerate(states) for k, v in s.arrays.items()}
        return StateDict(self.name, 1, meta, arrays)

    def load_state_dict(self, state: StateDict) -> None:
        """See ``Router.load_state_dict``."""
        check_kind(state, self.name, 1)
        if state.meta["labels"] != self.labels:
            raise RouterStateError(
                f"the state is of an ensemble of {', '.join(state.meta['labels'])}",
                hint=f"this one has {', '.join(self.labels)}",
            )
        for i, (kind, version, meta) in enumerate(state.meta["members"]):
            prefix = f"{i}."
            own = {k[len(prefix) :]: v for k, v in state.arrays.items() if k.startswith(prefix)}
            self.members[i].load_state_dict(StateDict(kind, version, meta, own))
        self.hedge.load(state.meta["hedge"])

    def _advice(self, request: Request) -> F64:
        """Means (members, n) as they were at the decision; else as they are now."""
        recorded = _unpack(request.recorded, len(self.members), len(request.candidates))
        if recorded is not None:
            return recorded
        said = [_now(m.score(_for_member(request, i))) for i, m in enumerate(self.members)]
        return np.array([s.mean for s in said])


def _labels(names: list[str]) -> list[str]:
    return [n if names.count(n) == 1 else f"{n}.{i}" for i, n in enumerate(names)]


def _entropy(pi: F64) -> float:
    """Entropy over its maximum, in [0, 1]."""
    if len(pi) < 2:
        return 0.0
    return float(-(pi * np.log(np.maximum(pi, 1e-300))).sum() / np.log(len(pi)))


def _position(o: Observation) -> int | None:
    """Where the agent stands among the candidates, None where it was none of them."""
    c = o.request.candidates
    found = np.flatnonzero(c.rows == c.cards.index.get(o.agent, -1))
    return int(found[0]) if len(found) else None


def _now(coroutine: Coroutine[Any, Any, Scores]) -> Scores:
    """The scores of a member that does not wait for anything."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        scores: Scores = done.value
        return scores
    coroutine.close()
    raise RoutingError(
        "a member of the ensemble waits for a model", hint="fold rows with their evidence"
    )


def _pack(said: Sequence[Scores]) -> bytes:
    """Members' means as float32 and their own evidence, as JSON."""
    members = [
        {"mean": _b64(s.mean.astype(np.float32).tobytes()), "evidence": _b64(s.evidence)}
        for s in said
    ]
    return orjson.dumps({"ensemble": members})


def _b64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _read(recorded: bytes | None) -> list[dict[str, str | None]]:
    """The members' records, [] where the bytes are not an ensemble's."""
    if not recorded or not recorded.startswith(b'{"ensemble":'):
        return []
    members: list[dict[str, str | None]] = orjson.loads(recorded)["ensemble"]
    return members


def _unpack(recorded: bytes | None, m: int, n: int) -> F64 | None:
    rows = [np.frombuffer(base64.b64decode(r["mean"] or ""), np.float32) for r in _read(recorded)]
    if len(rows) != m or any(len(r) != n for r in rows):
        return None
    return np.array(rows, np.float64)


def _for_member(request: Request, i: int) -> Request:
    """The request with the i-th member's own evidence in place of the ensemble's."""
    members = _read(request.recorded)
    if not members:
        return request
    own = members[i]["evidence"] if i < len(members) else None
    return replace(request, recorded=None if own is None else base64.b64decode(own))
