"""Named arrays in one self-describing run of bytes: a JSON header and raw little-endian data.

Layout: ``MAGIC`` (6 bytes), length of the header (u32, little-endian), the header (JSON list of
``[name, dtype, shape]``, padded with spaces), then the data of each array in that order,
C-contiguous, padded with zeros; header and arrays end on multiples of ``ALIGN``, so that a reader
needs no copy. Nothing in it can run code, and what ``pack`` would not write is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from agentroute.errors import LedgerError, RowUnreadableError

MAGIC = b"ARPK1\n"
DTYPES = frozenset({"<f8", "<f4", "<i8", "<i4", "|u1", "|b1"})
_DTYPES = {d: np.dtype(d) for d in DTYPES}
_CODES = {np.dtype(order + d[1:]): d for d in DTYPES for order in (d[0], ">")}
_Described = tuple[str, np.dtype[Any], tuple[int, ...], int]  # name, dtype, shape, bytes
MAX_HEADER = 1 << 20
MAX_DIMS = 4
ALIGN = 16
_START = len(MAGIC) + 4
_PAD = bytes(ALIGN)


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays as bytes, in the mapping's order.

    Raises:
        LedgerError: an array of a kind that is not in ``DTYPES``, or of too many dimensions.
    """
    header: list[tuple[str, str, tuple[int, ...]]] = []
    raw: list[bytes] = []
    for name, array in arrays.items():
        code = _CODES.get(array.dtype)
        if code is None or array.ndim > MAX_DIMS:
            raise LedgerError(f"array '{name}' of {array.dtype}, {array.ndim}-d cannot be packed")
        header.append((name, code, array.shape))
        data = array.astype(code, copy=False).tobytes()
        raw += (data, _PAD[: -len(data) % ALIGN])
    head = orjson.dumps(header)
    head += b" " * (-(_START + len(head)) % ALIGN)
    return b"".join((MAGIC, len(head).to_bytes(4, "little"), head, *raw))


def unpack(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of ``pack``, bit-equal and read-only; they share the memory of ``data``.

    Raises:
        RowUnreadableError: anything in ``data`` that ``pack`` would not have written.
    """
    offset = _START + _header_length(data)
    arrays: dict[str, NDArray[Any]] = {}
    for name, dtype, shape, size in _header(data[_START:offset]):
        end = offset + size
        if name in arrays or end > len(data):
            raise _broken(f"array '{name}' occurs twice or runs past the end")
        arrays[name] = _array(data, dtype, shape, offset)
        offset = end + -end % ALIGN
        if data[end:offset] != _PAD[: offset - end]:
            raise _broken("the padding is not zeros")
    if offset != len(data):
        raise _broken(f"{len(data) - offset} bytes are left over")
    return arrays


def _broken(what: str) -> RowUnreadableError:
    hint = "run: agentroute ledger verify"
    return RowUnreadableError(f"packed data is broken: {what}", hint=hint)


def _header_length(data: bytes) -> int:
    if len(data) < _START or data[: len(MAGIC)] != MAGIC:
        raise _broken("it does not start with the mark of this format")
    length = int.from_bytes(data[len(MAGIC) : _START], "little")
    if length > min(MAX_HEADER, len(data) - _START) or (_START + length) % ALIGN:
        raise _broken("the header has an impossible length")
    return length


@lru_cache(maxsize=64)  # rows among the same agents have the same header
def _header(raw: bytes) -> tuple[_Described, ...]:
    try:
        entries = orjson.loads(raw)
    except orjson.JSONDecodeError as e:
        raise _broken(f"the header is not JSON ({e})") from None
    if not isinstance(entries, list):
        raise _broken("the header is not a list")
    return tuple(_entry(entry) for entry in entries)


def _entry(entry: Any) -> _Described:
    try:
        name, code, shape = entry
        dtype = _DTYPES[code]
        sound = isinstance(name, str) and isinstance(shape, list) and len(shape) <= MAX_DIMS
        if sound and all(type(s) is int and 0 <= s < 1 << 40 for s in shape):
            return name, dtype, tuple(shape), prod(shape) * dtype.itemsize
    except (TypeError, ValueError, KeyError):
        pass  # whatever is wrong with it, the one error below says so
    raise _broken("an array is described wrongly")


def _array(data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int) -> NDArray[Any]:
    size = prod(shape)
    if dtype.kind == "b" and data[offset : offset + size].strip(b"\x00\x01"):
        raise _broken("a truth value is neither 0 nor 1")
    try:
        return np.frombuffer(data, dtype, count=size, offset=offset).reshape(shape)
    except ValueError as e:  # e.g. (0, 2**40, 2**40): no bytes, but no array of numpy either
        raise _broken(str(e)) from None
