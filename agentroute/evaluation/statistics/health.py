"""Can the routers learn? What a ledger says of feedback, exploration, calibration and the clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Literal

from agentroute.evaluation.metrics import expected_calibration_error
from agentroute.evaluation.statistics.calibration import expected_and_got
from agentroute.evaluation.statistics.reading import Choice, quality_of, reading  # fmt: skip
from agentroute.learning.sources import WEIGHTS
from agentroute.ledger import Ledger
from agentroute.model.events import JUDGED as JUDGE_DONE
from agentroute.model.record import Part

State = Literal["ok", "note"]
LAST = 2_000
FEW, STOOD, JUDGED, OFF = 0.1, 20, 30, 0.15
BACK_S = 60.0


class Finding(Part):
    """One thing that was looked at."""

    what: str
    """Which."""
    state: State
    """A note is worth a look."""
    detail: str
    """What was found, and what helps."""


def health(
    ledger: Ledger, *, weights: Mapping[str, float] = WEIGHTS, now: datetime | None = None
) -> tuple[Finding, ...]:
    """What the latest 2,000 route decisions say; nothing where there is none."""
    r = reading(ledger, LAST)
    choices, calls, said = r.choices, r.calls, r.said
    if not choices:
        return ()
    quality = [
        quality_of(c, c.chosen[0], calls, said, weights) if c.chosen else None for c in choices
    ]
    return (
        _feedback(quality),
        _tried(choices),
        _explores(choices),
        _calibrated(choices, quality),
        _clock(choices, now or datetime.now(UTC)),
        *_beside(ledger),
    )


def _feedback(quality: Sequence[float | None]) -> Finding:
    share = sum(q is not None for q in quality) / len(quality)
    words = f"{share:.0%} of the last {len(quality)} choices were judged"
    if share < FEW:
        return Finding(what="feedback", state="note", detail=f"{words}; agentroute feedback ID")
    return Finding(what="feedback", state="ok", detail=words)


def _beside(ledger: Ledger) -> Iterator[Finding]:
    """What the judge beside made of the runs that it took up, where there is one."""
    sql = (
        "SELECT json_extract(body, '$.data.came'), count(*), max(json_extract(body, '$.data.why'))"
        " FROM events WHERE type = ? GROUP BY 1 ORDER BY 1"
    )
    came = {str(c): (int(n), str(why)) for c, n, why in ledger.query(sql, (JUDGE_DONE,))}
    if not came:
        return
    words = "of runs without a verifier: " + ", ".join(f"{n} {c}" for c, (n, _) in came.items())
    lost = next((why for c in ("failed", "dropped") if c in came and (why := came[c][1])), "")
    state: State = "note" if came.keys() & {"failed", "dropped"} else "ok"
    yield Finding(what="judge", state=state, detail=f"{words} ({lost})" if lost else words)


def _tried(choices: Sequence[Choice]) -> Finding:
    stood = Counter(a for c in choices for a in c.candidates)
    won = {a for c in choices for a in c.chosen}
    never = sorted(a for a, n in stood.items() if n >= STOOD and a not in won)
    if not never:
        return Finding(what="agents tried", state="ok", detail=f"{len(won)} were chosen")
    few = ", ".join(never[:6]) + (f" and {len(never) - 6} more" if len(never) > 6 else "")
    words = f"stood {STOOD} times or more and never chosen: {few}"
    return Finding(what="agents tried", state="note", detail=words)


def _explores(choices: Sequence[Choice]) -> Finding:
    drawn = [c for c in choices if c.explored is not None and len(c.candidates) > 1]
    if not drawn:
        return Finding(what="exploration", state="ok", detail="no choice among several yet")
    sure = sum(c.propensity >= 1.0 - 1e-9 for c in drawn) / len(drawn)
    share = sum(bool(c.explored) for c in drawn) / len(drawn)
    words = f"{share:.1%} of {len(drawn)} choices among several were drawn against the scores"
    if sure > FEW:
        words += f"; {sure:.0%} had probability 1: no off-policy estimate can use them"
        return Finding(what="exploration", state="note", detail=words)
    return Finding(what="exploration", state="ok", detail=words)


def _calibrated(choices: Sequence[Choice], quality: Sequence[float | None]) -> Finding:
    expected, got = expected_and_got(choices, quality)
    if len(got) < JUDGED:
        words = f"{len(got)} judged choices with a score; {JUDGED} are needed"
        return Finding(what="calibration", state="ok", detail=words)
    error = expected_calibration_error(expected, got)
    words = (
        f"expected {expected.mean():.2f}, got {got.mean():.2f}; "
        f"calibration error {error:.2f} over {len(got)} judged choices"
    )
    return Finding(what="calibration", state="note" if error > OFF else "ok", detail=words)


def _clock(choices: Sequence[Choice], now: datetime) -> Finding:
    times = [datetime.fromisoformat(c.at).timestamp() for c in choices][::-1]
    back = sum(b < a - BACK_S for a, b in pairwise(times))
    ahead = times[-1] - now.timestamp()
    if back or ahead > BACK_S:
        words = f"went back {back} times; the last row is {max(ahead, 0.0):.0f} s in the future"
        return Finding(what="clock", state="note", detail=f"{words}: late feedback may expire")
    return Finding(what="clock", state="ok", detail="rows are in order of time")
