"""The knowledge-graph router: expected means, corrected by messages over a typed graph.

AgentRouter (arXiv 2510.05445) with the recipe of its sibling NG-Router (arXiv 2510.09854), changed
so that a new agent needs no retraining and the score is an expected quality:

    f_hat_a(q) = expected_a(q) + profile_a(q) + gamma z_a(q) + delta_a
    p(a | q)   = softmax(c f_hat / tau), what is trained

``expected`` are shrunken means of recorded outcomes, ``profile`` a ridge on the embedding, z the
graph network, gamma how far held-out rows trust it, delta what live feedback corrects. PyTorch
Geometric trains, NumPy serves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from agentroute.choosing.state import StateDict
from agentroute.errors import NotFittedError, RouterStateError
from agentroute.features.entities import find_mentions
from agentroute.features.text import make_embedder
from agentroute.model.arrays import F64, Embedder
from agentroute.model.candidates import CardSet, Examples, Request
from agentroute.model.objective import Objective
from agentroute.model.outcomes import Observation
from agentroute.model.scores import Scores, Taxonomy
from agentroute.routers.gnn.arrays import graph_arrays, uses_mentions
from agentroute.routers.gnn.fitted import (
    KIND,
    VERSION,
    Fitted,
    TrainConfig,
    from_state,
    make_config,
    to_state,
)
from agentroute.routers.gnn.serve import Served, influence, prepare, score_parts
from agentroute.routers.gnn.training.fitting import fit_network
from agentroute.routers.gnn.training.loop import Epoch

KAPPA = 50.0
CARD_SETS = 4


EDGES = ("history_of", "covered_by")  # from an entity to an agent, as ``Served.handles`` has them


class Influence(NamedTuple):
    """An entity behind a score: ``amount`` of quality that its edges add to the agent's score.

    ``edges`` are those from the entity to the agent itself: ``history_of``, ``covered_by``.
    """

    entity: str
    amount: float
    edges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Ready:
    """One card set, ready to serve. ``known`` (n,) columns in training, the last one for others.

    ``shift`` (n,) what a card's own prior says of an agent that has no outcomes yet; ``trust``
    (n,) the factor of z; ``delta`` (n,) what feedback says, kept up to date by ``update``.
    """

    served: Served
    known: np.ndarray[tuple[int], np.dtype[np.int64]]
    shift: F64
    trust: F64
    delta: F64
    index: Mapping[str, int]

    def set_delta(self, agent: str, delta: float) -> None:
        """What feedback says of an agent now; nothing if it is not in this card set."""
        if agent in self.index:
            self.delta[self.index[agent]] = delta


class GNNRouter:
    """Scores agents over a typed knowledge graph. Fit it once; it serves without torch.

    Live feedback moves one number an agent, delta_a = S_a / (n_a + 50): the mean of (quality -
    what was expected), shrunken to 0. The network itself learns offline only (``fit``).

    Ten tasks, qualities 1 and 0, shrunken to their average 0.5 by kappa = 10:

    >>> from agentroute.routers.gnn.means import ShrunkenMeans
    >>> from agentroute.testing import World
    >>> tasks = [World().task(features=False)] * 10
    >>> expected = ShrunkenMeans.learn(tasks, np.tile([1.0, 0.0], (10, 1))).overall()
    >>> expected.tolist()
    [0.75, 0.25]

    Args:
        embedder: turns entities into vectors when fitting; the default embedder if None.
        config: how to train: a ``TrainConfig``, or its fields by name (as in YAML).
    """

    name = KIND
    taxonomy = Taxonomy("before", ("text", "features", "card", "outcomes"), "supervised")

    def __init__(
        self,
        embedder: Embedder | None = None,
        *,
        config: TrainConfig | Mapping[str, Any] | None = None,
    ) -> None:
        self.embedder, self.config = embedder, make_config(config)
        self.fitted: Fitted | None = None
        self._feedback: dict[str, list[float]] = {}
        self._cache: dict[str, _Ready] = {}

    @property
    def is_fitted(self) -> bool:
        """Whether there is a network to score with."""
        return self.fitted is not None

    def fit(
        self,
        examples: Examples,
        *,
        seed: int = 0,
        progress: Callable[[Epoch], None] | None = None,
    ) -> None:
        """Trains from scratch; deterministic for a seed. Errors: see ``fitting.fit_network``."""
        embedder = self.embedder or make_embedder()
        self.fitted = fit_network(
            examples, embedder, seed=seed, config=self.config, progress=progress
        )
        self._feedback, self._cache = {}, {}

    async def score(self, request: Request) -> Scores:
        """See ``Router.score``. Terms: expected, profile, graph, history, card, feedback, clip,
        and the objective's cost and latency.
        """
        fitted = self._need_fitted()
        quality, entities = self._quality_terms(fitted, request)
        f_hat = np.sum(list(quality.values()), axis=0)
        q = np.clip(f_hat, 0.0, 1.0)
        quality["clip"] = q - f_hat
        terms = _under(request.objective, quality, request)
        mean = np.clip(np.sum(list(terms.values()), axis=0), 0.0, 1.0)
        reason = self._reason(fitted, request, int(np.argmax(mean)), entities)
        return Scores(
            mean, np.zeros(len(mean)), terms, reason, _out_of_scope(fitted.scope, float(q.max()))
        )

    def explain(self, request: Request, agent: str, top: int = 5) -> list[Influence]:
        """The entities that move an agent's score most, to first order; largest amount first.

        NG-Router takes the norm of the gradient at an entity's input; here the gradient is
        multiplied with the message, so that an amount has a sign and a unit (quality).
        """
        fitted = self._need_fitted()
        position = request.candidates.names.tolist().index(agent)
        entities = self._entities(fitted, request)
        return self._influences(fitted, request, position, entities)[:top]

    def fit_report(self) -> dict[str, Any]:
        """What the fit found, as JSON: sizes, features, trust, held-out metrics, configuration."""
        fitted = self._need_fitted()
        return {
            "features": sorted({c.partition("=")[0] for c in fitted.means.cells if "\n" not in c}),
            "entities": len(fitted.knowledge.vocabulary),
            "parameters": int(sum(a.size for a in fitted.weights.values())),
            "config": asdict(fitted.config),
            "trust": fitted.trust,
            "trust_new": fitted.trust_new,
            "metrics": fitted.metrics,
        }

    def update(self, observation: Observation) -> None:
        """Moves the agent's delta by one judged result; without a fit there is nothing to move."""
        if observation.quality is None or self.fitted is None:
            return
        names = observation.request.candidates.names.tolist()
        if observation.agent not in names:
            return
        terms, _ = self._quality_terms(self.fitted, observation.request)
        at = names.index(observation.agent)
        expected = sum(float(v[at]) for k, v in terms.items() if k != "feedback")
        seen = self._feedback.setdefault(observation.agent, [0.0, 0.0])
        seen[0] += observation.weight * (observation.quality - min(max(expected, 0.0), 1.0))
        seen[1] += observation.weight
        for ready in self._cache.values():
            ready.set_delta(observation.agent, self._delta(observation.agent))

    def state_dict(self) -> StateDict:
        """Weights, graph and means; the feedback sums; nothing of the card sets served."""
        base = StateDict(KIND, VERSION) if self.fitted is None else to_state(self.fitted)
        agents = sorted(self._feedback)
        sums = np.array([self._feedback[a] for a in agents], np.float64).reshape(-1, 2)
        meta = base.meta | {"feedback": agents}
        return StateDict(KIND, VERSION, meta, base.arrays | {"feedback": sums})

    def load_state_dict(self, state: StateDict) -> None:
        """Continue from saved state.

        Raises:
            RouterStateError: another kind or version, or arrays that do not fit together.
        """
        if (state.kind, state.version) != (KIND, VERSION):
            raise RouterStateError(
                f"state of '{state.kind}' version {state.version} does not fit "
                f"the router '{KIND}' version {VERSION}",
                hint="agentroute state ls shows what there is",
            )
        meta = state.meta.get("fitted")
        fitted = None if meta is None else from_state(meta, state.arrays)
        sums, agents = state.arrays.get("feedback"), state.meta.get("feedback")
        if sums is None or agents is None or sums.shape != (len(agents), 2):
            raise RouterStateError("the saved feedback of the router 'gnn' is not whole")
        self.fitted, self._cache = fitted, {}
        self._feedback = {a: [float(x) for x in row] for a, row in zip(agents, sums, strict=True)}

    def _need_fitted(self) -> Fitted:
        if self.fitted is None:
            raise NotFittedError(
                "the router 'gnn' has not been trained", hint="agentroute train gnn TABLE"
            )
        return self.fitted

    def _ready(self, fitted: Fitted, cards: CardSet) -> _Ready:
        """Layer 1 and all that does not depend on the task; kept for the last few card sets."""
        if cards.embedder_id != fitted.embedder_id:
            raise RouterStateError(
                f"the router 'gnn' was trained on embeddings of '{fitted.embedder_id}', "
                f"these cards are embedded by '{cards.embedder_id}'"
            )
        ready = self._cache.get(cards.sha256)
        if ready is None:
            graph = graph_arrays(fitted.knowledge, cards, fitted.config.variant)
            new = graph.known == len(fitted.knowledge.agents)
            priors = np.array([c.prior_quality for c in cards.cards])
            ready = _Ready(
                prepare(fitted.weights, graph), graph.known, new * (priors - fitted.prior),
                np.where(new, fitted.trust_new, fitted.trust),
                np.array([self._delta(str(a)) for a in cards.names]), cards.index,
            )  # fmt: skip
            while len(self._cache) >= CARD_SETS:
                self._cache.pop(next(iter(self._cache)))
            self._cache[cards.sha256] = ready
        return ready

    def _entities(self, fitted: Fitted, request: Request) -> list[int]:
        if not uses_mentions(fitted.config.variant):
            return []
        return fitted.knowledge.vocabulary.rows(find_mentions(request.task))

    def _quality_terms(self, fitted: Fitted, request: Request) -> tuple[dict[str, F64], list[int]]:
        """The parts of f_hat, each (n,), and the rows of the entities mentioned."""
        ready, rows = self._ready(fitted, request.candidates.cards), request.candidates.rows
        entities = self._entities(fitted, request)
        parts = score_parts(ready.served, request.embedding, entities)
        expected = fitted.means.expected(request.task)
        expected = np.append(expected, expected.mean())[ready.known] + ready.shift
        profile = request.embedding @ fitted.profile.weight
        profile = np.append(profile, profile.mean())[ready.known]
        terms = {"expected": expected[rows], "profile": profile[rows].astype(np.float64)}
        for name, part in parts._asdict().items():
            terms[name] = (ready.trust * part)[rows]
        terms["feedback"] = ready.delta[rows]
        return terms, entities

    def _delta(self, agent: str) -> float:
        s, n = self._feedback.get(agent, (0.0, 0.0))
        return s / (n + KAPPA)

    def _influences(
        self, fitted: Fitted, request: Request, position: int, entities: list[int]
    ) -> list[Influence]:
        ready = self._ready(fitted, request.candidates.cards)
        row = int(request.candidates.rows[position])
        amounts = ready.trust[row] * influence(ready.served, request.embedding, entities, row)
        order = np.argsort(-np.abs(amounts), kind="stable")
        keys = fitted.knowledge.vocabulary.keys
        ties = ready.served.handles[entities, :, row] != 0  # (m, 2): history, covered
        return [
            Influence(
                keys[entities[i]],
                float(amounts[i]),
                tuple(name for name, tie in zip(EDGES, ties[i], strict=True) if tie),
            )
            for i in order
        ]

    def _reason(self, fitted: Fitted, request: Request, best: int, entities: list[int]) -> str:
        agent = request.candidates.names[best]
        top = self._influences(fitted, request, best, entities)[:3]
        because = ", ".join(
            f"{i.entity} {i.amount:+.3f} ({', '.join(i.edges) or 'through others'})" for i in top
        )
        because = because or "no known entity"
        return f"graph: {agent} by {because}"


def _under(objective: Objective, quality: dict[str, F64], request: Request) -> dict[str, F64]:
    """Quality terms weighted by the objective, beside its cost and latency terms."""
    c = request.candidates
    parts = objective.parts(np.zeros(len(c)), c.cost_usd, c.latency_s)
    share = objective.quality / (objective.quality + objective.cost + objective.latency)
    del parts["quality"]
    return {k: share * v for k, v in quality.items()} | parts


def _out_of_scope(scope: tuple[float, float] | None, best: float) -> float:
    if scope is None:
        return 0.0
    return float(1.0 / (1.0 + np.exp(-np.clip(scope[0] * best + scope[1], -30.0, 30.0))))
