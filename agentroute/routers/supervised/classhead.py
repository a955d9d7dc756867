"""The head for tasks that belong to one agent: a classifier over text, with room for newcomers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.model.scores import F32, F64, Examples
from agentroute.routers.supervised.margins import add_margins
from agentroute.routers.supervised.network import Network, Recipe, softmax, train_network
from agentroute.routers.supervised.ngrams import NGrams, fit_ngrams
from agentroute.routers.supervised.threshold import NEVER, choose_threshold
from agentroute.routers.supervised.zeroshot import (
    SHARP,
    CardMap,
    Gate,
    fit_card_map,
    fit_gate,
    gate_inputs,
    spoken,
)  # fmt: skip

CALIBRATE_FROM = 400  # rows below which the defaults stand
HELD_ROWS, HELD_ARMS, HELD_ABSTAIN = 0.12, 0.1, 0.5
NEW_WEIGHT = 0.25  # of a withheld agent's row: all of them are held out, of others one in eight
QUICK = Recipe(hidden=256, epochs=6)
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """Probabilities (n,) over candidates, the two parts they are made of, and confidence."""

    text: F64
    card: F64
    confidence: float


class ClassHead:
    """P(agent | text) by a network over n-grams and embedding, with a class 'nobody'.

    Agents without a label in training share P(new) by similarity to their card. The gate of the
    newcomers and the threshold of refusal are fitted on a second, smaller network from which a
    tenth of the agents, half of the abstain rows and an eighth of the others were withheld.
    """

    def __init__(self) -> None:
        self.grams = NGrams(np.empty(0, np.uint32), np.empty(0, np.float32))
        self.network: Network | None = None
        self.map: CardMap | None = None
        self.gate, self.threshold = Gate(), NEVER
        self._said: dict[str, frozenset[str]] = {}

    def fit(self, examples: Examples, known: Rows, *, seed: int) -> None:
        """Learn the classes ``known`` (columns of ``quality``), in that order."""
        texts = [t.prompt for t in examples.tasks]
        self.grams = fit_ngrams(texts)
        s = self.grams.matrix(texts)
        x, cards = examples.embedding, examples.cards.embedding[known]
        target = shares(examples, known)
        rng = np.random.default_rng(seed)
        if len(texts) >= CALIBRATE_FROM:
            said = [spoken(examples.cards.cards[j].text()) for j in known]
            self._calibrate(s, x, target, cards, texts, said, rng)
        self.network = _trained(s, x, target, Recipe(), rng)
        self.map = fit_card_map(x, target[:, :-1], cards)

    def _calibrate(
        self,
        s: Any,
        x: F32,
        target: F32,
        cards: F32,
        texts: Sequence[str],
        said: list[frozenset[str]],
        rng: np.random.Generator,
    ) -> None:
        """Fit gate and threshold on what a second network has not seen."""
        n = len(cards)
        new = (
            np.sort(rng.permutation(n)[: max(1, round(HELD_ARMS * n))])
            if n >= 10
            else np.empty(0, int)
        )
        old = np.setdiff1d(np.arange(n), new)
        nobody, foreign = target[:, -1] > 0, target[:, new].sum(axis=1) > 0
        share = np.where(nobody, HELD_ABSTAIN, np.where(foreign, 1.0, HELD_ROWS))
        held = rng.random(len(x)) < share
        fit, test = np.flatnonzero(~held), np.flatnonzero(held)
        columns = np.append(old, n)
        net = _trained(s[fit], x[fit], target[np.ix_(fit, columns)], QUICK, rng)
        p = softmax(net.all_logits(s[test], x[test]))[:, :-1].astype(np.float64)
        mine = ~foreign[test]
        earned = target[np.ix_(test, old)][np.arange(len(test)), p.argmax(axis=1)]
        self.threshold = choose_threshold(
            p.max(axis=1)[mine], earned[mine].astype(np.float64), nobody[test][mine]
        )
        if len(new):
            card_map = fit_card_map(x[fit], target[np.ix_(fit, old)], cards[old])
            sims = np.array(
                [card_map.similarity(x[i], spoken(texts[i]), cards, said) for i in test.tolist()]
            )
            inputs = gate_inputs(p.max(axis=1), sims[:, new].max(axis=1), sims[:, old].max(axis=1))
            weight = np.where(foreign[test], NEW_WEIGHT, 1.0)
            self.gate = fit_gate(inputs, foreign[test], weight)

    def predict(
        self, text: str, embedding: F32, cards: F32, rows: Rows, said: list[frozenset[str]]
    ) -> Shares:
        """Shares of the candidates; ``rows`` (n,) holds the class of each, -1 for newcomers."""
        assert self.network is not None
        assert self.map is not None
        z = softmax(self.network.logits(self.grams.row(text), embedding))
        old = rows >= 0
        p = np.where(old, z[rows], 0.0).astype(np.float64)
        card, top = np.zeros(len(rows)), float(p.max(initial=0.0))
        if old.all():
            return Shares(p, card, top)
        sims = self.map.similarity(embedding, spoken(text), cards, said)
        best_old = float(sims[old].max()) if old.any() else 0.0
        new = float(self.gate.probability(top, float(sims[~old].max()), best_old))
        weight = np.exp(SHARP * (sims[~old] - sims[~old].max()))
        card[~old] = new * weight / weight.sum()
        return Shares((1.0 - new) * p, card, max((1.0 - new) * top, new))

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """JSON and arrays."""
        assert self.network is not None
        assert self.map is not None
        arrays: dict[str, NDArray[Any]] = {
            f"net.{k}": v.copy() for k, v in self.network.arrays().items()
        }
        arrays |= {"keys": self.grams.keys.copy(), "idf": self.grams.idf.copy()}
        arrays |= {"map": self.map.B.copy(), "centre": self.map.centre.copy()}
        return {"gate": list(self.gate.w), "threshold": self.threshold}, arrays

    def load(self, meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from ``state``."""
        self.network = Network(*(arrays[f"net.{k}"] for k in ("W", "L", "U", "c", "V", "b")))
        self.grams = NGrams(arrays["keys"], arrays["idf"])
        self.map = CardMap(arrays["map"], arrays["centre"])
        self.gate, self.threshold = Gate(tuple(meta["gate"])), float(meta["threshold"])


def _trained(s: Any, x: F32, target: F32, recipe: Recipe, rng: np.random.Generator) -> Network:
    net = train_network(s, x, target, recipe=recipe, rng=rng)
    return add_margins(net, s, x, target, seed=int(rng.integers(2**31)))


def shares(examples: Examples, known: Rows) -> F32:
    """(m, len(known) + 1): a row's scores over their sum; the last column is 'nobody'.

    A row in scope on which no known agent scores says nothing of who: equal shares.
    """
    q = np.nan_to_num(examples.quality[:, known]).astype(np.float32)
    q[examples.abstain] = 0.0
    total = q.sum(axis=1, keepdims=True)
    out = np.where(total > 0, q / np.maximum(total, 1e-9), np.float32(1.0 / max(len(known), 1)))
    out[examples.abstain] = 0.0
    return np.hstack([out, examples.abstain[:, None]]).astype(np.float32)
