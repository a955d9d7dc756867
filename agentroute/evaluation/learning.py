"""How much data a router needs: its score after 50, 200, 1,000, ... rows of the train part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agentroute.errors import UsageError
from agentroute.evaluation.runner import EvalSpec, evaluate_cuts, make_cuts
from agentroute.evaluation.tables.splits import Cut
from agentroute.model.ids import keyed_rng

SIZES = (50, 200, 1_000, 5_000)


async def learning_curve(spec: EvalSpec, sizes: Sequence[int] = SIZES) -> dict[str, Any]:
    """``{"at": [...], "routers": {name: [score]}, "baselines": {name: [score]}}``.

    Each size is a random prefix of the train rows, a longer one holds the shorter; the last point
    is all of them. The test rows are the same throughout.

    Raises:
        UsageError: there are no train rows to cut, or a size below 2; or see ``evaluate``.
    """
    if not sizes or min(sizes) < 2:
        raise UsageError("a learning curve needs sizes of 2 rows or more", hint="50,200,1000")
    cuts = make_cuts(spec)
    most = min(len(c.train_rows) for c in cuts)
    if not most:
        raise UsageError("a learning curve needs train rows", hint="--train DIR")
    at = [*(s for s in sorted(set(sizes)) if s < most), most]
    results = [
        await evaluate_cuts(spec, [_first(c, s, k, spec) for k, c in enumerate(cuts)]) for s in at
    ]
    return {
        "at": at,
        "routers": {n: [r.routers[n].score for r in results] for n in results[0].routers},
        "baselines": {b: [r.baselines[b] for r in results] for b in results[0].baselines},
    }


def _first(cut: Cut, size: int, k: int, spec: EvalSpec) -> Cut:
    rows = keyed_rng(spec.first_seed, "prefix", k).permutation(cut.train_rows)[:size]
    return replace(cut, train_rows=rows)
