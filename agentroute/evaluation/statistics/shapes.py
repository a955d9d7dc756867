"""Runs of several tasks by the shape that they began in: how often it won, how good it was."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from agentroute.evaluation.offpolicy.shapes import JudgedShape, judged_shapes
from agentroute.evaluation.statistics.groups import DIGITS, LAST, Group, interval
from agentroute.learning.sources import WEIGHTS
from agentroute.ledger import Ledger


@dataclass
class _Tally:
    choices: int = 0
    stood: int = 0
    drawn: int = 0
    explored: int = 0
    runs: list[JudgedShape] = field(default_factory=list)


def shape_groups(
    ledger: Ledger, *, last: int = LAST, weights: Mapping[str, float] = WEIGHTS
) -> tuple[Group, ...]:
    """The latest ``last`` runs of more than one task, the most chosen shape first.

    ``choices`` and ``win_rate`` say how often a shape won of the times that it stood for choice: of
    a rule's choices only the one that it made did. ``calls`` are runs that ended, ``failed`` those
    of quality 0.
    """
    tallies: dict[str, _Tally] = defaultdict(_Tally)
    judged = {j.record.decision.id: j for j in judged_shapes(ledger, weights=weights)}
    sql = (
        "SELECT id FROM decisions WHERE kind = 'topology' AND attempt = 1 ORDER BY seq DESC LIMIT ?"
    )
    for (decision_id,) in ledger.query(sql, (last,)):
        record = ledger.record(decision_id)
        context, (shape, *_) = record.context, record.decision.chosen
        if context["stats"]["nodes"] == 1:
            continue  # nothing to choose
        for name in context.get("shapes", (shape,)):
            tallies[name].stood += 1
        t = tallies[shape]
        t.choices += 1
        if "mean" in context:
            t.drawn += 1
            at = dict(zip(context["shapes"], context["mean"], strict=True))
            t.explored += at[shape] < max(at.values())
        if decision_id in judged:
            t.runs.append(judged[decision_id])
    rows = [_group(name, t) for name, t in tallies.items()]
    return tuple(sorted(rows, key=lambda g: (-g.choices, g.name)))


def _group(name: str, t: _Tally) -> Group:
    quality = [j.quality for j in t.runs if j.quality is not None]
    took = [j.latency_s for j in t.runs if j.latency_s is not None]
    ended = len(took)
    return Group(
        name=name,
        choices=t.choices,
        stood=t.stood,
        win_rate=t.choices / t.stood,
        explored=t.explored / t.drawn if t.drawn else None,
        calls=ended,
        failed=quality.count(0.0) / ended if ended else None,
        judged=len(quality),
        quality=round(math.fsum(quality) / len(quality), DIGITS) if quality else None,
        ci95=interval(quality) if len(quality) > 1 else None,
        cost_usd=round(math.fsum(j.cost_usd or 0.0 for j in t.runs), DIGITS),
        latency_s=round(math.fsum(took) / ended, DIGITS) if ended else None,
    )
