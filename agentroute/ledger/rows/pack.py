"""Named arrays in one self-describing run of bytes: a JSON header and raw little-endian data.

Layout: ``MAGIC`` (6 bytes), length of the header (u32, little-endian), the header (JSON list of
``[name, dtype, shape, coding]``, padded with spaces), then what each array's coding writes, in that
order (see ``codings``); header and arrays end on multiples of ``ALIGN``, so that a reader of dense
arrays needs no copy. The first version, ``MAGIC_1``, knows no codings: every array is dense.
Nothing in it can run code, and what ``pack`` would not write is refused.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from agentroute.errors import LedgerError, RowUnreadableError
from agentroute.ledger.rows.codings import ALIGN, CODINGS, decoded, encoded, ends

MAGIC_1, MAGIC = b"ARPK1\n", b"ARPK2\n"
DTYPES = frozenset({"<f8", "<f4", "<i8", "<i4", "|u1", "|b1"})
_DTYPES = {d: np.dtype(d) for d in DTYPES}
_CODES = {np.dtype(order + d[1:]): d for d in DTYPES for order in (d[0], ">")}
MAX_HEADER = 1 << 20
MAX_DIMS = 4
_START = len(MAGIC) + 4

Shape = tuple[int, ...]
Described = tuple[tuple[str, str, Shape, str], ...]  # name, dtype, shape, coding
Written = tuple[str, Shape, str, bytes]  # dtype, shape, coding, data

_KEPT: dict[int, tuple[NDArray[Any], Written]] = {}
MAX_KEPT, KEPT_BYTES = 64, 1 << 16


def pack(arrays: Mapping[str, NDArray[Any]], constant: Container[str] = ()) -> bytes:
    """The arrays as bytes, in the mapping's order.

    Of those called ``constant`` a read-only one with data of its own is said to stay as it is for
    as long as it lives: it is written once, and looked up for the next row.

    Raises:
        LedgerError: an array of a kind that is not in ``DTYPES``, or of too many dimensions.
    """
    described: list[Any] = []
    raw = [b""]
    for name, array in arrays.items():
        if name in constant:
            code, shape, coding, data = _kept(name, array)
        else:
            code, shape, coding, data = _written(name, array)
        described += (name, code, shape, coding)
        raw.append(data)
    raw[0] = _head(*described)
    return b"".join(raw)


def _written(name: str, array: NDArray[Any]) -> Written:
    """An array as it stands after the header."""
    dtype, shape = array.dtype, array.shape
    code = _CODES.get(dtype)
    if code is None or len(shape) > MAX_DIMS:
        raise LedgerError(f"array '{name}' of {dtype}, {len(shape)}-d cannot be packed")
    if dtype is not _DTYPES[code]:
        dtype = _DTYPES[code]
        array = array.astype(dtype, copy=False)
    return code, shape, *encoded(array.tobytes(), dtype)


def _kept(name: str, array: NDArray[Any]) -> Written:
    """The same, kept by the array's id: it is held, so that no other can have it."""
    found = _KEPT.get(id(array))
    if found is not None:
        return found[1]
    written = _written(name, array)
    if not array.flags.writeable and array.base is None and array.nbytes <= KEPT_BYTES:
        if len(_KEPT) >= MAX_KEPT:
            _KEPT.clear()
        _KEPT[id(array)] = array, written
    return written


@lru_cache(maxsize=256)  # rows of one catalogue differ in few codings
def _head(*described: Any) -> bytes:
    """The header of arrays described one after the other: name, dtype, shape and coding each."""
    fields = iter(described)
    head = orjson.dumps(list(zip(fields, fields, fields, fields, strict=True)))
    head += b" " * (-(_START + len(head)) % ALIGN)
    return MAGIC + len(head).to_bytes(4, "little") + head


def unpack(data: bytes, only: Container[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of ``pack``, bit-equal and read-only; dense ones share the memory of ``data``.

    With ``only`` those of these names; the others are passed over unread.

    Raises:
        RowUnreadableError: anything in ``data`` that ``pack`` would not have written.
    """
    offset = _START + _header_length(data)
    arrays: dict[str, NDArray[Any]] = {}
    for name, code, shape, coding in _described(data[:offset]):
        try:
            if only is not None and name not in only:
                offset = ends(coding, data, offset, _DTYPES[code], shape)
                continue
            arrays[name], offset = decoded(coding, data, offset, _DTYPES[code], shape)
        except ValueError as e:  # numpy refuses (0, 2**40, 2**40): no bytes, but no array either
            raise _broken(f"array '{name}': {e}") from None
    if offset != len(data):
        raise _broken(f"{len(data) - offset} bytes are left over")
    return arrays


def _broken(what: str) -> RowUnreadableError:
    hint = "run: agentroute ledger verify"
    return RowUnreadableError(f"packed data is broken: {what}", hint=hint)


def _header_length(data: bytes) -> int:
    if len(data) < _START or data[: len(MAGIC)] not in (MAGIC, MAGIC_1):
        raise _broken("it does not start with the mark of this format")
    length = int.from_bytes(data[len(MAGIC) : _START], "little")
    if length > min(MAX_HEADER, len(data) - _START) or (_START + length) % ALIGN:
        raise _broken("the header has an impossible length")
    return length


@lru_cache(maxsize=256)
def _described(head: bytes) -> Described:
    """What a header says, checked."""
    try:
        entries = orjson.loads(head[_START:])
    except orjson.JSONDecodeError as e:
        raise _broken(f"the header is not JSON ({e})") from None
    if not isinstance(entries, list):
        raise _broken("the header is not a list")
    first = head.startswith(MAGIC_1)
    out = tuple(_entry([*e, "dense"] if first and isinstance(e, list) else e) for e in entries)
    if len({name for name, *_ in out}) != len(out):
        raise _broken("an array occurs twice")
    return out


def _entry(entry: Any) -> tuple[str, str, Shape, str]:
    try:
        name, code, shape, coding = entry
        sound = isinstance(name, str) and isinstance(shape, list) and len(shape) <= MAX_DIMS
        sound = sound and code in DTYPES and coding in CODINGS
        if sound and all(type(s) is int and 0 <= s < 1 << 40 for s in shape):
            return name, code, tuple(shape), coding
    except (TypeError, ValueError):
        pass  # whatever is wrong with it, the one error below says so
    raise _broken("an array is described wrongly")
