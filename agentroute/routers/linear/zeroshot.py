"""Agents that came after training: scored by their card, against how sure the others are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32, F64
from agentroute.routers.parts.words import content

MIX = 0.5  # of the learned map in the similarity; the rest is the plain cosine
WORD = 0.3  # what a full overlap of words adds to the cosine
RIDGE = 20.0
STEPS = 30
SHARP = 12.0  # of the softmax over new agents


@dataclass(frozen=True, slots=True, eq=False)
class CardMap:
    """Similarity of a text and a card: cosine before and after a learned map, and shared words.

    The map ``B`` (e, e) takes a text's embedding to its agent's card, by ridge over the agents
    that have labels (linear zero-shot learning: Romera-Paredes and Torr 2015). ``centre`` (e,)
    is the mean card.
    """

    B: F32
    centre: F32

    def similarity(self, embedding: F32, words: frozenset[str], cards: F32, said: list[Any]) -> F64:
        """(n,) for cards (n, e) whose content words are ``said``."""
        with one_thread():
            mapped = embedding + embedding @ self.B
            away = cards - self.centre
            size = np.linalg.norm(away, axis=1) * max(float(np.linalg.norm(mapped)), 1e-9)
            learned = away @ mapped / np.maximum(size, 1e-9)
            plain = cards @ embedding
        overlap = np.array([len(words & s) / max(len(s), 1) for s in said])
        return np.asarray(MIX * learned + (1 - MIX) * plain + WORD * overlap, np.float64)


def fit_card_map(embedding: F32, target: F32, cards: F32) -> CardMap:
    """From texts (m, e), their shares over arms (m, n) and the arms' cards (n, e)."""
    centre = cards.mean(axis=0)
    x = embedding.astype(np.float64)
    y = (target @ (cards - centre)).astype(np.float64) - x
    with one_thread():
        gram = x.T @ x + RIDGE * np.eye(x.shape[1])
        b = np.linalg.solve(gram, x.T @ y)
    return CardMap(b.astype(np.float32), centre.astype(np.float32))


def spoken(text: str) -> frozenset[str]:
    """The content words of a text."""
    return frozenset(content(text))


@dataclass(frozen=True, slots=True)
class Gate:
    """P(new) = sigmoid(w0 + w1 ln(1.02 - p) + w2 s_new + w3 s_old): is it a task for a new agent?

    p is the largest calm share of an agent with labels; s_new, s_old the best similarity among
    new agents and among the others. Fitted on agents that were withheld (generalised zero-shot
    learning needs such a bias: Chao et al. 2016).
    """

    w: tuple[float, ...] = (-2.0, 1.0, 4.0, -4.0)

    def probability(self, p: F64 | float, new: F64 | float, old: F64 | float) -> F64:
        """Elementwise P(new)."""
        z = gate_inputs(p, new, old) @ np.array(self.w)
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(z, -30, 30))))


def gate_inputs(p: F64 | float, new: F64 | float, old: F64 | float) -> F64:
    """(..., 4): 1, ln(1.02 - p), new, old."""
    doubt = np.log(1.02 - np.asarray(p, np.float64))
    parts = np.broadcast_arrays(np.ones_like(doubt), doubt, new, old)
    return np.stack(parts, axis=-1).astype(np.float64)


def fit_gate(x: F64, new: NDArray[np.bool_], weight: F64, *, ridge: float = 1.0) -> Gate:
    """Logistic regression of ``new`` (m,) on ``gate_inputs`` (m, 4), from the default as prior.

    ``weight`` (m,) of the rows. Newton's method; a step that does not lower the loss is halved
    until it does.
    """
    prior = np.array(Gate().w)

    def loss(w: F64) -> float:
        z = x @ w
        fit = weight @ np.logaddexp(0.0, z) - (weight * z)[new].sum()
        return float(fit + ridge * ((w - prior) ** 2).sum() / 2)

    w = prior.copy()
    for _ in range(STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ w, -30, 30)))
        h = (x * (weight * p * (1 - p))[:, None]).T @ x + ridge * np.eye(len(w))
        step = np.linalg.solve(h, x.T @ (weight * (p - new)) + ridge * (w - prior))
        while loss(w - step) > loss(w) and np.abs(step).max() > 1e-9:
            step /= 2
        w -= step
    return Gate(tuple(float(v) for v in w))
