"""What a replay came to, and the estimate that it gives."""

from __future__ import annotations

import numpy as np

from agentroute.errors import OverlapError
from agentroute.evaluation.offpolicy.estimators import LoggedRows, difference
from agentroute.model.decisions import Kind
from agentroute.model.record import Part


class Changed(Part):
    """A decision that came out otherwise."""

    id: str
    """The decision."""
    seq: int
    """Its row."""
    run_id: str
    """Its run."""
    task_id: str
    """Its task; '' for a shape."""
    was: tuple[str, ...]
    """Who was chosen; nobody: it abstained."""
    now: tuple[str, ...]
    """Who is chosen now."""
    propensity_was: float
    """The probability that it was taken with."""
    propensity_now: float
    """The probability that it is taken with now."""
    kind: Kind = "route"
    """Which of the choices of a run."""
    stated: bool = True
    """Whether its run says what decided it; a run of an older release may not."""


class Gain(Part):
    """A mean as logged, and the doubly robust estimate of it under the other policy."""

    rows: int
    """Decisions that count."""
    logged: float
    """Mean of what was got, or paid."""
    predicted: float
    """The estimate."""
    difference: float
    """The estimate less what was logged."""
    ci95: tuple[float, float]
    """95 % interval of the difference."""


class Replay(Part):
    """Decisions taken again, beside what was recorded."""

    policy: str
    """Who decided again: 'as recorded', or the name of another policy."""
    decisions: int
    """How many were taken again."""
    agreed: int
    """How many came out as recorded; of another policy: with the same agents."""
    changed: tuple[Changed, ...] = ()
    """The others, in order."""
    unstated: int = 0
    """How many are of runs that do not say what decided them: those may differ, as recorded."""
    left_out: dict[str, int] = {}
    """Decisions that no policy sampled, by reason."""
    failed: dict[str, int] = {}
    """Decisions that could not be taken again, by reason."""
    quality: Gain | str | None = None
    """What the other policy would have got; why that cannot be said; None as recorded."""
    cost_usd: Gain | str | None = None
    """What it would have paid a decision, in USD."""
    teams: Gain | str | None = None
    """What its teams would have got, as a whole; None where no team was drawn."""

    @property
    def agreement(self) -> float | None:
        """The share that agreed; None where nothing was taken again."""
        return self.agreed / self.decisions if self.decisions else None

    @property
    def holds(self) -> bool:
        """Whether every decision could be taken again and, as recorded, is the one it was.

        Where a run does not say what decided it, the settings in force stand in for it: that its
        decisions come out otherwise is no fault.
        """
        other = self.quality is not None
        return not self.failed and (other or not any(c.stated for c in self.changed))


def gain(rows: LoggedRows | None) -> Gain | str:
    """The estimate of rows; why there is none."""
    if rows is None:
        return "nothing is known of what came of them"
    try:
        d = difference(rows)
    except OverlapError as e:
        return f"{e}"
    logged = float(np.mean(rows.reward))
    return Gain(
        rows=len(rows),
        logged=logged,
        predicted=logged + d.value,
        difference=d.value,
        ci95=(d.lo, d.hi),
    )
