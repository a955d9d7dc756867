"""A card's similarity that learns: each agent's prototype moves to the tasks it did well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentroute.choosing.prior import CardPrior, serving_cosines, squashed
from agentroute.features.vectors import silent
from agentroute.model.arrays import F32, F64, Embedder
from agentroute.model.candidates import CardSet, Request
from agentroute.routers.linucb.priors.facets import Facets
from agentroute.routers.linucb.priors.lexicon import Facing, Lexicon
from agentroute.routers.linucb.priors.sayings import CardWords, Examples
from agentroute.routers.linucb.priors.scope import Scope
from agentroute.routers.parts.index import ArmIndex

CARD, START, SPREAD, SETS = 2.0, 500.0, 0.02, 4
NOTHING = 1e-6  # a cosine that says nothing: of an empty card, or rounding of 0
DOUBT, FAILURE = 1.0, 0.1
WORDS, SHARE = 0.3, 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Of one candidate: its cosine, its share of words, and how its words face the text's."""

    cos: float
    shares: float
    facing: Facing | None


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What card and successes say of n candidates: expected quality ``mean`` and ``fit`` (n,).

    ``fit`` = cos' + ``SHARE`` times the share of words is how near the prompt is to them, whatever
    their quality, None where the prompt says nothing; ``words`` is as of ``Lexicon``, or None.
    """

    mean: F64
    fit: F64 | None = None
    words: F64 | None = None
    seen: Seen | None = None
    """Of an only candidate, in float64: what was looked up for it."""


class Prototypes:
    """m = squashed(prior quality + delta + s (cos(e, p_a) - centre) + t words), in (0, 1).

    p_a = 2 card + P_a.
    Rocchio's rule (1971): ``P`` (S, e) float64 sums, for each arm, w max(0, 2 r - 1) e over its
    rows: a task counts as far as its quality beats a coin. The cosine is lifted towards the
    arm's nearest facet, a cluster of such tasks (see ``Facets``). ``words`` is how much likelier
    the prompt's words are among those of the arm's successes (see ``Lexicon``). ``delta``,
    ``s`` >= 0 and ``t`` >= 0 are a ridge of quality on both over the rows of all agents, ``G``
    (3, 3) and ``g`` (3,), which starts as if ``START`` rows of similarity variance ``SPREAD`` had
    said (0, slope, 0). So nobody has to tune the prior to an embedder, and before the first row
    it is the ``CardPrior``. An empty text says nothing and teaches nothing here.

    A prototype is a guess until successes have moved it: ``proof`` (S,) counts them, a failure,
    which says where an agent is not, as ``FAILURE`` of one (the last row, 0, stands for arms
    beyond). Its variance, in units of a squared
    width, is ``DOUBT`` / (1 + proof). Without it an agent whose card misleads is never tried on
    the tasks it is for, since each of its tries elsewhere fails and narrows its ridge.
    """

    def __init__(
        self, prior: CardPrior, *, fixed: bool = False, embedder: Embedder | None = None
    ) -> None:
        self.examples, self.scope = Examples(embedder), Scope()
        self.prior, self.fixed = prior, fixed or not prior.slope
        self.P: F64 = np.zeros((1, 0))
        self.facets, self.lexicon, self.proof = Facets(), Lexicon(), np.zeros(1)
        self.G = START * np.diag([1.0, SPREAD, SPREAD])
        self.g = self.G @ np.array([0.0, prior.slope, 0.0])
        self._serving: dict[str, F32] = {}
        self._calibrate()

    # -- serving -----------------------------------------------------------------------------

    def read(self, request: Request, arms: ArmIndex, cosines: F64 | None = None) -> Reading:
        """Expected quality in (0, 1) by card, prototype and similarity, and how near it all is.

        ``cosines`` (N,) of the text with ``serving(cards)``, where somebody has them already.
        """
        if self.fixed or silent(request.embedding):
            return Reading(self.prior.mean(request))
        c, e = request.candidates, request.embedding
        if cosines is None:
            cos = serving_cosines(self.serving(c.cards, arms), c.rows, e)
        else:
            cos = cosines.take(c.rows)
        cos += self.examples.lift(request, cos)
        cos += self.facets.lift(cos, arms.rows(c), e)
        shares = CardWords.of(c.cards).shares(request.task.prompt, c.rows)
        words = self.lexicon.ratios(request, arms) if self.t else None
        return Reading(self._quality(c.prior, shares, cos, words), cos + SHARE * shares, words)

    def own(self, one: Request, row: int) -> Reading:
        """The same of a request's only candidate, arm ``row``, in float64: what is learned from.

        It reads no cache of what was learned, so it depends on folded rows alone.
        """
        if self.fixed or silent(one.embedding):
            return Reading(self.prior.mean(one))
        seen = self._seen(one, row)
        words = np.array([self.lexicon.ratio(seen.facing)]) if self.t else None
        cos, shares = np.array([seen.cos]), np.array([seen.shares])
        mean = self._quality(one.candidates.prior, shares, cos, words)
        return Reading(mean, cos + SHARE * shares, seen=seen)

    def _seen(self, one: Request, row: int) -> Seen:
        shares = float(self._shares(one)[0])
        return Seen(self._cosine(one, row), shares, self.lexicon.facing(one, row))

    def out_of_scope(
        self, request: Request, read: Reading, rows: NDArray[np.int64], quality: F64
    ) -> float:
        """See ``Scope.out_of_scope``; 0 where the prompt says nothing."""
        if read.fit is None:
            return 0.0
        proof = self.proven(rows)
        return self.scope.out_of_scope(request, read.fit, read.words, quality, proof)

    def proven(self, rows: NDArray[np.int64]) -> F64:
        """(n,) counted successes of the arms ``rows`` (n,)."""
        return self.proof.take(rows, mode="clip")

    def doubt(self, request: Request, rows: NDArray[np.int64]) -> F64:
        """(n,) variance of the prototypes of the arms ``rows`` (n,), as a squared width."""
        if self.fixed or silent(request.embedding):
            return np.zeros(len(rows))
        return DOUBT / (1.0 + self.proven(rows))

    def _quality(self, prior: F64, shares: F64, cos: F64, words: F64 | None) -> F64:
        shift = self.slope * cos
        shift += self.delta - self.slope * self.prior.centre
        if words is not None:
            shift += self.t * words
        shift += self._weight() * shares
        known = np.abs(cos) > NOTHING
        if not known.all():
            shift *= known
        return squashed(prior + shift)

    def _weight(self) -> float:
        """Of the words of cards: it fades as rows come in, which say what words are worth."""
        return float(WORDS * START / self.G[0, 0])

    def _shares(self, one: Request) -> F64:
        c = one.candidates
        return CardWords.of(c.cards).shares(one.task.prompt, c.rows)

    # -- learning ----------------------------------------------------------------------------

    def fold(
        self, one: Request, row: int, quality: float, weight: float, seen: Seen | None = None
    ) -> None:
        """One observation of arm ``row``, a request's only candidate: O(M e).

        ``seen`` is what ``own`` looked up, where nothing of the arm has changed since.
        """
        if self.fixed or silent(one.embedding):
            return
        self._reach(row, len(one.embedding))
        seen = seen or self._seen(one, row)
        cos, shares, facing = seen.cos, seen.shares, seen.facing
        self.lexicon.read(one, row, weight)
        if abs(cos) > NOTHING:
            facing = facing or self.lexicon.facing(one, row)  # of the first text there is none yet
            u = np.array([1.0, cos - self.prior.centre, self.lexicon.ratio(facing)])
            self.G += weight * np.outer(u, u)
            said = float(one.candidates.prior[0]) + self._weight() * shares
            self.g += weight * (quality - said) * u
            self._calibrate()
        good = max(0.0, 2.0 * quality - 1.0)
        self.proof[row] += weight * (good + FAILURE * (1.0 - good))
        if weight * good > 0.0:
            self.scope.fold(cos + SHARE * shares, weight * good)
            self.P[row] += weight * good * one.embedding
            self.facets.fold(row, one.embedding.astype(np.float64), weight * good)
            self.lexicon.fold(one, row, weight * good)
        self._refresh(one, row)

    def reset(self, row: int) -> None:
        """Forget an arm's prototype, not its proof: who has changed is no newcomer to be tried."""
        if row < len(self.P):
            self.P[row] = 0.0
            self.facets.reset(row)
            self.lexicon.reset(row)
            self._serving.clear()

    # -- saving ------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything, for a state."""
        own = {name: getattr(self, name).copy() for name in ("P", "G", "g", "proof")}
        own["successes"] = self.scope.sums.copy()
        return own | self.facets.arrays() | self.lexicon.arrays()

    def load(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Continue from ``arrays``."""
        for name in ("P", "G", "g", "proof"):
            setattr(self, name, np.array(arrays[name], np.float64))
        self.scope.sums = np.array(arrays["successes"], np.float64)
        self.facets.load(arrays)
        self.lexicon.load(arrays)
        self._serving.clear()
        self._calibrate()

    # -- inside ------------------------------------------------------------------------------

    def _calibrate(self) -> None:
        """Least squares with s and t not negative: the one that would be is left out."""
        said = np.linalg.solve(self.G, self.g)
        if min(said[1:]) < 0.0:
            said = _solve(self.G, self.g, [0, 1] if said[1] > said[2] else [0, 2])
        if min(said[1:]) < 0.0:
            said = _solve(self.G, self.g, [0])
        self.delta, self.slope, self.t = map(float, said)

    def _reach(self, row: int, e: int) -> None:
        if row >= len(self.P) - 1 or not self.P.shape[1]:
            grown = np.zeros((max(row + 2, 2 * len(self.P)), e))
            if self.P.shape[1]:
                grown[: len(self.P)] = self.P
            self.proof = np.append(self.proof, np.zeros(len(grown) - len(self.proof)))
            self.P = grown

    def _cosine(self, one: Request, row: int) -> float:
        p, e = CARD * one.candidates.embedding.astype(np.float64), one.embedding.astype(np.float64)
        if row < len(self.P) and self.P.shape[1]:
            p = p + self.P[row]
        cos = float(_unit(p)[0] @ e)
        cos += float(self.examples.lift(one, np.array([cos]))[0])
        return cos + self.facets.own_lift(cos, row, e)

    def serving(self, cards: CardSet, arms: ArmIndex) -> F32:
        """Unit prototypes (N, e) float32 of a card set: derived, kept for the last few sets."""
        matrix = self._serving.get(cards.sha256)
        if matrix is None:
            slots = arms.slots(cards)
            p = CARD * cards.embedding.astype(np.float64)
            if self.P.shape[1]:
                p += self.P[np.where(slots < len(self.P), slots, 0)]
            if len(self._serving) >= SETS:
                self._serving.clear()
            matrix = self._serving[cards.sha256] = _unit(p).astype(np.float32)
        return matrix

    def _refresh(self, one: Request, row: int) -> None:
        c = one.candidates
        mine = self._serving.get(c.cards.sha256)
        self._serving = {} if mine is None else {c.cards.sha256: mine}
        at = int(c.rows[0])
        if mine is not None and at >= 0:
            p = CARD * c.cards.embedding[at : at + 1].astype(np.float64) + self.P[row]
            mine[at] = _unit(p)[0]


def _solve(gram: F64, g: F64, use: list[int]) -> F64:
    """The least squares solution (3,) over the columns ``use``, 0 for the others."""
    out = np.zeros(len(g))
    out[use] = np.linalg.solve(gram[np.ix_(use, use)], g[use])
    return out


def _unit(p: F64) -> F64:
    """Rows scaled to length 1; rows of zeros stay zeros."""
    length = np.sqrt((p * p).sum(axis=1, keepdims=True))
    unit: F64 = np.divide(p, length, out=np.zeros_like(p), where=length > 0.0)
    return unit
