"""Figures of groups as words."""

from __future__ import annotations

from agentroute.evaluation.statistics.groups import Group


def share(x: float | None) -> str:
    """A share in per cent; '' where nothing is known."""
    return "" if x is None else f"{x:.0%}"


def spread(g: Group) -> str:
    """Mean quality, and half of its 95 % interval."""
    if g.quality is None:
        return ""
    half = "" if g.ci95 is None else f" ± {(g.ci95[1] - g.ci95[0]) / 2:.3f}"
    return f"{g.quality:.3f}{half}"
