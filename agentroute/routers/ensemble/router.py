"""Many routers as one: how far to trust each, learned for each kind of task."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from agentroute.adapters.structured import add_usage
from agentroute.choosing.protocol import Router
from agentroute.choosing.state import StateDict
from agentroute.errors import ConfigError, NotFittedError, RouterStateError
from agentroute.model.arrays import F64, Embedder
from agentroute.model.candidates import Examples, Request
from agentroute.model.outcomes import Observation
from agentroute.model.scores import Scores, Taxonomy
from agentroute.routers.ensemble.advice import Said, advice, for_member, pack, unpack
from agentroute.routers.ensemble.hedge import Hedge
from agentroute.routers.parts.binding import check_kind
from agentroute.routers.parts.lessons import fifth, mostly_known, requests, take, teach

MEMBERS = ("linucb", "knn", "linear")


class Ensemble:
    """Mean = sum over members of trust times the member's mean; one term a member.

    Trust is EXP4 with implicit exploration over the members as experts (Auer et al. 2002; Neu
    2015), a table of weights for each kind of task (see ``Hedge``). Bonus = the trusted
    members' bonuses plus h times the spread of their means, where h in [0, 1] is the entropy of
    the trust: as long as it is open whom to trust, their disagreement is worth a try.

    A member that was never fitted is silent: it has no say, and its share of the trust waits.
    ``fit`` teaches every member by the labels; trust then starts from what each would have earned
    on a fifth of the rows that it had not seen (full information: Hedge), kind by kind.

    Evidence is every member's means (and its own evidence): what is learned later is judged by
    what the members said at the decision, in a replay as live.

    Two members disagree; the first one's agent, chosen with p = 0.45, fails. Its loss is
    1 / (0.45 + 0.05) = 2, its log weight 1.25 x 0.05 x 2 lower than the other's:

    >>> hedge = Hedge(2, eta=0.05, share=0.0)
    >>> hedge.learn("maths", np.eye(2), arm=0, quality=0.0, propensity=0.45)
    >>> hedge.trust("maths").round(3).tolist()  # 1 / (1 + exp(0.125)), and the rest
    [0.469, 0.531]
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
        specs = [m if isinstance(m, str) else dict(m) for m in members]
        if not specs:
            raise ConfigError("an ensemble needs members", field="router.members")
        self._specs, self._embedder, self._seed = specs, embedder, seed
        self.members: list[Router] = self._make()
        self.labels = _labels([m.name for m in self.members])
        self.by = tuple(by)
        self.hedge = Hedge(len(self.members), eta=eta, share=share)

    @property
    def is_fitted(self) -> bool:
        """Whether any member can score."""
        return any(getattr(m, "is_fitted", True) for m in self.members)

    def _make(self) -> list[Router]:
        from agentroute.choosing.catalog import make_router

        return [make_router(m, embedder=self._embedder, seed=self._seed) for m in self._specs]

    async def score(self, request: Request) -> Scores:
        """See ``Router.score``."""
        said = [await self._ask(i, request) for i in range(len(self.members))]
        spoke = [s for s in said if s is not None]
        if not spoke:
            raise NotFittedError("no member of the ensemble was fitted", hint="fit it on labels")
        awake = np.array([s is not None for s in said])
        pi = self.hedge.trust(self.kind(request), awake)[awake]
        means = np.array([s.mean for s in spoke])
        parts = pi[:, None] * means
        mean = parts.sum(axis=0)
        spread = np.sqrt(np.maximum((pi[:, None] * (means - mean) ** 2).sum(axis=0), 0.0))
        bonus = pi @ np.array([s.bonus for s in spoke]) + _entropy(pi) * spread
        oos = float(pi @ np.array([s.out_of_scope for s in spoke]))
        labels = [n for n, s in zip(self.labels, said, strict=True) if s is not None]
        reason = ", ".join(f"{n} {p:.2f}" for n, p in zip(labels, pi, strict=True))
        terms = dict(zip(labels, parts, strict=True))
        clipped = np.minimum(mean, 1.0)
        used = [s.usage for s in spoke if s.usage is not None]
        usage = reduce(add_usage, used) if used else None
        why = f"trust: {reason}"
        return Scores(clipped, bonus, terms, why, min(oos, 1.0), pack(said, self.labels), usage)

    async def _ask(self, i: int, request: Request) -> Scores | None:
        """The scores of a member, None from one that was not fitted."""
        try:
            return await self.members[i].score(for_member(request, i, self.labels))
        except NotFittedError:
            return None

    def fit(self, examples: Examples, *, seed: int = 0) -> None:
        """Learn from labels, from scratch; the members twice, once without a fifth of the rows.

        Raises:
            MissingExtraError, ConfigError: from the members.
            ConfigError: only what was chosen is known: nobody can say what each member would
                have earned.
        """
        if not mostly_known(examples):
            raise ConfigError(
                "an ensemble is fitted on rows where every agent's outcome is known",
                hint="router: ensemble learns from the ledger as it runs, without a fit",
            )
        self.hedge.clear()
        self.members = self._make()
        rest, held = fifth(len(examples), seed)
        held = held[~examples.abstain[held]]
        if len(rest) and len(held):
            self._teach(take(examples, rest), seed)
            unseen = take(examples, held)
            for request, quality in zip(requests(unseen), unseen.quality, strict=True):
                said = self._advice(request, lambda m: not getattr(m, "calls_model", False))
                self.hedge.learn_all(self.kind(request), said, quality)
            self.members = self._make()
        self._teach(examples, seed)

    def _teach(self, examples: Examples, seed: int) -> None:
        for member in self.members:
            teach(member, examples, seed=seed)

    def update(self, observation: Observation) -> None:
        """Charge the members by what they had said, then let each of them learn.

        What they said is in the row's evidence. Where a row has none (a retry, or another router's)
        they are judged by what they would say now, but those that ask a model: these are silent.
        """
        o = observation
        if o.quality is not None:
            position = _position(o)
            if position is not None:
                said = self._advice(o.request, _asks_nobody)
                self.hedge.learn(self.kind(o.request), said, position, o.quality, o.propensity)
        for i, member in enumerate(self.members):
            with suppress(NotFittedError):
                member.update(replace(o, request=for_member(o.request, i, self.labels)))

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

    def _advice(self, request: Request, speaks: Callable[[Router], bool]) -> F64:
        """Means (members, n) as they were at the decision; else as they are now.

        NaN for a member that said nothing then, or of whom ``speaks`` says that it does not now.
        """
        n = len(request.candidates)
        recorded = unpack(request.recorded, self.labels, n)
        if recorded is not None:
            return recorded
        said: Said = [
            _now(self._ask(i, request)) if speaks(m) else None for i, m in enumerate(self.members)
        ]
        return advice(said, n)


def _asks_nobody(member: Router) -> bool:
    """Whether it scores by itself; of an ensemble, whether all of its members do."""
    inner = getattr(member, "members", ())
    return member.taxonomy.compute != "generative" and all(map(_asks_nobody, inner))


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


def _now(coroutine: Coroutine[Any, Any, Scores | None]) -> Scores | None:
    """The scores of a member that does not wait for anything, None from one that does."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        scores: Scores | None = done.value
        return scores
    with suppress(RuntimeError):  # it waits for more while it is closed
        coroutine.close()
    return None
