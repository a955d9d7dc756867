"""What training found, as frozen data, and its way to arrays on disk and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.choosing.state import StateDict
from agentroute.errors import ConfigError, RouterStateError, did_you_mean
from agentroute.features.entities import Vocabulary
from agentroute.features.knowledge import Edges, Knowledge
from agentroute.model.arrays import F32
from agentroute.routers.gnn.arrays import VARIANTS, Variant
from agentroute.routers.gnn.means import ShrunkenMeans
from agentroute.routers.gnn.profile import Profile

VERSION = 1
KIND = "gnn"


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How to train. ``mse`` weighs (f_hat - f)^2 beside the KL; ``steps`` bounds the work."""

    hidden: int = 64
    epochs: int = 30
    steps: int = 800
    batch: int = 256
    lr: float = 3e-3
    decay: float = 0.01
    clip: float = 1.0
    dropout: float = 0.2
    hide: float = 0.15
    patience: int = 4
    folds: int = 4
    val_share: float = 0.2
    mse: float = 2.0
    variant: Variant = "full"

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ConfigError(
                f"unknown variant '{self.variant}'", hint=did_you_mean(self.variant, VARIANTS)
            )
        counts = ("hidden", "epochs", "steps", "batch", "patience")
        if min(getattr(self, c) for c in counts) < 1 or self.folds < 2:
            raise ConfigError(f"{', '.join(counts)} must be at least 1, folds at least 2")
        if not 0 < self.val_share < 1:
            raise ConfigError("val_share must lie between 0 and 1")


def make_config(given: TrainConfig | Mapping[str, Any] | None) -> TrainConfig:
    """A configuration from itself, from its fields by name, or the default.

    Raises:
        ConfigError: an unknown field or a value out of range.
    """
    if isinstance(given, TrainConfig):
        return given
    known = TrainConfig.__dataclass_fields__
    for key in given or {}:
        if key not in known:
            raise ConfigError(
                f"the router 'gnn' has no setting '{key}'", hint=did_you_mean(key, known)
            )
    return TrainConfig(**(given or {}))


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """All that training found.

    ``weights`` by parameter name; ``trust`` gamma in [0, 1] scales z, ``trust_new`` that of
    agents without outcomes; ``scope`` (slope, offset) of
    P(out of scope), None where no row was out of scope; ``prior`` mean of the trained cards'
    ``prior_quality``; ``metrics`` on held-out rows; ``data_sha256`` of the examples.
    """

    means: ShrunkenMeans
    profile: Profile
    knowledge: Knowledge
    weights: dict[str, F32]
    trust: float
    trust_new: float
    scope: tuple[float, float] | None
    prior: float
    embedder_id: str
    config: TrainConfig
    seed: int
    data_sha256: str
    metrics: dict[str, float] = field(default_factory=dict)


def to_state(fitted: Fitted) -> StateDict:
    """Arrays (weights, graph, means) and JSON (names, numbers)."""
    k, m = fitted.knowledge, fitted.means
    arrays: dict[str, NDArray[Any]] = {f"w/{n}": a for n, a in fitted.weights.items()}
    arrays |= {"means/total": m.total, "means/count": m.count, "graph/embedding": k.embedding}
    arrays |= {f"graph/{n}": a for n, a in k.together._asdict().items()}
    arrays |= {"graph/history": k.history, "profile": fitted.profile.weight}
    meta = {
        "embedder": fitted.embedder_id,
        "agents": list(k.agents),
        "vocabulary": list(k.vocabulary.keys),
        "cells": list(m.cells),
        "trust": [fitted.trust, fitted.trust_new],
        "lambda": fitted.profile.lam,
        "scope": None if fitted.scope is None else list(fitted.scope),
        "prior": fitted.prior,
        "config": asdict(fitted.config),
        "seed": fitted.seed,
        "data_sha256": fitted.data_sha256,
        "metrics": fitted.metrics,
    }
    return StateDict(KIND, VERSION, {"fitted": meta}, arrays)


def from_state(meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Fitted:
    """The inverse of ``to_state``.

    Raises:
        RouterStateError: something is missing or does not fit together.
    """
    try:
        fitted = _read(meta, arrays)
    except (KeyError, TypeError, ValueError) as e:
        raise RouterStateError(f"the saved state of the router 'gnn' is not whole: {e}") from e
    v, n = len(fitted.knowledge.vocabulary), len(fitted.knowledge.agents)
    shapes = {
        "graph/history": (v, n),
        "w/identity": (n + 1, fitted.config.hidden),
        "means/total": (1 + len(fitted.means.cells), n),
        "profile": (fitted.knowledge.embedding.shape[1], n),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise RouterStateError(f"{name} has shape {arrays[name].shape}, expected {shape}")
    return fitted


def _read(meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Fitted:
    together = Edges(*(arrays[f"graph/{n}"] for n in Edges._fields))
    knowledge = Knowledge(
        Vocabulary.of(meta["vocabulary"]), arrays["graph/embedding"], together,
        arrays["graph/history"], tuple(meta["agents"]),
    )  # fmt: skip
    cells = {k: i + 1 for i, k in enumerate(meta["cells"])}
    means = ShrunkenMeans(cells, arrays["means/total"], arrays["means/count"])
    profile = Profile(arrays["profile"], meta["lambda"])
    weights = {
        n.removeprefix("w/"): np.asarray(a, np.float32)
        for n, a in arrays.items()
        if n.startswith("w/")
    }
    trust, trust_new = meta["trust"]
    scope = None if meta["scope"] is None else (meta["scope"][0], meta["scope"][1])
    return Fitted(
        means, profile, knowledge, weights, trust, trust_new, scope, meta["prior"],
        meta["embedder"], TrainConfig(**meta["config"]), meta["seed"], meta["data_sha256"],
        meta["metrics"],
    )  # fmt: skip
