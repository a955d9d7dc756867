"""The head for tasks that belong to one agent: a classifier over text, with room for newcomers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F32, F64
from agentroute.model.candidates import Examples
from agentroute.routers.linear.classes.kernel import MAX_ROWS, PARTS, Kernel, fit_kernel
from agentroute.routers.linear.classes.margins import add_margins
from agentroute.routers.linear.classes.network import Network, Recipe, softmax, train_network
from agentroute.routers.linear.classes.ngrams import NGrams, fit_ngrams
from agentroute.routers.linear.threshold import NEVER, choose_threshold
from agentroute.routers.linear.zeroshot import (
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
KERNEL = 10.0  # what a share of 1 by the kernel adds to a logit of the network
CALM = 3.0  # temperature at which confidence is read: at 1 almost all shares are 0 or 1
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """Probabilities (n,) over candidates, the two parts they are made of, and confidence."""

    text: F64
    card: F64
    confidence: float


class ClassHead:
    """P(agent | text) by a network with margins times a kernel's estimate, with a class 'nobody'.

    Agents without a label in training share P(new) by similarity to their card. The gate of the
    newcomers and the threshold of refusal are fitted on rows held out of train: all rows of a
    tenth of the agents, half of the abstain rows and an eighth of the others. The kernel's
    left-out predictions for them are exact; the network's come from a second, smaller one.
    """

    def __init__(self) -> None:
        self.grams = NGrams(np.empty(0, np.uint32), np.empty(0, np.float32))
        self.network: Network | None = None
        self.kernel: Kernel | None = None
        self.map: CardMap | None = None
        self.gate, self.threshold = Gate(), NEVER

    def fit(self, examples: Examples, known: Rows, *, seed: int) -> None:
        """Learn the classes ``known`` (columns of ``quality``), in that order."""
        rng = np.random.default_rng(seed)
        text = _Texts.of(examples, known, rng)
        new, held = _withheld(text.target, rng)
        order = np.concatenate([np.flatnonzero(~held), np.flatnonzero(held)])
        text, count = text.take(order), int(held.sum())
        self.grams = text.grams
        self.kernel, left_out = fit_kernel(text.grams, text.s, text.x, text.target, held=count)
        cards = examples.cards.embedding[known]
        if count:
            said = [spoken(examples.cards.cards[j].text()) for j in known]
            self._calibrate(text, left_out, new, cards, said, rng)
        self.network = _trained(text.s, text.x, text.target, Recipe(), rng)
        self.map = fit_card_map(text.x, text.target[:, :-1], cards)

    def _calibrate(
        self,
        text: _Texts,
        left_out: F32,
        new: Rows,
        cards: F32,
        said: list[frozenset[str]],
        rng: np.random.Generator,
    ) -> None:
        """Fit gate and threshold on the last rows, which neither second model has seen."""
        m, n = len(text.x) - len(left_out), len(cards)
        fit, test = text.take(np.arange(m)), text.take(np.arange(m, len(text.x)))
        old = np.setdiff1d(np.arange(n), new)
        columns = np.append(old, n)
        net = _trained(fit.s, fit.x, fit.target[:, columns], QUICK, rng)
        z = joined(net.all_logits(test.s, test.x), left_out[:, columns])
        p = softmax(z)[:, :-1].astype(np.float64)
        nobody, foreign = test.target[:, -1] > 0, test.target[:, new].sum(axis=1) > 0
        earned = test.target[:, old][np.arange(len(p)), p.argmax(axis=1)].astype(np.float64)
        sure = confidence(z, np.arange(len(old)))
        self.threshold = choose_threshold(sure[~foreign], earned[~foreign], nobody[~foreign])
        if len(new):
            card_map = fit_card_map(fit.x, fit.target[:, old], cards[old])
            sims = np.array(
                [
                    card_map.similarity(e, spoken(t), cards, said)
                    for e, t in zip(test.x, test.texts, strict=True)
                ]
            )
            known = calm(z, np.arange(len(old)))[0]
            inputs = gate_inputs(known, sims[:, new].max(axis=1), sims[:, old].max(axis=1))
            self.gate = fit_gate(inputs, foreign, np.where(foreign, NEW_WEIGHT, 1.0))

    def predict(
        self, text: str, embedding: F32, cards: F32, rows: Rows, said: list[frozenset[str]]
    ) -> Shares:
        """Shares of the candidates; ``rows`` (n,) holds the class of each, -1 for newcomers."""
        assert self.network is not None
        assert self.kernel is not None
        assert self.map is not None
        grams = self.grams.row(text)
        kernel = self.kernel.scores(grams, embedding)
        z = joined(self.network.logits(grams, embedding), kernel)
        old = rows >= 0
        p = np.where(old, softmax(z)[rows], 0.0).astype(np.float64)
        card = np.zeros(len(rows))
        sure = float(confidence(z, rows[old]))
        if old.all():
            return Shares(p, card, sure)
        sims = self.map.similarity(embedding, spoken(text), cards, said)
        known = float(calm(z, rows[old])[0])
        best_old = float(sims[old].max()) if old.any() else 0.0
        new = float(self.gate.probability(known, float(sims[~old].max()), best_old))
        weight = np.exp(SHARP * (sims[~old] - sims[~old].max()))
        card[~old] = new * weight / weight.sum()
        return Shares((1.0 - new) * p, card, max(sure, new))

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """JSON and arrays."""
        assert self.network is not None
        assert self.kernel is not None
        assert self.map is not None
        arrays: dict[str, NDArray[Any]] = {
            f"net.{k}": v.copy() for k, v in self.network.arrays().items()
        }
        arrays |= {f"kernel.{k}": v.copy() for k, v in self.kernel.arrays().items()}
        arrays |= {"keys": self.grams.keys.copy(), "idf": self.grams.idf.copy()}
        arrays |= {"map": self.map.B.copy(), "centre": self.map.centre.copy()}
        return {"gate": list(self.gate.w), "threshold": self.threshold}, arrays

    def load(self, meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from ``state``."""
        self.network = Network(*(arrays[f"net.{k}"] for k in ("W", "L", "U", "c", "V", "b")))
        self.kernel = Kernel(*(arrays[f"kernel.{k}"] for k in PARTS))
        self.grams = NGrams(arrays["keys"], arrays["idf"])
        self.map = CardMap(arrays["map"], arrays["centre"])
        self.gate, self.threshold = Gate(tuple(meta["gate"])), float(meta["threshold"])


