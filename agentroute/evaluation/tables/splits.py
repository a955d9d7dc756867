"""Which rows are learned from and which are scored: decided before anything is learned.

Nothing here looks at a score. A ``Cut`` is made of positions alone, so permuting the labels of the
test rows cannot change what is trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agentroute.errors import TableError, UsageError
from agentroute.evaluation.tables.outcomes import SPLITS, OutcomeTable, split_name
from agentroute.model.arrays import Ints
from agentroute.model.ids import keyed_rng

DEFAULT_TRAIN = ("train", "val")
DEFAULT_TEST = ("test",)


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """Positions ``train_rows`` of ``train`` and ``test_rows`` of ``test``.

    ``train_rows`` is empty where a bandit learns on the test rows as it goes. The tables may be
    one and the same; the arms of ``test`` are the candidates.
    """

    train: OutcomeTable
    train_rows: Ints
    test: OutcomeTable
    test_rows: Ints


def split_cut(
    train: OutcomeTable | None,
    test: OutcomeTable,
    *,
    train_split: Sequence[str] = (),
    test_split: Sequence[str] = (),
) -> Cut:
    """The cut by the tables' own splits.

    Without ``train_split`` it is train and val, less the test splits where both tables are one.
    Without a train table nothing is learned beforehand.

    Raises:
        TableError: a part without rows, an unknown split, or an id in both parts.
    """
    test_names = _names(test_split or DEFAULT_TEST)
    test_rows = _some_rows(test, test_names, "test")
    if train is None:
        return Cut(test, np.empty(0, np.int64), test, test_rows)
    same = train is test or _same_rows(train, test)
    default = [s for s in DEFAULT_TRAIN if not (same and s in test_names)]
    train_rows = _some_rows(train, _names(train_split) or default, "train")
    cut = Cut(train, train_rows, test, test_rows)
    _refuse_overlap(cut)
    return cut


def holdout_cuts(
    table: OutcomeTable,
    *,
    holdout: float,
    cuts: int,
    group_by: str | None = None,
    splits: Sequence[str] = (),
    seed: int = 0,
) -> list[Cut]:
    """``cuts`` random cuts inside one table; a share ``holdout`` of rows (or groups) is the test.

    With ``group_by`` all rows of one value of that feature land on the same side, so that the test
    asks about values never seen. Rows of the table's own test split stay out unless named.

    Raises:
        UsageError: ``holdout`` not in (0, 1), ``cuts`` < 1, or a part that would be empty.
    """
    if not 0 < holdout < 1:
        raise UsageError(f"holdout {holdout} is not between 0 and 1", hint="for example 0.2")
    if cuts < 1:
        raise UsageError(f"{cuts} cuts are too few", hint="--cuts 10")
    rows = _some_rows(table, _names(splits) or list(DEFAULT_TRAIN), "train")
    groups = np.arange(len(rows)) if group_by is None else _codes(table, group_by)[rows]
    return [_holdout(table, rows, groups, holdout, keyed_rng(seed, "cut", k)) for k in range(cuts)]


def folds(count: int, k: int, rng: np.random.Generator) -> list[tuple[Ints, Ints]]:
    """Random k folds of ``count`` positions as (fit, held out) pairs, for choices inside train."""
    order = rng.permutation(count)
    parts = np.array_split(order, min(k, count))
    return [(np.setdiff1d(order, part), np.sort(part)) for part in parts]


def _holdout(
    table: OutcomeTable, rows: Ints, groups: Ints, holdout: float, rng: np.random.Generator
) -> Cut:
    values = rng.permutation(np.unique(groups))
    held = values[: max(1, round(holdout * len(values)))]
    inside = np.isin(groups, held)
    if inside.all():
        raise UsageError("the holdout leaves no row to learn from", hint="a smaller --holdout")
    return Cut(table, rows[~inside], table, rows[inside])


def _codes(table: OutcomeTable, feature: str) -> Ints:
    return np.unique(table.column(feature).astype(str), return_inverse=True)[1].astype(np.int64)


def _names(splits: Sequence[str]) -> list[str]:
    words = [splits] if isinstance(splits, str) else splits
    return [split_name(w.strip()) for s in words for w in s.split(",")]


def _some_rows(table: OutcomeTable, splits: Sequence[str], part: str) -> Ints:
    rows = table.rows(splits)
    if not len(rows):
        have = [s for s in SPLITS if len(table.rows([s]))]
        raise TableError(
            f"{table.name} has no rows of split {' or '.join(splits) or '(none left)'}",
            hint=f"it has {', '.join(have)}: choose with --{part}-split",
        )
    return rows


def _same_rows(a: OutcomeTable, b: OutcomeTable) -> bool:
    """Whether two tables are one table loaded twice."""
    return a.name == b.name and np.array_equal(a.ids, b.ids)


def _refuse_overlap(cut: Cut) -> None:
    both = set(cut.train.ids[cut.train_rows]) & set(cut.test.ids[cut.test_rows])
    if both:
        raise TableError(
            f"{len(both)} ids are in both parts, for example '{min(both)}'",
            hint="choose disjoint splits with --train-split and --test-split",
        )
