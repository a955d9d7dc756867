"""How many were asked, step by step: what another depth policy would have got.

A task's path begins with how many its policy asked first, which follows from the scores, and goes
on with one step a row of kind ``depth``, each from what had been answered by then. The row has all
of that, so any policy can be asked what it would have done there, and with which probability.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agentroute.choosing.decide import Choice
from agentroute.choosing.depth import Depth, make_depth
from agentroute.choosing.depth.protocol import Answer, Seen, Stepwise, bounded
from agentroute.config.settings import FeedbackQuota
from agentroute.errors import AgentRouteError
from agentroute.evaluation.offpolicy.paths import Path
from agentroute.execution.answer.deepening import step_words
from agentroute.learning.fold import observations
from agentroute.learning.sources import QUOTA, WEIGHTS
from agentroute.ledger import Ledger
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.ids import keyed_rng
from agentroute.model.outcomes import Observation

DRAWS, WHOLE = 512, 1.0 - 1e-9
Words = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class DepthPath:
    """A task: who was chosen first, the steps after that, and what came of it.

    ``quality`` None where nobody judged the answer that stood; ``cost_usd`` of all calls.
    """

    first: DecisionRecord
    steps: tuple[DecisionRecord, ...]
    quality: float | None
    cost_usd: float


def depth_paths(
    ledger: Ledger, left_out: Counter[str], *, run_id: str | None = None,
    weights: Mapping[str, float] = WEIGHTS, quota: FeedbackQuota | None = QUOTA,
) -> Iterator[DepthPath]:  # fmt: skip
    """The tasks whose depth policy looked at answers, in order; others are counted."""
    said: dict[str, list[Observation]] = {}
    for o in observations(ledger, weights=weights, quota=quota):
        said.setdefault(o.decision_id, []).append(o)
    where = "" if run_id is None else " AND run_id = ?"
    sql = (
        "SELECT id FROM decisions WHERE kind = 'route' AND attempt = 1 AND task_id <> ''"
        f"{where} ORDER BY seq"
    )
    for (decision_id,) in ledger.query(sql, () if run_id is None else (run_id,)):
        first = ledger.record(decision_id)
        mine = [d for d in ledger.decisions(first.decision.run_id)
                if d.task_id == first.decision.task_id]  # fmt: skip
        steps = sorted((d for d in mine if d.kind == "depth"), key=lambda d: d.attempt)
        if first.scores is None or not steps:
            left_out["no step was decided by the answers"] += 1
            continue
        records = tuple(ledger.record(d.id) for d in steps)
        if "answers" not in records[0].context:
            left_out["worked out in rounds: no depth of answers"] += 1
            continue
        of = [o for d in mine if d.kind == "route" for o in said.get(d.id, ())]
        yield DepthPath(
            first, records, _quality(steps[-1], of),
            float(sum(o.cost_usd or 0.0 for o in of)),
        )  # fmt: skip


def _quality(last: Decision, of: Sequence[Observation]) -> float | None:
    """Of the answers that stood, the mean of what was said, by weight."""
    word, *rest = last.chosen
    stood = set(rest) - {"short"} if word == "accept" and rest else None
    words = [o for o in of if o.quality is not None and o.latency_s is None]
    words = [o for o in words if stood is None or o.agent in stood]
    total = sum(o.weight for o in words)
    return sum(o.weight * (o.quality or 0.0) for o in words) / total if total else None


def path_under(path: DepthPath, target: Depth) -> Path:
    """How probable the path was, and is under ``target``.

    Raises:
        ConfigError: the policy that logged cannot be made again.
    """
    logged, p, impossible = 1.0, 1.0, 0.0
    first = path.first
    depth = first.context.get("depth", {})
    if target.how_many(*_first(first))[0] != int(depth["k"]):
        p, impossible = 0.0, 1.0
    for record in path.steps:
        d, seen = record.decision, seen_of(record.context)
        logged *= d.propensity
        if not p:
            continue
        was = law(make_depth({"name": d.policy, **record.context["params"]}), seen)
        now = law(target, seen)
        impossible += p * sum(q for words, q in now.items() if words not in was)
        p *= now.get(d.chosen, 0.0)
    return Path(logged, p, min(1.0, impossible), str(depth.get("k")))


def _first(record: DecisionRecord) -> tuple[Any, Choice]:
    assert record.scores is not None
    d, n = record.decision, len(record.scores.mean)
    p = record.propensities if record.propensities is not None else np.zeros(n)
    return record.scores, Choice(tuple(range(len(d.chosen))), d.status, d.propensity, p)


def seen_of(context: Mapping[str, Any]) -> Seen:
    """What the policy was shown, from its row; answers that said the same have the same key."""
    answers = tuple(
        Answer(a["agent"], str(a["group"]), a["expected"], a["confidence"], a["verified"])
        for a in context["answers"]
    )
    return Seen(answers, context["sigma"], context["asked"], context["left"])


def law(depth: Depth, seen: Seen) -> dict[Words, float]:
    """Each step that the policy may take now, with its probability.

    A step that is drawn says how probable it was; it is asked with other draws until all are known.
    """
    if not isinstance(depth, Stepwise):
        return {("accept",): 1.0}
    found: dict[Words, float] = {}
    for i in range(DRAWS):
        step = bounded(depth.next(seen, keyed_rng(i, "law")), depth, seen)
        found[step_words(step)] = step.propensity
        if sum(found.values()) >= WHOLE:
            break
    return found


def depths_under(
    paths: Sequence[DepthPath], target: Depth, failed: Counter[str]
) -> list[tuple[DepthPath, Path]]:
    """Each path with its probabilities; those that cannot be weighed are counted in ``failed``."""
    out = []
    for path in paths:
        try:
            out.append((path, path_under(path, target)))
        except (AgentRouteError, KeyError) as e:
            failed[str(e)] += 1
    return out
