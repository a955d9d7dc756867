"""Weights over experts, for each kind of task, from the outcome of the chosen arm alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from agentroute.errors import ConfigError
from agentroute.model.scores import F64

SHARP = 0.02
IX = 0.05


class Hedge:
    """EXP4-IX over m experts (Auer et al. 2002; Neu 2015), with fixed share (Herbster 1998).

    An expert's advice xi is a distribution over the arms: a softmax of its means at temperature
    0.02, in effect its best arm. Arm a was chosen with probability p and gave quality r; every
    expert is charged the estimated loss xi(a) (1 - r) / (p + 0.05), whose expectation is that of
    following it, but for the 0.05 that bounds its variance. A kind's log weights are the sum of
    what was learned over all kinds, faded to a quarter, and over its own.
    """

    ALL, OWN = 0.25, 1.0

    def __init__(self, m: int, *, eta: float = 0.05, share: float = 0.001) -> None:
        if eta <= 0 or not 0 <= share < 1:
            raise ConfigError("an ensemble needs eta > 0 and 0 <= share < 1", field="router")
        self.m, self.eta, self.share = m, eta, share
        self.everywhere: F64 = np.zeros(m)
        self.of_kind: dict[str, F64] = {}

    def trust(self, kind: str) -> F64:
        """Pi (m,): weights that add up to 1."""
        log = self.ALL * self.everywhere
        if kind in self.of_kind:
            log = log + self.OWN * self.of_kind[kind]
        w = np.exp(log - log.max())
        return np.asarray(w / w.sum())

    def learn(self, kind: str, advice: F64, arm: int, quality: float, propensity: float) -> None:
        """Charge the experts; ``advice`` (m, n) are their means over the candidates."""
        xi = np.exp((advice - advice.max(axis=1, keepdims=True)) / SHARP)
        xi = xi[:, arm] / xi.sum(axis=1)
        loss = self.eta * xi * (1.0 - quality) / (propensity + IX)
        self.everywhere = self._mixed(self.everywhere - loss)
        self.of_kind[kind] = self._mixed(self.of_kind.get(kind, np.zeros(self.m)) - loss)

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
        w = np.exp(log - log.max())
        w = (1.0 - self.share) * w / w.sum() + self.share / self.m
        return np.asarray(np.log(w / w.max()))
