import numpy as np
import pytest

from agentroute.features.text import HashingEncoder, make_embedder
from agentroute.testing import check_embedder


@pytest.mark.parametrize("name", ["wordllama", "hashing"])
def test_the_shipped_embedders_conform(name):
    check_embedder(make_embedder(name))


class Twisted(HashingEncoder):
    def __init__(self, twist):
        super().__init__()
        self.twist, self.calls = twist, 0

    def encode(self, texts):
        self.calls += 1
        return self.twist(super().encode(texts), self.calls)


@pytest.mark.parametrize(
    ("twist", "rule"),
    [
        (lambda rows, n: rows.astype(np.float64), "rule_gives_float32_rows"),
        (lambda rows, n: rows * np.float32(2), "rule_rows_are_unit_or_zero"),
        (lambda rows, n: rows[:, :-1] if not len(rows) else rows, "rule_takes_no_texts"),
        (lambda rows, n: rows * np.float32((-1) ** n), "rule_is_deterministic"),
        (lambda rows, n: rows[::-1].copy(), "rule_rows_do_not_depend_on_neighbours"),
    ],
)
def test_each_rule_goes_red(twist, rule):
    with pytest.raises(AssertionError, match=rule):
        check_embedder(Twisted(twist))


def test_what_is_no_embedder_is_said():
    with pytest.raises(AssertionError, match="lacks id, dim or encode"):
        check_embedder(object())
