"""The conformance suite of embedders: run it on your own.

from agentroute.testing import check_embedder

def test_my_embedder():
check_embedder(MyEmbedder())
"""

from __future__ import annotations

import numpy as np

from agentroute.model.arrays import Embedder
from agentroute.testing.rules import require

TEXTS = ("refund order seven", "compile the module", "", "Übersetze den Satz", "x " * 400)


def rule_declares_itself(embedder: Embedder) -> None:
    """It has an id that names its space, and a width."""
    assert isinstance(embedder, Embedder), "it lacks id, dim or encode"
    assert embedder.id, "id is empty"
    assert embedder.dim > 0, "dim is not positive"


def rule_gives_float32_rows(embedder: Embedder) -> None:
    """N texts give (n, dim) float32, finite."""
    out = embedder.encode(TEXTS)
    assert out.shape == (len(TEXTS), embedder.dim), f"shape {out.shape}"
    assert out.dtype == np.float32, f"dtype {out.dtype}"
    assert np.isfinite(out).all(), "not finite"


def rule_rows_are_unit_or_zero(embedder: Embedder) -> None:
    """Rows have length one; an empty text is a row of zeros."""
    lengths = np.linalg.norm(embedder.encode(TEXTS), axis=1)
    empty = TEXTS.index("")
    assert lengths[empty] == 0, "an empty text is not a row of zeros"
    assert np.allclose(np.delete(lengths, empty), 1.0, atol=1e-5), f"lengths {lengths}"


def rule_takes_no_texts(embedder: Embedder) -> None:
    """No texts give no rows."""
    out = embedder.encode([])
    assert out.shape == (0, embedder.dim), f"shape {out.shape}"


def rule_is_deterministic(embedder: Embedder) -> None:
    """The same text gives the same row."""
    assert (embedder.encode(TEXTS) == embedder.encode(TEXTS)).all(), "two calls differ"


def rule_rows_do_not_depend_on_neighbours(embedder: Embedder) -> None:
    """A text alone gives the row that it has among others, in whatever order."""
    together = embedder.encode(TEXTS)
    turned = embedder.encode(TEXTS[::-1])[::-1]
    alone = np.concatenate([embedder.encode([t]) for t in TEXTS])
    assert np.allclose(together, alone, atol=1e-6), "a text alone gives another row"
    assert np.allclose(together, turned, atol=1e-6), "the order of texts matters"


RULES = (
    rule_declares_itself,
    rule_gives_float32_rows,
    rule_rows_are_unit_or_zero,
    rule_takes_no_texts,
    rule_is_deterministic,
    rule_rows_do_not_depend_on_neighbours,
)


def check_embedder(embedder: Embedder) -> None:
    """Hold an embedder to its contract.

    Raises:
        AssertionError: one line for each rule that is broken.
    """
    require(RULES, embedder)
