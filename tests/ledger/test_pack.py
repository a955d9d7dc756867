from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agentroute.errors import LedgerError
from agentroute.ledger.rows.pack import DTYPES, MAGIC, pack, unpack

ARRAYS = st.dictionaries(
    st.text(max_size=12),
    st.sampled_from(sorted(DTYPES)).flatmap(
        lambda d: hnp.arrays(
            np.dtype(d), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
        )
    ),
    max_size=5,
)


@given(ARRAYS)
def test_arrays_come_back_bit_equal_and_read_only(arrays):
    got = unpack(pack(arrays))
    assert list(got) == list(arrays)
    for k, a in arrays.items():
        assert (got[k].dtype, got[k].shape, got[k].tobytes()) == (a.dtype, a.shape, a.tobytes())
        assert not got[k].flags.writeable and got[k].flags.aligned


@settings(max_examples=120)
@given(ARRAYS, st.data())
def test_mutants_are_read_or_refused_in_our_words(arrays, data):
    good = bytearray(pack(arrays))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(good) - 1))
        how = data.draw(st.sampled_from(["flip", "cut", "grow"]))
        if how == "flip":
            good[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "cut":
            good = good[: max(1, at)]
        else:
            good[at:at] = data.draw(st.binary(max_size=9))
    try:
        got = unpack(bytes(good))
    except LedgerError:
        return
    assert all(isinstance(a, np.ndarray) for a in got.values())


@given(st.binary(max_size=200))
def test_noise_is_refused(noise):
    for data in (noise, MAGIC + noise):
        if data != pack({}):
            with pytest.raises(LedgerError):
                unpack(data)


def head(text):
    text += b" " * (-(len(MAGIC) + 4 + len(text)) % 16)
    return MAGIC + len(text).to_bytes(4, "little") + text


@pytest.mark.parametrize(
    "bad",
    [
        head(b'[["a","|O",[1]]]') + bytes(8),
        head(b'[["a","<f8",[-1]]]'),
        head(b'[["a","<f8",[true]]]') + bytes(8),
        head(b'[["a","<f8",[1099511627775,1099511627775]]]'),
        head(b'[["a","<f8",[0,1099511627775,1099511627775]]]'),
        head(b'[["a","|u1",[1]],["a","|u1",[1]]]') + bytes(32),
        head(b'[["a","|b1",[1]]]') + b"\x02" + bytes(15),
        head(b'[["a","|u1",[1]]]') + bytes(17),
        head(b'[["a","|u1",[1]]]') + bytes(15) + b"x",
        head(b'{"a":1}'),
        MAGIC + b"\xff\xff\xff\xff",
    ],
)
def test_each_kind_of_lie_is_refused(bad):
    with pytest.raises(LedgerError, match="broken"):
        unpack(bad)


def test_only_plain_numbers_are_packed():
    for a in (np.array([{}], object), np.zeros(2, np.complex128), np.zeros((1,) * 5)):
        with pytest.raises(LedgerError):
            pack({"a": a})
    big = np.arange(3, dtype=">i8")
    assert unpack(pack({"a": big}))["a"].tolist() == [0, 1, 2]
