"""Words cut apart give the very ids of the whole text."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentroute.features.pieces import LONGEST, Pieces
from agentroute.features.text import WordLlamaEmbedder, _wordllama_files
from agentroute.model.arrays import normalise

PIECES, TABLE = _wordllama_files()
WORDS = st.text(st.sampled_from("ab Cé\n\t.,;\u2581漢字🙂ﬁ\u0301<s>/019-_'"), max_size=60)


@given(st.one_of(st.text(max_size=80), WORDS))
@example("")
@example(" ")
@example("  two  and \u2581\u2581one ")
@example("<s>the </s> <unk>")
@example("x" * (3 * LONGEST) + " y")
@example("\u2581")
def test_the_ids_are_those_of_the_tokenizer(text):
    assert PIECES.ids(text) == PIECES._whole(text)


def test_real_texts_take_the_short_way_and_come_out_the_same():
    assert PIECES._apart
    files = [*Path("docs").rglob("*.md"), *Path("experiments").glob("*.md")]
    texts = [p.read_text() for p in sorted(files)]
    assert len(texts) > 5
    for text in texts:
        assert PIECES.ids(text) == PIECES._whole(text)
        found = WordLlamaEmbedder().encode([text[:5_000]])
        mean = TABLE[PIECES._whole(text[:5_000])].mean(axis=0)
        np.testing.assert_array_equal(found, normalise(mean[None]))  # to the last bit


class Crossing:
    """A tokenizer with one piece across a space: 'a b' is one token."""

    model = None

    def __init__(self):
        self.model = self

    def get_added_tokens_decoder(self):
        return {}

    def tokenize(self, word):
        class One:
            id = len(word)

        return [One]

    def encode(self, text, add_special_tokens):
        class Found:
            ids = [7] * len(text)

        return Found


@pytest.mark.parametrize("text", ["a b", "one two three"])
def test_a_tokenizer_that_joins_words_is_asked_for_the_whole_text(text):
    pieces = Pieces(Crossing())
    assert not pieces._apart and pieces.ids(text) == [7] * len(text)
