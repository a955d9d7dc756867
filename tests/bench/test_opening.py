from __future__ import annotations

import pytest

from agentroute.bench.opening import bench_opening


@pytest.mark.slow
def test_opening_is_timed_by_the_length_of_the_ledger():
    empty, ratio, first, live = bench_opening((1_500,), repeats=2)
    assert empty.value > 0.1
    assert (ratio.name, ratio.limit) == ("route on 1,500 decisions", 1.3)
    assert ratio.value < 1.6  # a busy machine
    assert first.value > ratio.value * empty.value
    assert live.value < 200
