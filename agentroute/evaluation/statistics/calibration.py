"""Is what was expected what was got?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from agentroute.evaluation.metrics import expected_calibration_error
from agentroute.evaluation.statistics.reading import (  # fmt: skip
    Choice,
    Reading,
    quality_of,
    reading,
)
from agentroute.learning.sources import WEIGHTS
from agentroute.ledger import Ledger
from agentroute.model.arrays import F64
from agentroute.model.record import Part

BINS = 10


class Bin(Part):
    """Judged choices whose expected quality was alike."""

    low: float
    """From here, to 0.1 above."""
    choices: int
    """How many."""
    expected: float
    """Mean of what was expected."""
    got: float
    """Mean of what was learned of them."""


class Calibration(Part):
    """Expected beside got, over the judged choices by quality alone."""

    choices: int
    """How many count."""
    error: float | None = None
    """Mean gap over the bins, weighed by their sizes (ECE); None where nothing counts."""
    bins: tuple[Bin, ...] = ()
    """Ten of equal width; empty ones are left out."""


def calibration(
    ledger: Ledger, *, last: int, weights: Mapping[str, float] = WEIGHTS,
    read: Reading | None = None,
) -> Calibration:  # fmt: skip
    """Of the latest ``last`` route decisions; where cost or latency weighed, none is counted."""
    r = read or reading(ledger, last)
    choices, calls, said = r.choices, r.calls, r.said
    quality = [
        quality_of(c, c.chosen[0], calls, said, weights) if c.chosen else None for c in choices
    ]
    expected, got = expected_and_got(choices, quality)
    if not len(got):
        return Calibration(choices=0)
    place = np.clip((expected * BINS).astype(int), 0, BINS - 1)
    return Calibration(
        choices=len(got),
        error=expected_calibration_error(expected, got, BINS),
        bins=tuple(_bin(i, expected[place == i], got[place == i]) for i in np.unique(place)),
    )


def expected_and_got(choices: Sequence[Choice], quality: Sequence[float | None]) -> tuple[F64, F64]:
    """(n,) expected quality in [0, 1] and (n,) what was learned, where both are known."""
    pairs = [
        (c.expected, q)
        for c, q in zip(choices, quality, strict=True)
        if c.expected is not None and q is not None
    ]
    expected, got = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    return np.clip(expected, 0.0, 1.0), got


def _bin(i: int, expected: F64, got: F64) -> Bin:
    return Bin(
        low=int(i) / BINS,
        choices=len(got),
        expected=float(expected.mean()),
        got=float(got.mean()),
    )
