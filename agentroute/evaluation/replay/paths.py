"""Depths and teams under another policy: what it would have got on the paths that were logged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from agentroute.choosing.depth import make_depth
from agentroute.config.settings import FeedbackQuota
from agentroute.evaluation.offpolicy.depths import depth_paths, depths_under
from agentroute.evaluation.offpolicy.paths import Path, path_rows
from agentroute.evaluation.offpolicy.teams import judged_teams
from agentroute.evaluation.replay.again import Again, Means
from agentroute.evaluation.replay.found import Changed, Gain, Replay, gain
from agentroute.learning.sources import QUOTA
from agentroute.ledger import Ledger
from agentroute.model.plans import Spec

SURE = 1.0 - 1e-9
NOBODY = "no team was drawn and judged"


def replay_depths(
    ledger: Ledger, weights: Mapping[str, float], policy: Spec, *, run_id: str | None = None,
    name: str = "", quota: FeedbackQuota | None = QUOTA,
) -> Replay:  # fmt: skip
    """The depths of tasks that were decided step by step, and what another policy would have got.

    A task agrees where the other policy takes every step as it was taken, for certain.

    Raises:
        ConfigError: there is no such depth policy.
    """
    target = make_depth(policy, trusted=True)
    left_out: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    paths = list(depth_paths(ledger, left_out, run_id=run_id, weights=weights, quota=quota))
    made = depths_under(paths, target, failed)
    quality = [(p, d.quality) for d, p in made if d.quality is not None]
    changed = [(d, p) for d, p in made if p.target < SURE]
    return Replay(
        policy=name,
        decisions=len(made),
        agreed=len(made) - len(changed),
        changed=tuple(
            Changed(
                id=s.id, seq=s.seq, run_id=s.run_id, task_id=s.task_id, kind="depth",
                was=s.chosen, now=(), propensity_was=p.logged, propensity_now=p.target,
            )
            for d, p in changed
            for s in (d.steps[-1].decision,)
        ),
        left_out=dict(left_out),
        failed=dict(failed),
        quality=_gain([p for p, _ in quality], [q for _, q in quality]),
        cost_usd=_gain([p for _, p in made], [d.cost_usd for d, _ in made]),
    )  # fmt: skip


def team_gain(ledger: Ledger, means: Means, made: Sequence[Again]) -> Gain | str:
    """What the other policy's teams would have got, as a whole; why that cannot be said."""
    under = {a.record.decision.id: a.team for a in made if a.team is not None}
    judged = [
        j
        for j in judged_teams(ledger, weights=means.weights, quota=means.quota)
        if j.quality is not None and j.record.decision.id in under
    ]
    if not judged:
        return NOBODY
    # Whatever another router draws could have been drawn where every candidate had a chance.
    paths = []
    for j in judged:
        p, now = j.record.propensities, under[j.record.decision.id]
        open_to_all = p is not None and bool((p > 0).all())
        beyond = 0.0 if open_to_all else 1.0 - now
        paths.append(Path(j.record.decision.propensity, now, beyond))
    return _gain(paths, [j.quality or 0.0 for j in judged])


def _gain(paths: Sequence[Path], reward: Sequence[float]) -> Gain | str:
    return gain(path_rows(paths, reward) if paths else None)
