"""Reason first, then name the agents: a chat model where there is one, evidence where not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import ValidationError

from agentroute.adapters.client import ChatClient, endpoint_configured
from agentroute.adapters.structured import Answer, ask_json, read_json
from agentroute.choosing.sets import CAP, DELTA, TAU_IN, agent_set
from agentroute.choosing.state import StateDict
from agentroute.errors import AgentRouteError, ConfigError
from agentroute.features.text import Embedder
from agentroute.model.arrays import F64
from agentroute.model.calls import UNSENT, Usage
from agentroute.model.candidates import Candidates, Examples, Request
from agentroute.model.cards import Pricing
from agentroute.model.outcomes import Observation
from agentroute.model.scores import Scores, Taxonomy
from agentroute.routers.parts.terms import total
from agentroute.routers.reasoning.prompt import ModelChoice, messages, shape
from agentroute.routers.reasoning.reasoner import OfflineReasoner, Opinion

TAU_SCOPE = 0.2
TRUST_MODEL = 0.7
CURIOSITY = 0.4
SHARE_OF_TIME = 0.5  # of what is left of a run: the agents need the rest
EVIDENCE_VERSION = 1


class ReasoningRouter:
    """TCAR (arXiv 2601.04544): reason, then a set of agents, or nobody.

    With an endpoint (``OPENAI_BASE_URL`` or ``OPENAI_API_KEY``; ``use_model`` False ignores it)
    a chat model reads the cards, the history and the task, and gives a reason and then ids out of
    the candidates. Of more than ``max_cards`` candidates it sees the best by the offline evidence
    (``recall@M`` of ``eval --sets`` says what that costs). Ids are checked, one repair turn is
    given, and when the model still does not help, the offline reasoner decides and the reason says
    so.

    Offline, E[quality] = phi' w over evidence from cards and past outcomes (``OfflineReasoner``).
    A model's pick of rank j (0 first) counts m = 1 - j / 10, everybody else 0, and the mean is
    0.7 m + 0.3 of the evidence. The model's reply is ``Scores.evidence``; a request that carries
    it as ``recorded`` is scored from it without a call.

    ``bonus`` = curiosity / sqrt(1 + m), m what was observed of the agent on tasks with the same
    features, and its decisions in flight.

    The model has at most half of what is left of a run's time, and is not asked where nothing is
    left of its budget; ``pricing``, as in a card, is what its calls are booked at.

    ``tau_in``, ``delta`` and ``max_agents`` bound ``choose_set``: one agent where one is clearly
    best, several where they overlap. ``reason`` False is the ablation without reasoning.

    With nothing observed the record alone speaks, 0.3 x 0.5; a model names agent1, then agent0:

    >>> from agentroute.testing.routers import World, score
    >>> world = World(agents=2)
    >>> request = Request(world.task(), np.zeros(64, np.float32), world.candidates())
    >>> evidence = score(ReasoningRouter(use_model=False), request).mean
    >>> m = _ranks(request.candidates, ModelChoice("", ("agent1", "agent0")))
    >>> evidence.round(3).tolist(), (0.7 * m + 0.3 * evidence).round(3).tolist()
    ([0.15, 0.15], [0.675, 0.745])
    """

    name = "reasoning"
    taxonomy = Taxonomy("before", ("task", "history", "card", "outcomes"), "generative")

    def __init__(
        self,
        *,
        embedder: Embedder | None = None,
        client: ChatClient | None = None,
        model: str | None = None,
        use_model: bool = True,
        reason: bool = True,
        max_agents: int = CAP,
        max_cards: int = 40,
        tau_in: float = TAU_IN,
        delta: float = DELTA,
        tau_scope: float = TAU_SCOPE,
        curiosity: float = CURIOSITY,
        timeout_s: float = 20.0,
        pricing: Pricing | Mapping[str, float] | None = None,
    ) -> None:
        if max_agents < 1 or max_cards < 1:
            raise ConfigError("max_agents and max_cards must be at least 1", field="router")
        self.client = client or ChatClient(
            model=model, timeout_s=timeout_s, temperature=0.0, pricing=_pricing(pricing)
        )
        self.use_model, self.reason, self.max_agents = use_model, reason, max_agents
        self.max_cards, self.tau_in, self.delta = max_cards, tau_in, delta
        self.curiosity = curiosity
        self.offline = OfflineReasoner(tau=tau_scope, embedder=embedder)

    async def score(self, request: Request) -> Scores:
        """See ``Router.score``. Terms: ``model`` (where one answered) and the kinds of evidence."""
        opinion = self.offline.judge(request)
        record = await self._record(request, opinion)
        if "reply" not in record:
            return self._by_evidence(request, opinion, record)
        form = shape(record["shown"], cap=self.max_agents, reason=record["reason"])
        choice = read_json(record["reply"], form.parse)
        return self._by_model(request, opinion, choice, record)

    def choose_set(self, scores: Scores) -> NDArray[np.int64]:
        """Positions of the agents to call, best first; empty where the task is out of scope.

        In scope there is always one: ``tau_in`` bounds who joins the best.
        """
        if scores.out_of_scope >= 0.5 or np.isnan(scores.mean).all():
            return np.empty(0, np.int64)
        tau = min(self.tau_in, float(np.nanmax(scores.mean)))
        return agent_set(scores.mean, tau_in=tau, delta=self.delta, cap=self.max_agents)

    def update(self, observation: Observation) -> None:
        """See ``Router.update``."""
        self.offline.learn(observation)

    def fit(self, examples: Examples, *, seed: int = 0) -> None:
        """See ``FittableRouter.fit``."""
        self.offline.fit(examples, seed=seed)

    def state_dict(self) -> StateDict:
        """See ``Router.state_dict``."""
        return self.offline.state_dict()

    def load_state_dict(self, state: StateDict) -> None:
        """See ``Router.load_state_dict``."""
        self.offline.load_state_dict(state)

    def prefilter(self, opinion: Opinion) -> NDArray[np.int64]:
        """Positions of the ``max_cards`` best candidates by evidence, best first."""
        return np.argsort(-opinion.quality, kind="stable")[: self.max_cards]

    @property
    def calls_model(self) -> bool:
        """Whether a request without a record is answered by a model: wanted, and there is one."""
        there = endpoint_configured(self.client.env) or self.client.base_url is not None
        return self.use_model and there

    # -- the model ---------------------------------------------------------------------------

    async def _record(self, request: Request, opinion: Opinion) -> dict[str, Any]:
        """What the model said, or why it said nothing: from the record, else by asking."""
        if request.recorded is not None:
            return read_evidence(request.recorded)
        if not self.use_model:
            return {"offline": "no model wanted"}
        if not self.calls_model:
            return {"offline": "no chat endpoint is configured"}
        if request.budget_usd is not None and request.budget_usd <= 0:
            return {"offline": "nothing is left of the budget for the model"}
        shown = self.prefilter(opinion)
        try:
            answer = await self._ask(request, shown)
        except AgentRouteError as e:
            said = {"offline": f"the model did not help ({type(e).__name__}: {e})"}
            spent = e.spent if isinstance(e.spent, Usage) and e.spent is not UNSENT else None
            return said if spent is None else said | {"usage": spent.model_dump()}
        names = [str(n) for n in request.candidates.names[shown]]
        return _as_record(answer, names, reason=self.reason)

    async def _ask(self, request: Request, shown: NDArray[np.int64]) -> Answer[ModelChoice]:
        c = request.candidates
        cards = [c.cards.cards[r] for r in c.rows[shown]]
        turns = messages(cards, request.task, cap=self.max_agents, reason=self.reason)
        wanted = shape([k.name for k in cards], cap=self.max_agents, reason=self.reason)
        own, left = self.client.timeout_s, request.patience_s
        wait_s = own if left is None else min(own, max(0.0, left * SHARE_OF_TIME))
        return await ask_json(self.client, turns, wanted, timeout_s=wait_s)

    # -- scores ------------------------------------------------------------------------------

    def _by_evidence(self, request: Request, opinion: Opinion, record: dict[str, Any]) -> Scores:
        why = f"{record['offline']}; offline evidence: {self.offline.explain(request, opinion)}"
        return self._scores(request, opinion.quality, opinion.parts, why, opinion, record)

    def _by_model(
        self, request: Request, opinion: Opinion, choice: ModelChoice, record: dict[str, Any]
    ) -> Scores:
        m = _ranks(request.candidates, choice)
        parts = {"model": TRUST_MODEL * m}
        parts |= {k: (1.0 - TRUST_MODEL) * v for k, v in opinion.parts.items()}
        q = TRUST_MODEL * m + (1.0 - TRUST_MODEL) * opinion.quality
        named = ", ".join(choice.agents) or "nobody"
        dropped = f"; not candidates: {', '.join(choice.dropped)}" if choice.dropped else ""
        unsaid = f"; not in the reason: {', '.join(choice.unsaid)}" if choice.unsaid else ""
        why = f"{record['model']}: {choice.reason or 'no reason asked'} -> {named}{dropped}{unsaid}"
        return self._scores(request, q, parts, why, opinion, record, nobody=not choice.agents)

    def _scores(
        self,
        request: Request,
        quality: F64,
        parts: dict[str, F64],
        why: str,
        opinion: Opinion,
        record: dict[str, Any],
        *,
        nobody: bool | None = None,
    ) -> Scores:
        c, goal = request.candidates, request.objective
        worth = goal.parts(quality, c.cost_usd, c.latency_s)
        terms = {name: goal.quality_share * part for name, part in parts.items()}
        terms |= {name: part for name, part in worth.items() if name != "quality"}
        oos = opinion.out_of_scope if nobody is None else float(nobody)
        width = 1.0 / np.sqrt(1.0 + opinion.reading.support + c.inflight)
        bonus = goal.quality_share * self.curiosity * width
        evidence = orjson.dumps(record)
        usage = model_usage(evidence) if request.recorded is None else None
        return Scores(total(worth), bonus, terms, why, oos, evidence, usage)


def read_evidence(recorded: bytes) -> dict[str, Any]:
    """The record in ``Scores.evidence``: ``reply, shown, reason, model, mode, turns, usage``, or
    ``offline`` with the reason that no model answered.

    Raises:
        ConfigError: not written by this router.
    """
    try:
        record = orjson.loads(recorded)
    except orjson.JSONDecodeError:
        record = None
    if not isinstance(record, dict) or not ({"reply", "offline"} & record.keys()):
        raise ConfigError("the recorded evidence is not of the reasoning router")
    return record


def model_usage(evidence: bytes | None) -> Usage | None:
    """What the model's turns behind ``Scores.evidence`` used; None where no model answered."""
    record = {} if evidence is None else read_evidence(evidence)
    return Usage(**record["usage"]) if "usage" in record else None


def _pricing(given: Pricing | Mapping[str, float] | None) -> Pricing:
    try:
        return Pricing.model_validate(given or {})
    except ValidationError as e:
        raise ConfigError(e.errors()[0]["msg"], field="router.pricing") from None


def _as_record(answer: Answer[ModelChoice], shown: list[str], *, reason: bool) -> dict[str, Any]:
    return {
        "v": EVIDENCE_VERSION,
        "reply": answer.text,
        "shown": shown,
        "reason": reason,
        "model": answer.model,
        "mode": answer.mode,
        "turns": answer.turns,
        "usage": answer.usage.model_dump(),
    }


def _ranks(candidates: Candidates, choice: ModelChoice) -> F64:
    """(n,) 1 for the model's first agent, 0.9 for its second, ...; 0 for the rest."""
    m = np.zeros(len(candidates))
    for j, agent in enumerate(choice.agents):  # at most ``max_agents``, never all
        m[candidates.names == agent] = 1.0 - j / 10.0
    return m
