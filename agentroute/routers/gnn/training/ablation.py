"""Which part of the graph is worth what: the same training with parts taken away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from agentroute.model.arrays import Embedder
from agentroute.model.candidates import Examples
from agentroute.routers.gnn.arrays import VARIANTS, Variant
from agentroute.routers.gnn.fitted import Fitted, TrainConfig
from agentroute.routers.gnn.training.fitting import fit_network


@dataclass(frozen=True, slots=True)
class AblationRow:
    """One variant: held-out KL in nats, trust in [0, 1], and mean quality of what it chooses.

    ``quality`` is measured on validation rows of the examples, ``quality_expected`` is what
    means and profile reach there with no graph network at all.
    """

    variant: Variant
    kl: float
    kl_uniform: float
    trust: float
    quality: float
    quality_expected: float


def ablation(
    examples: Examples, embedder: Embedder, *, seed: int = 0, config: TrainConfig | None = None
) -> Iterator[AblationRow]:
    """Five rows, one a variant, each as soon as it is trained; same seed, same held-out rows."""
    for variant in VARIANTS:
        own = replace(config or TrainConfig(), variant=variant)
        yield _row(variant, fit_network(examples, embedder, seed=seed, config=own))


def _row(variant: Variant, fitted: Fitted) -> AblationRow:
    m = fitted.metrics
    return AblationRow(
        variant, m["kl_val"], m["kl_uniform"], fitted.trust, m["quality"], m["quality_expected"]
    )
