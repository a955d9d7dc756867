import numpy as np
import pytest

from agentroute.features.text import HashingEncoder, WordLlamaEmbedder
from agentroute.testing import check_embedder
from agentroute.testing.embedders import RULES
from agentroute.testing.rules import sentence


@pytest.mark.parametrize(
    "factory", [WordLlamaEmbedder, HashingEncoder, lambda: HashingEncoder(dim=16)]
)
def test_every_embedder_here_conforms(factory):
    assert len(check_embedder(factory)) == len(RULES)


class NoName(HashingEncoder):
    def __init__(self):
        super().__init__()
        self.id = ""


class Doubles(HashingEncoder):
    def encode(self, texts):
        return super().encode(texts).astype(np.float64)


class Long(HashingEncoder):
    def encode(self, texts):
        return 2 * super().encode(texts)


class Constant(HashingEncoder):
    def encode(self, texts):
        return super().encode(["x" if t else "" for t in texts])


class Forgetful(HashingEncoder):
    def encode(self, texts):
        self.calls = getattr(self, "calls", 0) + 1
        return super().encode([t and f"{t} {self.calls}" for t in texts])


class Neighbours(HashingEncoder):
    def encode(self, texts):
        rows = super().encode(texts)
        return rows if len(rows) < 2 else np.roll(rows, 1, axis=1)


class Sorted(HashingEncoder):
    def encode(self, texts):
        return super().encode(sorted(texts))


class Renamed(HashingEncoder):
    built = 0

    def __init__(self):
        super().__init__()
        Renamed.built += 1
        self.id = f"number-{Renamed.built}"


class EmptyIsSomething(HashingEncoder):
    def encode(self, texts):
        return super().encode([t or "nothing" for t in texts])


BROKEN = {
    "rule_declares_itself": NoName,
    "rule_shape_and_type": Doubles,
    "rule_unit_rows": Long,
    "rule_tells_texts_apart": Constant,
    "rule_same_text_same_row": Forgetful,
    "rule_batch_equals_single": Neighbours,
    "rule_order_kept": Sorted,
    "rule_id_is_stable": Renamed,
    "rule_nothing_to_encode": EmptyIsSomething,
}


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.__name__)
def test_each_rule_goes_red_and_says_itself(rule):
    with pytest.raises(AssertionError) as told:
        check_embedder(BROKEN[rule.__name__])
    assert f"{rule.__name__}: {sentence(rule)}" in str(told.value)


def test_a_rule_can_be_left_out():
    assert len(check_embedder(NoName, skip=["rule_declares_itself"])) == len(RULES) - 1
