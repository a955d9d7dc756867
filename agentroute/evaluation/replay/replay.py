"""What a replay came to: agreement, changed choices, and what another policy would have got."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentroute.errors import OverlapError
from agentroute.evaluation.offpolicy.logged import Judged, joined, judged_decisions
from agentroute.evaluation.replay.again import Again, Means, Replayer
from agentroute.evaluation.replay.found import Changed, Gain, Replay, gain
from agentroute.evaluation.replay.paths import team_gain
from agentroute.evaluation.replay.shapes import ShapeAgain, ShapeReplayer, rows_of
from agentroute.ledger import Ledger
from agentroute.model.arrays import F64
from agentroute.model.plans import Spec


async def replay(
    ledger: Ledger,
    means: Means,
    *,
    run_id: str | None = None,
    policy: Spec | None = None,
    name: str = "",
) -> Replay:
    """Take the decisions of a run, or of all, again: as recorded, or by ``policy``.

    Calls no agent and writes nothing. Another policy draws from the same stream of random numbers,
    so what changed is what it sees otherwise, not the luck of the draw.

    Raises:
        ConfigError, RouterStateError: the policy cannot be made.
    """
    replayer = Replayer(ledger, means, policy=policy)
    made = await replayer.again(run_id)
    other = policy is not None
    shapes = ShapeReplayer(ledger, means.weights)
    drawn = [] if other else shapes.again(run_id)
    changed = [a for a in made if (a.chosen != a.record.decision.chosen if other else not a.same)]
    quality, cost = _gains(ledger, means, made) if other else (None, None)
    team = any(a.team is not None for a in made)
    return Replay(
        policy=name if other else "as recorded",
        decisions=len(made) + len(drawn),
        agreed=len(made) - len(changed) + sum(a.same for a in drawn),
        changed=(*map(_changed, changed), *(_reshaped(a) for a in drawn if not a.same)),
        unstated=0 if other else sum(not a.stated for a in made),
        left_out=dict(replayer.left_out),
        failed=dict(replayer.failed + shapes.failed),
        quality=quality,
        cost_usd=cost,
        teams=team_gain(ledger, means, made) if other and team else None,
    )


def _changed(a: Again) -> Changed:
    d = a.record.decision
    return Changed(
        id=d.id, seq=d.seq, run_id=d.run_id, task_id=d.task_id, was=d.chosen, now=a.chosen,
        propensity_was=d.propensity, propensity_now=a.propensity, stated=a.stated,
    )  # fmt: skip


def _reshaped(a: ShapeAgain) -> Changed:
    d = a.record.decision
    return Changed(
        id=d.id, seq=d.seq, run_id=d.run_id, task_id="", kind="topology", was=d.chosen,
        now=(a.shape.value,), propensity_was=d.propensity, propensity_now=a.propensity,
    )  # fmt: skip


def replay_shapes(
    ledger: Ledger, weights: Mapping[str, float], policy: Spec, *, run_id: str | None = None,
    name: str = "",
) -> Replay:  # fmt: skip
    """The shapes that were drawn beside those of another selector, and what that would have meant.

    Raises:
        ConfigError: there is no such selector.
    """
    replayer = ShapeReplayer(ledger, weights, policy=policy)
    made = replayer.again(run_id)
    changed = [a for a in made if a.shape.value != a.record.decision.chosen[0]]
    rows = rows_of(ledger, weights, made)
    return Replay(
        policy=name,
        decisions=len(made),
        agreed=len(made) - len(changed),
        changed=tuple(map(_reshaped, changed)),
        left_out=dict(replayer.left_out),
        failed=dict(replayer.failed),
        quality=gain(rows.get("quality")),
        cost_usd=gain(rows.get("cost_usd")),
    )


def _gains(ledger: Ledger, means: Means, made: Sequence[Again]) -> tuple[Gain | str, Gain | str]:
    """Quality and cost of the other policy beside what was logged."""
    if not made:
        return "no decision was taken again", "no decision was taken again"
    first = min(a.record.decision.seq for a in made)
    try:
        judged, _ = judged_decisions(
            ledger, after_seq=first, weights=means.weights, quota=means.quota
        )
    except OverlapError as e:
        return f"{e}", f"{e}"
    again = {a.record.decision.id: a.propensities for a in made}
    of = [j for j in judged if j.record.decision.id in again]
    return (
        _gain(of, again, [j.quality for j in of]),
        _gain(of, again, [j.cost_usd for j in of]),
    )


def _gain(
    judged: Sequence[Judged], again: Mapping[str, F64], values: Sequence[float | None]
) -> Gain | str:
    known = [
        (j.record, v, again[j.record.decision.id])
        for j, v in zip(judged, values, strict=True)
        if v is not None
    ]
    if not known:
        return "nothing is known of what came of them"
    return gain(joined(known, {}).rows)
