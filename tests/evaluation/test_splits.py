import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentroute.errors import TableError, UsageError
from agentroute.evaluation.tables.splits import folds, holdout_cuts, split_cut
from tests.evaluation.maketable import table

THREE = table(30, splits=("train", "val", "test"))


def test_by_default_train_and_val_teach_and_test_is_scored():
    cut = split_cut(THREE, THREE)
    assert set(THREE.split[cut.train_rows]) == {"train", "val"}
    assert set(THREE.split[cut.test_rows]) == {"test"}


def test_in_one_table_the_test_split_leaves_the_default_train_splits():
    cut = split_cut(THREE, THREE, test_split=["validation"])
    assert set(THREE.split[cut.train_rows]) == {"train"}
    assert set(THREE.split[cut.test_rows]) == {"val"}


def test_in_two_tables_it_does_not():
    other = table(30, splits=("val",), name="other")
    cut = split_cut(THREE, other, test_split=["val"])
    assert set(THREE.split[cut.train_rows]) == {"train", "val"}


def test_an_id_in_both_parts_is_an_error():
    with pytest.raises(TableError, match="10 ids are in both parts"):
        split_cut(THREE, THREE, train_split=["train", "test"], test_split=["test"])
    with pytest.raises(TableError, match="both parts"):
        split_cut(table(30, splits=("train",)), table(30, splits=("test",)))


def test_a_part_without_rows_says_which_splits_there_are():
    with pytest.raises(TableError, match="no rows of split test") as e:
        split_cut(table(splits=("train",)), table(splits=("train", "val")))
    assert "train, val" in e.value.hint and "--test-split" in e.value.hint
    with pytest.raises(TableError, match="'holdout' is not a split"):
        split_cut(THREE, THREE, test_split=["holdout"])


@given(share=st.floats(0.05, 0.85), seed=st.integers(0, 99), by_group=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_holdout_is_a_partition(share, seed, by_group):
    t = table(48, 4)
    group = "kind" if by_group else None
    for cut in holdout_cuts(t, holdout=share, cuts=2, group_by=group, seed=seed, splits=["train"]):
        both = np.concatenate([cut.train_rows, cut.test_rows])
        assert sorted(both) == t.rows(["train"]).tolist()
        assert len(cut.train_rows) and len(cut.test_rows)
        if by_group:
            seen = set(t.column("kind")[cut.train_rows])
            assert not seen & set(t.column("kind")[cut.test_rows])


def test_cuts_differ_and_repeat_with_their_seed():
    a, b = holdout_cuts(THREE, holdout=0.3, cuts=2, seed=1)
    again = holdout_cuts(THREE, holdout=0.3, cuts=2, seed=1)[1]
    assert a.test_rows.tolist() != b.test_rows.tolist() == again.test_rows.tolist()
    assert "test" not in set(THREE.split[np.concatenate([a.train_rows, a.test_rows])])


@pytest.mark.parametrize("bad", [{"holdout": 0.0}, {"holdout": 1.0}, {"holdout": 0.2, "cuts": 0}])
def test_a_holdout_that_cannot_be_cut_is_refused(bad):
    with pytest.raises(UsageError):
        holdout_cuts(THREE, **({"cuts": 1} | bad))


def test_folds_cover_every_row_once():
    parts = folds(11, 5, np.random.default_rng(0))
    assert sorted(np.concatenate([held for _, held in parts])) == list(range(11))
    assert all(
        len(np.intersect1d(fit, held)) == 0 and len(fit) + len(held) == 11 for fit, held in parts
    )
