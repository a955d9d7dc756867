"""``agentroute train gnn``: a fitted router, and a page of JSON that says what it was fitted on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from agentroute.model.arrays import Embedder
from agentroute.model.candidates import Examples
from agentroute.routers.gnn.fitted import Fitted, TrainConfig
from agentroute.routers.gnn.router import GNNRouter
from agentroute.routers.gnn.training.ablation import AblationRow
from agentroute.routers.gnn.training.loop import Epoch


def train(
    examples: Examples,
    embedder: Embedder | None = None,
    *,
    seed: int = 0,
    config: TrainConfig | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> GNNRouter:
    """A router fitted on ``examples``; ``progress`` is told of every epoch.

    Save ``router.state_dict()`` with ``learning.state`` and ``manifest(...)`` beside it.
    Errors: see ``fitting.fit_network``.
    """
    router = GNNRouter(embedder, config=config)
    router.fit(examples, seed=seed, progress=progress)
    return router


def manifest(fitted: Fitted, source: str, ablation: Iterable[AblationRow] = ()) -> dict[str, Any]:
    """What a checkpoint is: JSON, to stand beside its arrays and their SHA-256.

    ``source`` says where the rows come from: a table's name, or a ledger and its range of seq.
    """
    features = sorted({c.partition("=")[0] for c in fitted.means.cells if "\n" not in c})
    return {
        "router": "gnn",
        "source": source,
        "data_sha256": fitted.data_sha256,
        "seed": fitted.seed,
        "embedder": fitted.embedder_id,
        "features": features,
        "agents": list(fitted.knowledge.agents),
        "entities": len(fitted.knowledge.vocabulary),
        "parameters": int(sum(a.size for a in fitted.weights.values())),
        "config": asdict(fitted.config),
        "trust": fitted.trust,
        "trust_new": fitted.trust_new,
        "metrics": fitted.metrics,
        "ablation": [asdict(row) for row in ablation],
    }
