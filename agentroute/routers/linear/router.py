"""The supervised router: for users who have labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.choosing.prior import CardPrior
from agentroute.choosing.state import StateDict
from agentroute.errors import ConfigError, MissingExtraError, NotFittedError, RouterStateError
from agentroute.model.arrays import F64
from agentroute.model.candidates import CardSet, Examples, Request
from agentroute.model.outcomes import Observation
from agentroute.model.scores import Scores, Taxonomy
from agentroute.routers.linear.classes.classhead import ClassHead
from agentroute.routers.linear.corrections import Corrections
from agentroute.routers.linear.scope import ScopeModel
from agentroute.routers.linear.scorehead import ScoreHead, has_labels
from agentroute.routers.linear.threshold import out_of_scope
from agentroute.routers.linear.zeroshot import spoken
from agentroute.routers.parts.binding import Space, check_kind
from agentroute.routers.parts.index import ArmIndex
from agentroute.routers.parts.lessons import mostly_known
from agentroute.routers.parts.terms import total

NEWCOMER = 0.25  # how much of the card's prior counts for an agent without labels
VERSION = 2  # of the state
RARE = 0.2  # share of agents that are good at a task, up to which tasks belong to agents


class LinearRouter:
    """Fitted on labelled outcomes; served by NumPy from exported arrays.

    Where a task belongs to one agent of many (at most a fifth of the agents score at all on the
    median row, and prompts have text) it is a classifier, ``ClassHead``; elsewhere it predicts
    each agent's quality, ``ScoreHead``. Agents without labels are scored by their card. Folded
    outcomes move an agent by its shrunken residual, ``Corrections`` (kappa ``trust`` rows).
    ``out_of_scope`` is 0.5 at the threshold learned from rows marked abstain, 0 without such.

    Five residuals of 0.5 against kappa = 20 move an agent by 2.5 / 25:

    >>> from agentroute.testing import World
    >>> corrections = Corrections(20.0)
    >>> for _ in range(5):
    ...     corrections.add("agent0", 0.5, 1.0)
    >>> corrections.of(World(agents=2).candidates()).tolist()
    [0.1, 0.0]
    """

    name = "linear"
    taxonomy = Taxonomy("before", ("task", "labels", "cards"), "supervised")

    def __init__(self, *, trust: float = 20.0) -> None:
        if trust <= 0:
            raise ConfigError(f"trust is {trust}", field="trust", hint="rows, above 0")
        self.corrections = Corrections(trust)
        self.prior = CardPrior()
        self._clear()

    @property
    def is_fitted(self) -> bool:
        """Whether there is a head to score with."""
        return self.head is not None

    def _clear(self) -> None:
        self.space = Space()
        self.arms = ArmIndex()
        self.head: ClassHead | ScoreHead | None = None
        self.scope = ScopeModel()
        self.corrections.clear()

    def fit(self, examples: Examples, *, seed: int = 0) -> None:
        """Learn from labels; forgets what was there.

        Raises:
            MissingExtraError: a classifier is to be trained and scikit-learn is not installed.
            ConfigError: no row has a label.
        """
        rows = has_labels(examples)
        if not rows.any():
            raise ConfigError("no row has an observed quality", hint="fit needs labels")
        self._clear()
        self.space.bind_to(examples.cards.embedder_id, examples.embedding.shape[1])
        if belongs(examples):
            self._fit_classes(examples, seed)
        else:
            self._fit_scores(examples, rows, seed)

    def _fit_classes(self, examples: Examples, seed: int) -> None:
        try:
            import sklearn  # noqa: F401
        except ImportError:
            raise MissingExtraError("fit", needed_for="fitting the router 'linear'") from None
        known = np.flatnonzero((np.nan_to_num(examples.quality) > 0).any(axis=0))
        self.arms = ArmIndex(examples.cards.names[known])
        self.head = ClassHead()
        self.head.fit(examples, known, seed=seed)

    def _fit_scores(self, examples: Examples, rows: NDArray[np.bool_], seed: int) -> None:
        known = np.flatnonzero((~np.isnan(examples.quality[rows])).any(axis=0))
        self.arms = ArmIndex(examples.cards.names[known])
        use = np.flatnonzero(rows)
        tasks = [examples.tasks[i] for i in use]
        self.head = ScoreHead()
        quality = examples.quality[np.ix_(use, known)]
        weight = None if examples.weight is None else examples.weight[np.ix_(use, known)]
        guess = self.head.fit(tasks, examples.embedding[use], quality, weight, seed=seed)
        earned = np.zeros(len(examples))
        earned[use] = np.nan_to_num(quality)[np.arange(len(use)), guess.argmax(axis=1)]
        self.scope.fit(examples, earned)

    async def score(self, request: Request) -> Scores:
        """See ``Router.score``. Terms: features, text, level, card, learned, clip, cost, latency.

        Raises:
            NotFittedError: before ``fit``.
        """
        parts, scope = self._quality(request)
        c = request.candidates
        raw = np.asarray(sum(parts.values()))
        learned = self.corrections.of(c)
        q = np.clip(raw + learned, 0.0, 1.0)
        share = request.objective.quality_share
        parts |= {"learned": learned, "clip": q - raw - learned}
        whole = request.objective.parts(q, c.cost_usd, c.latency_s)
        terms = {name: share * part for name, part in parts.items()}
        terms |= {name: part for name, part in whole.items() if name != "quality"}
        return Scores(total(whole), np.zeros(len(c)), terms, self._reason(), out_of_scope=scope)

    def _quality(self, request: Request) -> tuple[dict[str, F64], float]:
        """Terms of the quality (n,) before corrections, and out of scope."""
        self.space.check(request)
        rows = self.arms.rows(request.candidates) - 1
        if isinstance(self.head, ClassHead):
            return self._class_quality(self.head, request, rows)
        if isinstance(self.head, ScoreHead):
            return self._score_quality(self.head, request, rows)
        raise NotFittedError(
            "the router 'linear' was asked before it was fitted",
            hint="agentroute train linear TABLE",
        )

    def _class_quality(
        self, head: ClassHead, request: Request, rows: NDArray[np.int64]
    ) -> tuple[dict[str, F64], float]:
        c = request.candidates
        said = [] if (rows >= 0).all() else self._said(request)
        s = head.predict(request.task.prompt, request.embedding, c.embedding, rows, said)
        return {"text": s.text, "card": s.card}, out_of_scope(s.confidence, head.threshold)

    def _score_quality(
        self, head: ScoreHead, request: Request, rows: NDArray[np.int64]
    ) -> tuple[dict[str, F64], float]:
        mean, text, level = head.predict(request.task, request.embedding)
        old = rows >= 0
        parts = {
            "features": np.where(old, mean[rows], mean.mean()),
            "text": np.where(old, text[rows], 0.0),
            "level": np.full(len(rows), level[0]),
        }
        if not old.all():
            prior = request.candidates.prior - 0.5 + self.prior.shift(request)
            parts["card"] = np.where(old, 0.0, NEWCOMER * prior)
        return parts, self.scope.out_of_scope(request.task, request.embedding)

    def _said(self, request: Request) -> list[frozenset[str]]:
        """The content words of each candidate's card."""
        words = request.candidates.cards.derived("linear.spoken", _spoken)
        return [words[i] for i in request.candidates.rows]

    def _reason(self) -> str:
        if isinstance(self.head, ClassHead):
            return "a classifier"
        spoken = isinstance(self.head, ScoreHead) and bool(self.head.texts)
        return "means by feature, and text" if spoken else "means by feature"

    def update(self, observation: Observation) -> None:
        """Fold the residual of one outcome into its agent's correction.

        Raises:
            NotFittedError: before ``fit``.
        """
        if observation.quality is None:
            return
        request = observation.request
        parts, _ = self._quality(request)
        at = np.flatnonzero(request.candidates.names == observation.agent)
        if len(at):
            guess = float(np.clip(sum(p[at[0]] for p in parts.values()), 0.0, 1.0))
            residual = observation.quality - guess
            self.corrections.add(observation.agent, residual, observation.weight)

    def state_dict(self) -> StateDict:
        """The head's arrays, the corrections, and the embedder's id."""
        kind = ""
        meta: dict[str, Any] = {}
        arrays: dict[str, NDArray[Any]] = {}
        if self.head is not None:
            kind = "classes" if isinstance(self.head, ClassHead) else "scores"
            meta, arrays = self.head.state()
        out: dict[str, Any] = {
            "space": self.space.meta(),
            "arms": self.arms.names,
            "head": kind,
            "fitted": meta,
            "scope": self.scope.meta(),
            "corrections": self.corrections.meta(),
        }
        return StateDict(
            self.name, VERSION, out, {**arrays, **self.scope.arrays(), **self.corrections.arrays()}
        )

    def load_state_dict(self, state: StateDict) -> None:
        """See ``Router.load_state_dict``."""
        check_kind(state, self.name, VERSION)
        self._clear()
        meta = state.meta
        try:
            self.space.load(meta["space"])
            self.arms = ArmIndex(meta["arms"])
            if meta["head"]:
                self.head = ClassHead() if meta["head"] == "classes" else ScoreHead()
                self.head.load(meta["fitted"], state.arrays)
            self.scope.load(meta["scope"], state.arrays)
            self.corrections.load(meta["corrections"], state.arrays)
        except KeyError as e:
            raise RouterStateError(f"the state of 'linear' lacks {e}") from None


def belongs(examples: Examples) -> bool:
    """Whether tasks belong to agents: few of many score on the median row, and there is text.

    That can be seen only where most outcomes are known.
    """
    if not mostly_known(examples):
        return False
    q = np.nan_to_num(examples.quality[has_labels(examples)])
    n = q.shape[1]
    good = float(np.median((q > 0).sum(axis=1)))
    return bool(n >= 5 and good <= max(1.0, RARE * n) and examples.embedding.any())


def _spoken(cards: CardSet) -> list[frozenset[str]]:
    return [spoken(c.text()) for c in cards.cards]
