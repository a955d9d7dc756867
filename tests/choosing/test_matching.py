"""The matching of items to agents: as good as the best of all assignments, which are tried."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agentroute.choosing.matching import NOBODY, Places, matched, waves


def worth(u, to, places):
    """The total, items in order: each agent's k-th item waits k // limit waves."""
    load, total = places.taken.copy(), 0.0
    for i, a in enumerate(to):
        if a != NOBODY:
            total += u[i, a] - places.price(load)[a]
            load[a] += 1
    return total


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(1, 6), m=st.integers(1, 4), seed=st.integers(0, 10_000),
    wait=st.sampled_from([0.0, 0.05, 0.3, 5.0]), digits=st.sampled_from([1, 6]),
)  # fmt: skip
def test_no_assignment_is_worth_more(n, m, seed, wait, digits):
    rng = np.random.default_rng(seed)
    u = rng.random((n, m)).round(digits)  # one digit: many equals
    u[rng.random((n, m)) < 0.2] = -np.inf
    u[np.isneginf(u).all(axis=1), 0] = 0.5
    places = Places(rng.integers(1, 3, m), rng.integers(0, 3, m), np.full(m, np.inf), wait)
    to = matched(u, places)
    best = max(worth(u, np.array(t), places) for t in product(range(m), repeat=n))
    assert abs(worth(u, to, places) - best) < 1e-9
    wave = waves(to, places)
    for a in range(m):
        counts = np.bincount(wave[to == a])
        assert (counts <= places.limit[a]).all()


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 5), m=st.integers(1, 3), seed=st.integers(0, 10_000))
def test_agents_that_get_one_item_at_most_are_left_at_one(n, m, seed):
    rng = np.random.default_rng(seed)
    u = rng.random((n, m))
    most = np.where(rng.random(m) < 0.5, 1.0, np.inf)
    places = Places(rng.integers(1, 3, m), np.zeros(m, np.int64), most, 0.1)
    to = matched(u, places)
    assert (np.bincount(to[to != NOBODY], minlength=m) <= most).all()
    can = [t for t in product(range(m), repeat=n) if (np.bincount(t, minlength=m) <= most).all()]
    if can:
        best = max(worth(u, np.array(t), places) for t in can)
        assert abs(worth(u, to, places) - best) < 1e-9
    else:
        assert (to == NOBODY).sum() == n - most.sum()


def test_five_hundred_items_are_matched_in_a_blink():
    rng = np.random.default_rng(0)
    u = rng.random((500, 8))
    places = Places(np.full(8, 3), np.zeros(8, np.int64), np.full(8, np.inf), 0.01)
    to = matched(u, places)
    greedy = u.argmax(axis=1)
    assert worth(u, to, places) > worth(u, greedy, places)
