"""As many as can be are read, in order; equals are cut evenly."""

import pytest

from agentroute.toolbox.caps import shares, within


@pytest.mark.parametrize(
    ("sizes", "most", "most_bytes", "kept"),
    [
        ([9, 1, 1, 1], 10, 5, [1, 2, 3]),
        ([1, 1, 1, 9], 10, 5, [0, 1, 2]),
        ([4, 1, 3, 1], 10, 5, [1, 2, 3]),
        ([1] * 8, 4, 99, [0, 2, 4, 6]),
        ([1] * 8, 99, 4, [0, 2, 4, 6]),
        ([9, 1, 1], 2, 5, [1, 2]),
        ([9, 7], 10, 5, [1]),
        ([0, 0, 9], 10, 0, [0, 1]),
        ([], 10, 5, []),
    ],
)
def test_what_fits_both_caps(sizes, most, most_bytes, kept):
    found = list(enumerate(sizes))
    assert [i for i, _ in within(found, most, most_bytes)] == kept


@pytest.mark.parametrize(
    ("sizes", "total", "expected"),
    [
        ([100, 2, 3], 20, [15, 2, 3]),
        ([10, 10, 1], 11, [5, 5, 1]),
        ([1, 2], 50, [1, 2]),
        ([], 5, []),
    ],
)
def test_large_ones_share_what_small_ones_leave(sizes, total, expected):
    assert shares(sizes, total) == expected