def joined(logits: F32, kernel: F32) -> F32:
    """Log softmax(logits) + KERNEL * scores: the product of two experts (Hinton 2002)."""
    return np.asarray(np.log(softmax(logits) + np.float32(1e-9)) + np.float32(KERNEL) * kernel)


def confidence(z: F32, columns: Rows) -> F64:
    """(1 + p - q) / 2, p and q of ``calm``: how surely one of ``columns`` is meant."""
    p, q = calm(z, columns)
    return np.asarray((1.0 + p - q) / 2)


def calm(z: F32, columns: Rows) -> tuple[F64, F64]:
    """The best share among ``columns`` of logits (..., K), and that of 'nobody', at ``CALM``."""
    p = softmax(z / np.float32(CALM)).astype(np.float64)
    return p[..., columns].max(axis=-1, initial=0.0), p[..., -1]


def _trained(s: Any, x: F32, target: F32, recipe: Recipe, rng: np.random.Generator) -> Network:
    net = train_network(s, x, target, recipe=recipe, rng=rng)
    return add_margins(net, s, x, target, seed=int(rng.integers(2**31)))


def _withheld(target: F32, rng: np.random.Generator) -> tuple[Rows, NDArray[np.bool_]]:
    """The classes that are taken for newcomers, and the rows (m,) held out; none if m is small."""
    n = target.shape[1] - 1
    if len(target) < CALIBRATE_FROM:
        return np.empty(0, np.int64), np.zeros(len(target), np.bool_)
    new = np.sort(rng.permutation(n)[: max(1, round(HELD_ARMS * n)) if n >= 10 else 0])
    foreign = target[:, new].sum(axis=1) > 0
    share = np.where(target[:, -1] > 0, HELD_ABSTAIN, np.where(foreign, 1.0, HELD_ROWS))
    return new, rng.random(len(target)) < share


@dataclass(frozen=True, slots=True, eq=False)
class _Texts:
    """Rows to learn from: prompts, n-grams (m, v), embeddings (m, e), shares (m, K)."""

    texts: Sequence[str]
    grams: NGrams
    s: Any
    x: F32
    target: F32

    @classmethod
    def of(cls, examples: Examples, known: Rows, rng: np.random.Generator) -> _Texts:
        """All rows, or ``MAX_ROWS`` of them drawn at random."""
        texts = [t.prompt for t in examples.tasks]
        grams = fit_ngrams(texts)
        out = cls(texts, grams, grams.matrix(texts), examples.embedding, shares(examples, known))
        if len(texts) <= MAX_ROWS:
            return out
        return out.take(np.sort(rng.permutation(len(texts))[:MAX_ROWS]))

    def take(self, rows: Rows) -> _Texts:
        """These rows, in this order."""
        texts = [self.texts[i] for i in rows]
        return _Texts(texts, self.grams, self.s[rows], self.x[rows], self.target[rows])


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
