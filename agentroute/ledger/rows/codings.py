"""How an array's data is written: as it is, or short where it says little.

Most arrays of a decision are one repeated value (load, prior), 0..n-1 (rows) or mostly one value
(propensities). A coding is found by comparing bytes, so what comes back is bit-equal: -0.0 and
every NaN as they were.

``dense``: the data. ``one``: the repeated item. ``count``: nothing, 0, 1, ..., n-1 of ``<i8``.
``few``: the usual item, the number of the others, their places (``<u4``, ascending), their items.
Each part is padded with zeros to a multiple of ``ALIGN``.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGN = 16
LEAST = 32  # bytes of an array below which nothing is gained
MOST = 1 << 27  # bytes that a short coding may stand for: a broken row must not fill the memory
PAD = bytes(ALIGN)
COUNT = "<i8"
SHORT = 4096  # items up to which a decoded array is kept for the next row
_COUNTED = np.dtype(COUNT)
_PLACES = np.dtype("<u4")
_INTS = {size: np.dtype(f"<u{size}") for size in (1, 4, 8)}


def padded(data: bytes) -> bytes:
    """``data`` up to the next multiple of ``ALIGN``."""
    short = -len(data) % ALIGN
    return data + PAD[:short] if short else data


def encoded(data: bytes, dtype: np.dtype[Any]) -> tuple[str, bytes]:
    """The coding of an array's bytes, and what it writes: the shortest that applies."""
    size, n = dtype.itemsize, len(data)
    if LEAST <= n <= MOST:
        first, last = data[:size], data[-size:]
        at = n // size // 2 * size
        # An item that may be most of them: two of the first, the middle and the last are equal.
        if first == last:
            if data == first * (n // size):
                return "one", padded(first)
            return _few(data, at // size if data[at : at + size] == first else 0, dtype)
        if dtype is _COUNTED and data == _counted(n // size):
            return "count", b""
        middle = data[at : at + size]
        if middle in (first, last):
            return _few(data, at // size, dtype)
    return "dense", data if n % ALIGN == 0 else padded(data)


def _few(data: bytes, usual: int, dtype: np.dtype[Any]) -> tuple[str, bytes]:
    """By the places of what differs from the item at ``usual``."""
    size = dtype.itemsize
    items = np.frombuffer(data, _INTS[size])
    places = (items != items[usual]).nonzero()[0]
    m = len(places)
    if 2 * size * m > len(data):
        return "dense", padded(data)
    head = data[usual * size : (usual + 1) * size].ljust(8, b"\0") + m.to_bytes(8, "little")
    if m == 1:  # as propensities are: without four more arrays
        i = int(places[0])
        written = head + padded(i.to_bytes(4, "little")) + padded(data[i * size : (i + 1) * size])
    else:
        written = head + padded(places.astype(_PLACES).tobytes()) + padded(items[places].tobytes())
    return ("few", written) if 4 * len(written) < 3 * len(data) else ("dense", padded(data))


@lru_cache(maxsize=64)
def _counted(n: int) -> bytes:
    return np.arange(n, dtype=COUNT).tobytes()


class Unreadable(ValueError):
    """Written data that ``encoded`` does not make."""


def decoded(
    coding: str, data: bytes, at: int, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> tuple[NDArray[Any], int]:
    """The array written at ``at``, read-only, and where what was written ends.

    Raises:
        Unreadable: it runs past the end, or is not what ``encoded`` writes.
    """
    n = prod(shape)
    if coding == "dense":
        end = _end(data, at, n * dtype.itemsize)
        array = np.frombuffer(data, dtype, count=n, offset=at)
    else:
        if n * dtype.itemsize > MOST:
            raise Unreadable("a short array is impossibly long")
        array, end = _SHORT[coding](data, at, dtype, n)
    if dtype.kind == "b" and (
        data[at] > 1 if coding == "one" else (array.view(np.uint8) > 1).any()
    ):
        raise Unreadable("a truth value is neither 0 nor 1")
    return (array if array.shape == shape else array.reshape(shape)), end


def ends(coding: str, data: bytes, at: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """Where the array written at ``at`` ends, without reading it.

    Raises:
        Unreadable: it runs past the end.
    """
    size = dtype.itemsize
    if coding == "dense":
        return _end(data, at, prod(shape) * size)
    if coding == "few":
        start = _end(data, at, 16)
        m = int.from_bytes(data[at + 8 : at + 16], "little")
        return _end(data, _end(data, start, m * _PLACES.itemsize), m * size)
    return at if coding == "count" else _end(data, at, size)


def _read_one(data: bytes, at: int, dtype: np.dtype[Any], n: int) -> tuple[NDArray[Any], int]:
    end = _end(data, at, dtype.itemsize)
    item = data[at : at + dtype.itemsize]
    return (_repeated if n <= SHORT else _repeated.__wrapped__)(item, dtype, n), end


def _read_count(_: bytes, at: int, dtype: np.dtype[Any], n: int) -> tuple[NDArray[Any], int]:
    if dtype.str != COUNT:
        raise Unreadable("only whole numbers are counted")
    return (_counting if n <= SHORT else _counting.__wrapped__)(n), at


def _read_few(data: bytes, at: int, dtype: np.dtype[Any], n: int) -> tuple[NDArray[Any], int]:
    size, start = dtype.itemsize, _end(data, at, 16)
    m = int.from_bytes(data[at + 8 : at + 16], "little")
    values = _end(data, start, m * _PLACES.itemsize)
    end = _end(data, values, m * size)
    places = np.frombuffer(data, _PLACES, count=m, offset=start)
    if m and (int(places[-1]) >= n or (m > 1 and (places[1:] <= places[:-1]).any())):
        raise Unreadable("the places of an array are not in order")
    if data[at + size : at + 8].strip(b"\0"):
        raise Unreadable("the padding is not zeros")
    out = np.frombuffer(bytearray(data[at : at + size] * n), _INTS[size])
    out[places] = np.frombuffer(data, _INTS[size], count=m, offset=values)
    array = out.view(dtype)
    array.flags.writeable = False
    return array, end


def _end(data: bytes, at: int, length: int) -> int:
    """Where a part of that length ends, its padding included."""
    end = at + length
    padding = -end % ALIGN
    if end + padding > len(data):
        raise Unreadable("an array runs past the end")
    if data[end : end + padding] != PAD[:padding]:
        raise Unreadable("the padding is not zeros")
    return end + padding


@lru_cache(maxsize=256)  # the same few in every row: read-only, so they are shared
def _repeated(item: bytes, dtype: np.dtype[Any], n: int) -> NDArray[Any]:
    return np.frombuffer(item * n, dtype)


@lru_cache(maxsize=64)
def _counting(n: int) -> NDArray[Any]:
    return np.frombuffer(_counted(n), COUNT)


_SHORT = {"one": _read_one, "count": _read_count, "few": _read_few}
CODINGS = frozenset({"dense", *_SHORT})
