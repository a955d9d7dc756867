"""Weights over experts, for each kind of task, from the outcome of the chosen arm alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.errors import ConfigError
from agentroute.model.arrays import F64

SHARP = 0.02
IX = 0.05
FULL = 6.0


class Hedge:
    """EXP4-IX over m experts (Auer et al. 2002; Neu 2015), with fixed share (Herbster 1998).

    An expert's advice xi is a distribution over the arms: a softmax of its means at temperature
    0.02, in effect its best arm. Arm a was chosen with probability p and gave quality r; every
    expert is charged the estimated loss xi(a) (1 - r) / (p + 0.05), whose expectation is that of
    following it, but for the 0.05 that bounds its variance; an expert that said nothing keeps its
    share. Where all arms' qualities are known the loss is xi . (1 - r), without a draw's variance,
    and eta six times as large. A kind's log weights are the sum of
    what was learned over all kinds, faded to a quarter, and over its own.
    """

    ALL, OWN = 0.25, 1.0

    def __init__(self, m: int, *, eta: float = 0.05, share: float = 0.001) -> None:
        if eta <= 0 or not 0 <= share < 1:
            raise ConfigError("an ensemble needs eta > 0 and 0 <= share < 1", field="router")
        self.m, self.eta, self.share = m, eta, share
        self.everywhere: F64 = np.zeros(m)
        self.of_kind: dict[str, F64] = {}

    def clear(self) -> None:
        """Forget everything."""
        self.everywhere = np.zeros(self.m)
        self.of_kind = {}

    def trust(self, kind: str, awake: NDArray[np.bool_] | None = None) -> F64:
        """Pi (m,): weights that add up to 1, 0 for those who sleep."""
        log = self.ALL * self.everywhere
        if kind in self.of_kind:
            log = log + self.OWN * self.of_kind[kind]
        if awake is not None:
            log = np.where(awake, log, -np.inf)
        w = np.exp(log - log.max())
        return np.asarray(w / w.sum())

    def learn(self, kind: str, advice: F64, arm: int, quality: float, propensity: float) -> None:
        """Charge the experts; ``advice`` (m, n) are their means over the candidates."""
        self._charge(kind, _choices(advice)[:, arm] * (1.0 - quality) / (propensity + IX))

    def learn_all(self, kind: str, advice: F64, quality: F64) -> None:
        """The same where the quality (n,) of every arm is known, NaN where it is not."""
        loss = _choices(advice) @ np.where(np.isnan(quality), 1.0, 1.0 - quality)
        self._charge(kind, FULL * loss)

    def _charge(self, kind: str, loss: F64) -> None:
        """Multiply the weights by exp(-eta loss); NaN is the loss of an expert that sleeps."""
        own = self.of_kind.get(kind, np.zeros(self.m))
        self.everywhere = self._mixed(_charged(self.everywhere, self.eta * loss))
        self.of_kind[kind] = self._mixed(_charged(own, self.eta * loss))

    def meta(self) -> dict[str, Any]:
        """As JSON; floats keep every bit."""
        kinds = {k: v.tolist() for k, v in self.of_kind.items()}
        return {"everywhere": self.everywhere.tolist(), "kinds": kinds}

    def load(self, meta: dict[str, Any]) -> None:
        """Continue from ``meta``."""
        self.everywhere = np.array(meta["everywhere"], np.float64)
        self.of_kind = {k: np.array(v, np.float64) for k, v in meta["kinds"].items()}

    def _mixed(self, log: F64) -> F64:
        """Fixed share: nobody falls below a floor, so that a change of fortunes is found."""
        if self.share == 0.0:  # no floor, and so no weights, which would run out of digits
            return np.asarray(log - log.max())
        w = np.exp(log - log.max())
        w = (1.0 - self.share) * w / w.sum() + self.share / self.m
        return np.asarray(np.log(w / w.max()))


def _choices(advice: F64) -> F64:
    """Xi (m, n): what each expert would do, as a distribution over the arms; NaN rows stay NaN."""
    xi = np.exp((advice - advice.max(axis=1, keepdims=True)) / SHARP)
    return np.asarray(xi / xi.sum(axis=1, keepdims=True))


def _charged(log: F64, loss: F64) -> F64:
    """Log weights after the losses; who sleeps pays what the awake pay together (Freund 1997)."""
    awake = ~np.isnan(loss)
    if not awake.any():
        return log
    together = np.logaddexp.reduce(log[awake]) - np.logaddexp.reduce(log[awake] - loss[awake])
    return log - np.where(awake, loss, together)
