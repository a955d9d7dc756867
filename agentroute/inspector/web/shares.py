"""What pages share: the latest choices, read once, and figures of groups as words."""

from __future__ import annotations

from agentroute.evaluation.statistics.groups import Group
from agentroute.evaluation.statistics.reading import Reading, reading
from agentroute.inspector.web.desk import Desk


def latest(desk: Desk, last: int) -> Reading:
    """The latest ``last`` choices and what came of them, read once for each state of the ledger."""
    return desk.once(("reading", last), lambda: reading(desk.ledger, last))


def share(x: float | None) -> str:
    """A share in per cent; '' where nothing is known."""
    return "" if x is None else f"{x:.0%}"


def spread(g: Group) -> str:
    """Mean quality, and half of its 95 % interval."""
    if g.quality is None:
        return ""
    half = "" if g.ci95 is None else f" ± {(g.ci95[1] - g.ci95[0]) / 2:.3f}"
    return f"{g.quality:.3f}{half}"
