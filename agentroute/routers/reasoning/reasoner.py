"""The offline reasoner: evidence for each agent, weighed by learned trust, said in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentroute.choosing.state import StateDict
from agentroute.errors import RouterStateError
from agentroute.features.text import Embedder, normalise
from agentroute.model.arrays import F32, F64
from agentroute.model.candidates import Candidates, Examples, Request
from agentroute.model.ids import keyed_rng
from agentroute.model.outcomes import Observation
from agentroute.routers.parts.binding import Space
from agentroute.routers.parts.words import follows_up
from agentroute.routers.reasoning.cardwords import card_words
from agentroute.routers.reasoning.evidence import TERMS, Evidence, Reading
from agentroute.routers.reasoning.trust import Scope, Trust

ALIKE = 0.6  # cards this alike on average say nothing of who covers what
W0 = np.array([*TERMS.values()])


@dataclass(frozen=True, slots=True, eq=False)
class Opinion:
    """``quality`` (n,) in [0, 1], ``parts`` name -> (n,) adding up to it, and what was read."""

    quality: F64
    parts: dict[str, F64]
    out_of_scope: float
    reading: Reading


class OfflineReasoner:
    """E[quality] = clip(phi(task, agent)' w): ``phi`` from ``Evidence``, ``w`` from ``Trust``.

    Knows the cards before anything is learned; each observation adds to the agent's record,
    prototypes and words, and to the trust in each kind of evidence, measured before the
    observation itself is folded, so that nothing is judged by what it already knew.
    """

    KIND, VERSION = "reasoning", 1

    def __init__(self, *, tau: float, embedder: Embedder | None = None) -> None:
        self.tau, self.embedder = tau, embedder
        self.reset()

    def reset(self) -> None:
        """Forget everything learned."""
        self.evidence, self.space = Evidence(), Space()
        self.trust, self.scope = Trust(W0), Scope(self.tau)

    def judge(self, request: Request) -> Opinion:
        """The opinion on every candidate."""
        self.space.check(request)
        reading = self.evidence.read(request, self.meaning(request))
        parts = dict(zip(TERMS, (reading.phi * self.trust.weights).T, strict=True))
        raw = reading.phi @ self.trust.weights
        quality = np.clip(raw, 0.0, 1.0)
        parts["clip"] = quality - raw
        return Opinion(quality, parts, self._out_of_scope(request, reading), reading)

    def meaning(self, request: Request) -> F32:
        """(e,) of the prompt; a follow-up is joined with the user's last turn, where there is an
        embedder to read it with.
        """
        before = [m.text for m in request.task.history if m.role == "user"]
        if self.embedder is None or not before or not follows_up(request.task):
            return request.embedding
        joined: F32 = normalise(request.embedding + self.embedder.encode(before[-1:])[0])
        return joined

    def learn(self, o: Observation) -> None:
        """Fold one observed quality; an outcome without quality says nothing here."""
        if o.quality is None:
            return
        self.space.check(o.request)
        self.space.bind(o.request)
        x = self.meaning(o.request)
        reading = self.evidence.read(o.request, x)
        at = np.flatnonzero(o.request.candidates.names == o.agent)
        if len(at):
            self.trust.add(reading.phi[at[:1]], np.array([o.quality]), o.weight)
            if o.quality >= 0.5:
                self.scope.add(reading.scope)
        self.evidence.add(reading, x, o.request.task, o.agent, o.quality, o.weight)

    def fit(self, examples: Examples, *, seed: int = 0) -> None:
        """Learn from labels of all arms, from scratch, in a random order of the seed.

        Each task is judged before it is folded; the second half of the tasks, in that order,
        sets the threshold of scope.
        """
        self.reset()
        order = keyed_rng(seed, "reasoning.fit").permutation(len(examples))
        candidates = Candidates.idle(examples.cards)
        inside: list[float] = []
        outside: list[float] = []
        slots = self.evidence.register(map(str, candidates.names), examples.embedding.shape[1])
        for t, i in enumerate(order):
            request = Request(examples.tasks[i], examples.embedding[i], candidates)
            reading = self.evidence.read(request, request.embedding)
            if 2 * t >= len(order) and not np.isnan(reading.scope):
                (outside if examples.abstain[i] else inside).append(reading.scope)
            if not examples.abstain[i]:
                self._fold_row(request, reading, examples.quality[i], slots)
        if len(inside) >= Scope.ENOUGH:
            self.scope.fixed = threshold(np.array(inside), np.array(outside))

    def _fold_row(
        self, request: Request, reading: Reading, quality: F64, slots: NDArray[np.int64]
    ) -> None:
        self.space.bind(request)
        seen = np.flatnonzero(~np.isnan(quality))
        self.trust.add(reading.phi[seen], quality[seen], 1.0 / max(1, len(seen)))
        x, task = request.embedding, request.task
        self.evidence.add_row(reading, x, task, slots[seen], quality[seen])

    def _out_of_scope(self, request: Request, reading: Reading) -> float:
        c = request.candidates
        if request.task.skills or request.task.agent is not None:
            return 0.0
        if request.task.features and reading.support.any():
            return 0.0  # tasks of this kind were given to agents before
        untold = np.isnan(self.scope.fixed) and self.scope.count < Scope.ENOUGH
        if untold and card_words(c.cards).alike > ALIKE:
            return 0.0
        return self.scope.out_of_scope(reading.scope)

    def explain(self, request: Request, opinion: Opinion) -> str:
        """One sentence on the best agent, made from its evidence alone."""
        c, best = request.candidates, int(opinion.quality.argmax())
        said = [
            f"{name} {part[best]:+.2f}"
            for name, part in opinion.parts.items()
            if abs(part[best]) >= 0.005
        ]
        words = self.words_for(request, opinion, best)
        about = f", words: {', '.join(words)}" if words else ""
        return f"{c.names[best]} {opinion.quality[best]:.2f} = {' '.join(said) or '0'}{about}"

    def words_for(self, request: Request, opinion: Opinion, i: int) -> list[str]:
        """Words of the prompt that speak for candidate ``i``: on its card, then learned."""
        c, r = request.candidates, opinion.reading
        on_card = card_words(c.cards).hits(r.words, int(c.rows[i]))[:3]
        slot = int(self.evidence.index.rows(c)[i])
        learned = self.evidence.strongest(r, slot)
        return list(dict.fromkeys([*on_card, *learned]))

    def state_dict(self) -> StateDict:
        """Everything learned."""
        meta = {"names": self.evidence.index.names, "count": self.evidence.count}
        arrays = self.evidence.arrays() | self.scope.arrays()
        arrays |= {f"trust.{k}": v for k, v in self.trust.arrays().items()}
        return StateDict(self.KIND, self.VERSION, meta | self.space.meta(), arrays)

    def load_state_dict(self, state: StateDict) -> None:
        """Continue from saved state.

        Raises:
            RouterStateError: another kind, version or set of terms.
        """
        if (state.kind, state.version) != (self.KIND, self.VERSION):
            raise RouterStateError(f"this is state of '{state.kind}' version {state.version}")
        if len(state.arrays["trust.weights"]) != len(W0):
            raise RouterStateError("this state weighs other terms than this release")
        self.reset()
        self.space.load(state.meta)
        self.evidence.load(state.meta["names"], state.meta["count"], state.arrays)
        self.trust.load({k: state.arrays[f"trust.{k}"] for k in ("A", "b", "weights")})
        self.scope.load(state.arrays)


def threshold(inside: F64, outside: F64, *, price: float = 20.0) -> float:
    """Where to refuse: the t that maximises P(outside < t) - ``price`` P(inside < t).

    ``inside`` and ``outside`` are evidence of tasks somebody and nobody should answer; without
    the latter, the lowest hundredth of ``inside``.
    """
    if not len(outside):
        return float(np.quantile(inside, 0.01))
    at = np.sort(outside)
    caught = np.arange(1, len(at) + 1) / len(at)
    lost = np.searchsorted(np.sort(inside), at, side="right") / len(inside)
    gain = caught - price * lost
    best = int(gain.argmax())
    return float(at[best] + 1e-9) if gain[best] > 0 else float(inside.min())
