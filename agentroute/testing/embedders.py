"""The conformance suite of embedders: run it on your own.

    from agentroute.testing import check_embedder

    def test_my_embedder():
        check_embedder(MyEmbedder)

Each rule is a function ``rule(factory)`` that raises ``AssertionError`` with what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from agentroute.model.arrays import F32, Embedder
from agentroute.testing.rules import run_rules

Factory = Callable[[], Embedder]
TEXTS = (
    "refund an order",
    "Plot a chart of last week's sales",
    "refund an order, please",
    "x",
    "Straße, 東京, emoji 🙂 and\nseveral lines\tof text",
    "12.5 % of 3,000",
    "word " * 500,
)
TOLERANCE = 1e-6


def encode(embedder: Embedder, texts: Sequence[str]) -> F32:
    """The rows of ``texts``, after a look at their shape and type."""
    rows = embedder.encode(list(texts))
    assert isinstance(rows, np.ndarray), f"encode gave a {type(rows).__name__}, not an array"
    wanted = (len(texts), embedder.dim)
    assert rows.shape == wanted, f"encode gave the shape {rows.shape}, not {wanted}"
    return rows


# -- the rules ----------------------------------------------------------------------------------


def rule_declares_itself(factory: Factory) -> None:
    """It has an id, a number of columns, and the method encode."""
    embedder = factory()
    assert isinstance(embedder, Embedder), "it lacks id, dim or encode"
    assert isinstance(embedder.id, str), "id is not a text"
    assert embedder.id, "id is empty"
    assert isinstance(embedder.dim, int), "dim is not a whole number"
    assert embedder.dim > 0, "dim is not positive"


def rule_shape_and_type(factory: Factory) -> None:
    """Each text gets a row: (n, dim), finite, float32."""
    rows = encode(factory(), TEXTS)
    assert rows.dtype == np.float32, f"the rows are {rows.dtype}, not float32"
    assert np.isfinite(rows).all(), "a row is not finite"


def rule_unit_rows(factory: Factory) -> None:
    """Every row has length 1 or is all zeros."""
    length = np.linalg.norm(encode(factory(), TEXTS).astype(np.float64), axis=1)
    for text, n in zip(TEXTS, length, strict=True):
        assert n == 0 or abs(n - 1) < 1e-4, f"the row of {text[:40]!r} has length {n:.4f}"


def rule_tells_texts_apart(factory: Factory) -> None:
    """Texts about different things get different rows."""
    a, b = encode(factory(), TEXTS[:2])
    assert not np.allclose(a, b, atol=1e-3), "two unlike texts got the same row"


def rule_same_text_same_row(factory: Factory) -> None:
    """The same text gets the same row, within a call and in a later one."""
    embedder = factory()
    first = encode(embedder, [*TEXTS, *TEXTS])
    _close(first[: len(TEXTS)], first[len(TEXTS) :], "a text twice in one call got two rows")
    _close(encode(embedder, TEXTS), first[: len(TEXTS)], "a later call gave another row")


def rule_batch_equals_single(factory: Factory) -> None:
    """A row does not depend on the texts beside it: one by one gives the same, to 1e-6."""
    embedder = factory()
    alone = np.concatenate([encode(embedder, [t]) for t in TEXTS])
    _close(encode(embedder, TEXTS), alone, "alone a text got another row than among others")


def rule_order_kept(factory: Factory) -> None:
    """Row i belongs to text i, in whatever order the texts come."""
    embedder = factory()
    rows, backwards = encode(embedder, TEXTS), encode(embedder, TEXTS[::-1])
    _close(rows, backwards[::-1], "the rows are not in the order of the texts")


def rule_id_is_stable(factory: Factory) -> None:
    """Two that are built alike share their id and rows, and encoding changes neither id nor dim."""
    a, b = factory(), factory()
    before = (a.id, a.dim)
    rows = encode(a, TEXTS)
    assert (a.id, a.dim) == before, "encoding changed id or dim"
    assert (b.id, b.dim) == before, "the same embedder built again has another id or dim"
    _close(rows, encode(b, TEXTS), "the same id gave another row")


def rule_nothing_to_encode(factory: Factory) -> None:
    """No texts give (0, dim), and an empty text gives a row of zeros."""
    embedder = factory()
    assert encode(embedder, []).dtype == np.float32, "no texts gave another type than float32"
    rows = encode(embedder, ["", TEXTS[0]])
    assert not rows[0].any(), "an empty text is not a row of zeros"
    _close(rows[1:], encode(embedder, TEXTS[:1]), "an empty text moved the row after it")


RULES: tuple[Callable[[Factory], None], ...] = (
    rule_declares_itself,
    rule_shape_and_type,
    rule_unit_rows,
    rule_tells_texts_apart,
    rule_same_text_same_row,
    rule_batch_equals_single,
    rule_order_kept,
    rule_id_is_stable,
    rule_nothing_to_encode,
)


def check_embedder(factory: Factory, *, skip: Iterable[str] = ()) -> tuple[str, ...]:
    """Run every rule on embedders from ``factory``; returns the names of those that held.

    Args:
        factory: makes an embedder, always alike.
        skip: names of rules that do not apply; say why where you use it.

    Raises:
        AssertionError: names every broken rule and what was wrong.
    """
    return run_rules(RULES, lambda rule: rule(factory), skip)


def _close(a: F32, b: F32, message: str) -> None:
    worst = float(np.abs(a.astype(np.float64) - b).max(initial=0.0))
    assert worst <= TOLERANCE, f"{message} (off by {worst:.2g})"
