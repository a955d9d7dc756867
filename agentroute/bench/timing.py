"""How long a call takes, on a machine that others share.

A figure is q = min(median wall time, CPU time a call): neighbours on shared cores show in the one
and not in the other. p50 and p95 are wall time.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Microseconds of a call: ``q`` = min(p50, cpu), and the percentiles of the wall time."""

    q: float
    p50: float
    p95: float


def timed(fn: Callable[[], object], seconds: float, *, least: int = 5) -> Timing:
    """Time ``fn`` for ``seconds``, at least ``least`` calls, collector off."""
    fn()
    gc.collect()
    gc.disable()
    wall: list[float] = []
    end, cpu = time.perf_counter() + seconds, time.process_time()
    while time.perf_counter() < end or len(wall) < least:
        t = time.perf_counter()
        fn()
        wall.append(time.perf_counter() - t)
    cpu = (time.process_time() - cpu) / len(wall)
    gc.enable()
    wall.sort()
    p50 = statistics.median(wall)
    return Timing(1e6 * min(p50, cpu), 1e6 * p50, 1e6 * wall[int(0.95 * (len(wall) - 1))])
