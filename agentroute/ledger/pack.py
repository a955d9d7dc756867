"""Named arrays in one self-describing run of bytes: a JSON header and raw little-endian data.

Layout: ``MAGIC`` (6 bytes), length of the header (u32, little-endian), the header (JSON list of
``[name, dtype, shape]``), then the data of each array in that order, C-contiguous, unpadded.
Nothing in it can run code, and a reader that meets one wrong byte says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from agentroute.errors import LedgerError

MAGIC = b"ARPK1\n"
DTYPES = frozenset({"<f8", "<f4", "<i8", "<i4", "|u1", "|b1"})
_CODES = {np.dtype(order + d[1:]): d for d in DTYPES for order in (d[0], ">")}
MAX_HEADER = 1 << 20
MAX_DIMS = 4
_START = len(MAGIC) + 4


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays as bytes, in the mapping's order.

    Raises:
        LedgerError: an array of a kind that is not in ``DTYPES``, or of too many dimensions.
    """
    header, raw = [], []
    for name, array in arrays.items():
        code = _CODES.get(array.dtype)
        if code is None or array.ndim > MAX_DIMS:
            raise LedgerError(f"array '{name}' of {array.dtype}, {array.ndim}-d cannot be packed")
        header.append((name, code, array.shape))
        raw.append(array.astype(code, copy=False).tobytes())
    head = orjson.dumps(header)
    return b"".join((MAGIC, len(head).to_bytes(4, "little"), head, *raw))


def unpack(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of ``pack``, bit-equal, aligned and read-only.

    Raises:
        LedgerError: anything in ``data`` that ``pack`` would not have written.
    """
    offset, arrays = _START + _header_length(data), {}
    for name, dtype, shape in _header(data[_START:offset]):
        size = prod(shape) * dtype.itemsize
        if name in arrays or offset + size > len(data):
            raise _broken(f"array '{name}' occurs twice or runs past the end")
        arrays[name] = _array(data, dtype, shape, offset, size)
        offset += size
    if offset != len(data):
        raise _broken(f"{len(data) - offset} bytes are left over")
    return arrays


def _broken(what: str) -> LedgerError:
    return LedgerError(f"packed data is broken: {what}", hint="run: agentroute ledger verify")


def _header_length(data: bytes) -> int:
    if len(data) < _START or data[: len(MAGIC)] != MAGIC:
        raise _broken("it does not start with the mark of this format")
    length = int.from_bytes(data[len(MAGIC) : _START], "little")
    if length > min(MAX_HEADER, len(data) - _START):
        raise _broken("the header is too long")
    return length


def _header(raw: bytes) -> list[tuple[str, np.dtype[Any], tuple[int, ...]]]:
    try:
        entries = orjson.loads(raw)
    except orjson.JSONDecodeError as e:
        raise _broken(f"the header is not JSON ({e})") from None
    if not isinstance(entries, list):
        raise _broken("the header is not a list")
    return [_entry(e) for e in entries]


def _entry(entry: object) -> tuple[str, np.dtype[Any], tuple[int, ...]]:
    match entry:
        case [str(name), str(dtype), [*shape]] if dtype in DTYPES and len(shape) <= MAX_DIMS:
            sizes = tuple(s for s in shape if type(s) is int and 0 <= s < 1 << 40)
            if len(sizes) == len(shape):
                return name, np.dtype(dtype), sizes
    raise _broken("an array is described wrongly")


def _array(
    data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int, size: int
) -> NDArray[Any]:
    # Copied: numpy and BLAS may add up unaligned memory in another order, and then replay != live.
    flat = np.frombuffer(data, np.uint8, count=size, offset=offset).copy()
    if dtype.kind == "b" and size and flat.max() > 1:
        raise _broken("a truth value is neither 0 nor 1")
    try:
        array = flat.view(dtype).reshape(shape)
    except ValueError as e:  # e.g. (0, 2**40, 2**40): no bytes, but no array of numpy either
        raise _broken(str(e)) from None
    array.flags.writeable = False
    return array
