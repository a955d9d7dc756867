from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agentroute.errors import LedgerError
from agentroute.ledger.rows import pack as packing
from agentroute.ledger.rows.codings import MOST
from agentroute.ledger.rows.pack import DTYPES, MAGIC, MAGIC_1, pack, unpack

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


@given(ARRAYS, st.data())
def test_some_of_them_are_read_as_if_all_were(arrays, data):
    packed = pack(arrays)
    names = data.draw(st.sets(st.sampled_from(sorted(arrays)))) if arrays else set()
    some, whole = unpack(packed, names), unpack(packed)
    assert list(some) == [n for n in whole if n in names]
    for name in names:
        assert some[name].tobytes() == whole[name].tobytes()
    with pytest.raises(LedgerError):
        unpack(packed + bytes(16), set())


@given(st.binary(max_size=200))
def test_noise_is_refused(noise):
    for data in (noise, MAGIC + noise):
        if data != pack({}):
            with pytest.raises(LedgerError):
                unpack(data)


def head(text, magic=MAGIC_1):
    text += b" " * (-(len(MAGIC) + 4 + len(text)) % 16)
    return magic + len(text).to_bytes(4, "little") + text


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
        head(b'[["a","<f8",[9]]]', MAGIC),
        head(b'[["a","<f8",[9],"zip"]]', MAGIC) + bytes(16),
        head(b'[["a","<f8",[9],"one"]]', MAGIC),
        head(b'[["a","<f8",[9],"one"]]', MAGIC) + bytes(15) + b"x",
        head(b'[["a","|b1",[99],"one"]]', MAGIC) + b"\x02" + bytes(15),
        head(b'[["a","<f8",[9],"count"]]', MAGIC),
        head(b'[["a","|u1",[%d],"one"]]' % (MOST + 1), MAGIC) + bytes(16),
        head(b'[["a","|u1",[99],"few"]]', MAGIC) + bytes(8) + b"\xff" * 8,
        head(b'[["a","|u1",[99],"few"]]', MAGIC)
        + bytes(8)
        + b"\x01"
        + bytes(7)
        + b"\x63"
        + bytes(31),
        head(b'[["a","|u1",[99],"few"]]', MAGIC)
        + bytes(8)
        + b"\x02"
        + bytes(7)
        + b"\x05"
        + bytes(31),
        head(b'[["a","|u1",[99],"few"]]', MAGIC) + b"\0\1" + bytes(14),
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


def spread(n, usual, **others):
    a = np.full(n, usual)
    for place, value in others.items():
        a[int(place[1:])] = value
    return a


@pytest.mark.parametrize(
    ("array", "most"),
    [
        (np.full(1_000, 0.3), 16),
        (np.full(1_000, np.nan), 16),
        (np.zeros((10, 100), bool), 16),
        (np.arange(1_000), 0),
        (spread(1_000, 0.001, i7=0.9, i999=-0.0), 48),
        (spread(1_000, 1.0, i0=np.nan), 48),
        (spread(1_000, 0, i3=7, i4=9).astype(np.uint8), 48),
        (np.random.default_rng(0).random(1_000), 8_000),
        (np.arange(1_000)[::-1], 8_000),
        (np.arange(1_000, dtype=np.int32), 4_000),
    ],
)
def test_what_says_little_costs_little(array, most):
    data = pack({"a": array})
    assert len(data) <= 64 + most
    got = unpack(data)["a"]
    assert (got.dtype, got.shape, got.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert not got.flags.writeable and got.flags.c_contiguous and got.flags.aligned


def test_zeros_of_both_signs_are_kept_apart():
    a = np.zeros(100)
    a[3] = -0.0
    assert np.signbit(unpack(pack({"a": a}))["a"]).tolist() == np.signbit(a).tolist()


@given(
    st.sampled_from(sorted(DTYPES)).flatmap(
        lambda d: hnp.arrays(
            np.dtype(d), st.integers(0, 200), elements=None, fill=hnp.from_dtype(np.dtype(d))
        )
    )
)
def test_arrays_of_mostly_one_value_come_back_bit_equal(array):
    got = unpack(pack({"a": array}))["a"]
    assert (got.dtype, got.tobytes()) == (array.dtype, array.tobytes())


def test_the_first_version_is_still_read():
    packed = head(b'[["a","<f8",[2]],["b","|b1",[3]]]')
    packed += np.array([1.5, np.nan]).tobytes() + b"\1\0\1" + bytes(13)
    got = unpack(packed)
    assert got["a"].tobytes() == np.array([1.5, np.nan]).tobytes()
    assert got["b"].tolist() == [True, False, True]


def test_a_constant_array_is_written_once_and_any_other_anew(monkeypatch):
    written = []
    real = packing.encoded
    monkeypatch.setattr(packing, "encoded", lambda *a: written.append(1) or real(*a))
    still, moving = np.arange(40.0), np.arange(40.0)
    still.flags.writeable = moving.flags.writeable = False
    for value in (1.0, 2.0):
        moving.flags.writeable = True  # as who uses one buffer for every answer
        moving[3] = value
        moving.flags.writeable = False
        got = unpack(pack({"a": still, "b": moving}, {"a"}))
        np.testing.assert_array_equal(got["a"], np.arange(40.0))
        assert got["b"][3] == value
    assert len(written) == 3
    open_, view = np.arange(40.0), still[:]
    for array in (open_, view):  # who can be changed, or may be by another name, is written anew
        before = len(written)
        for _ in range(2):
            pack({"a": array}, {"a"})
        assert len(written) == before + 2
    for i in range(3 * packing.MAX_KEPT):
        array = np.full(40, float(i))
        array.flags.writeable = False
        np.testing.assert_array_equal(unpack(pack({"a": array}, {"a"}))["a"], array)
    assert len(packing._KEPT) <= packing.MAX_KEPT
