"""Learned state on disk: arrays (.npz, no pickle) and a JSON manifest with their SHA-256.

A version is ``v000007.npz`` and ``v000007.json``. Each file is written under another name, synced
and renamed, the manifest last: a version exists once its manifest does. ``current.json`` names the
version in use, so a rollback is one small file. Nothing is ever overwritten.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from threading import get_ident
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from agentroute.choosing.state import StateDict
from agentroute.errors import RouterStateError
from agentroute.model.ids import sha256

log = logging.getLogger(__name__)

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
_NUMBERED = re.compile(r"\.?v(\d+)\.(?:npz|json)")
_FORMAT = 1
_LOCAL = 30  # bytes of a file's header in a zip, which end with the lengths of what follows
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# Where NaN means "never observed" (the cost head of LinUCB, the outcomes of kNN, the reasoner's
# fitted threshold), also inside of an ensemble; any other router names its arrays in
# ``meta["may_be_nan"]``.
_UNSEEN = re.compile(r"(?:^|[./:])(?:costs\.base|quality|scope)$")


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """State with where it came from. ``skipped`` names newer versions that were found damaged.

    ``provenance`` is JSON that says more: of a snapshot, what it depends on and what was counted.
    """

    name: str
    number: int
    sha256: str
    state: StateDict
    base: str = ""
    folded: int = 0
    ledger_hash: str = ""
    skipped: tuple[str, ...] = field(default=())
    provenance: dict[str, Any] = field(default_factory=dict)


class StateStore:
    """A folder of named states, each with its versions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(
        self,
        name: str,
        state: StateDict,
        *,
        base: str = "",
        folded: int = 0,
        ledger_hash: str = "",
        provenance: Mapping[str, Any] | None = None,
    ) -> Snapshot:
        """Write a new version and make it the current one; durable when this returns.

        Raises:
            RouterStateError: an array is not plain numbers, or holds infinity, or NaN where that
                does not mean "never observed" (``meta["may_be_nan"]`` names such arrays).
        """
        _check_arrays(state.arrays, state.meta, what=f"state '{name}'")
        home = self._home(name)
        home.mkdir(parents=True, exist_ok=True)
        number = _claim(home, max(self.versions(name), default=0) + 1)
        data = _npz(state.arrays)
        about: dict[str, Any] = {
            "format": _FORMAT, "name": name, "kind": state.kind, "version": state.version,
            "meta": state.meta, "base": base, "folded": folded, "ledger_hash": ledger_hash,
            "arrays": {k: [a.dtype.str, list(a.shape)] for k, a in state.arrays.items()},
            "data_sha256": sha256(data), "provenance": dict(provenance or {}),
        }  # fmt: skip
        manifest = _sealed({**about, "number": number}, f"state '{name}'")
        write_synced(home / f"{_stem(number)}.npz", data)
        write_synced(home / f"{_stem(number)}.json", manifest)
        self._point_to(name, number)
        return Snapshot(
            name, number, _identity(about), state, base, folded, ledger_hash,
            provenance=about["provenance"],
        )  # fmt: skip

    def load(self, name: str, number: int | None = None) -> Snapshot:
        """A version; by default the current one, or the last good one before it.

        Raises:
            RouterStateError: there is none, or the one asked for is damaged.
        """
        if number is not None:
            return self._read(name, number, ())
        skipped: list[str] = []
        current = self.current(name)
        for candidate in sorted((v for v in self.versions(name) if v <= current), reverse=True):
            try:
                return self._read(name, candidate, tuple(skipped))
            except RouterStateError as e:
                log.error("state: %s; trying the one before", e)
                skipped.append(_stem(candidate))
        raise RouterStateError(
            f"no good version of the state '{name}' is in {self.folder}",
            hint=f"agentroute state reset {name} sets it aside",
        )

    def manifest(self, name: str, number: int) -> dict[str, Any]:
        """What a version says of itself, without its arrays.

        Raises:
            RouterStateError: it is not there, or its manifest is damaged.
        """
        file = f"{_stem(number)}.json"
        return _unsealed(self._bytes(name, file), f"{name}/{_stem(number)}")

    def prune(self, name: str, *, keep: int) -> None:
        """Forget all but the last ``keep`` versions, and what was left of unfinished ones."""
        home, last = self._home(name), self.versions(name)[-keep:]
        for path in home.glob("*v[0-9]*"):
            found = _NUMBERED.match(path.name)
            if found and last and int(found[1]) not in last and int(found[1]) < last[-1]:
                path.unlink(missing_ok=True)

    def versions(self, name: str) -> list[int]:
        """The numbers of all versions, oldest first."""
        return sorted(int(p.stem[1:]) for p in self._home(name).glob("v[0-9]*.json"))

    def names(self) -> list[str]:
        """The names of all states."""
        return sorted(p.parent.name for p in self.folder.glob("*/current.json"))

    def current(self, name: str) -> int:
        """The number of the version in use; the newest where the pointer is unreadable."""
        try:
            sealed = (self._home(name) / "current.json").read_bytes()
            return int(_unsealed(sealed, f"{name}/current")["number"])
        except (OSError, RouterStateError) as e:
            if self.versions(name):
                log.warning("state: %s; taking the newest version", e)
            return max(self.versions(name), default=0)

    def rollback(self, name: str, number: int) -> Snapshot:
        """Make an older version the current one. Newer ones stay and can be rolled forward to.

        Raises:
            RouterStateError: that version is not there or damaged.
        """
        found = self.load(name, number)
        self._point_to(name, number)
        return found

    def reset(self, name: str) -> Path:
        """Set a state aside, all versions of it, and forget its name; where it was moved to.

        Raises:
            RouterStateError: there is none.
        """
        home = self._home(name)
        if not home.is_dir():
            raise RouterStateError(
                f"no state is called '{name}' in {self.folder}", hint="agentroute state ls"
            )
        aside = self.folder / ".reset"
        aside.mkdir(exist_ok=True)
        n = 1
        while (aside / f"{name}-{n}").exists():
            n += 1
        return home.rename(aside / f"{name}-{n}")

    def _point_to(self, name: str, number: int) -> None:
        pointer = _sealed({"format": _FORMAT, "number": number}, f"state '{name}'")
        write_synced(self._home(name) / "current.json", pointer)

    def _home(self, name: str) -> Path:
        if not _NAME.match(name):
            raise RouterStateError(f"'{name}' cannot name a state", hint="letters, digits, . _ -")
        return self.folder / name

    def _read(self, name: str, number: int, skipped: tuple[str, ...]) -> Snapshot:
        where = f"{name}/{_stem(number)}"
        sealed = self._bytes(name, f"{_stem(number)}.json")
        about = _unsealed(sealed, where)
        if about.get("number", number) != number:  # older releases did not write it
            raise _damaged(where, f"its files are those of version {about['number']}")
        try:
            with (self._home(name) / f"{_stem(number)}.npz").open("rb") as f:
                arrays, found = _arrays(f, about["arrays"], where)
        except OSError as e:
            raise RouterStateError(f"the state {where} is not there: {e}") from e
        if about["name"] != name or found != about["data_sha256"]:
            raise _damaged(where, "the arrays are not the ones of its manifest")
        _check_arrays(arrays, about["meta"], what=f"the state {where}")
        state = StateDict(about["kind"], about["version"], about["meta"], arrays)
        return Snapshot(
            name, number, _identity(about), state, about["base"], about["folded"],
            about["ledger_hash"], skipped, about.get("provenance", {}),
        )  # fmt: skip

    def _bytes(self, name: str, file: str) -> bytes:
        try:
            return (self._home(name) / file).read_bytes()
        except OSError as e:
            raise RouterStateError(f"the state {name}/{file} is not there: {e}") from e


def _claim(home: Path, number: int) -> int:
    """The first number from ``number`` on that no other process or thread has taken."""
    while True:
        try:
            os.close(os.open(home / f"{_stem(number)}.npz", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            return number
        except FileExistsError:
            number += 1


def write_synced(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` so that after a crash there is the old file or the new, whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{get_ident()}.tmp")
    with temporary.open("wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _identity(about: Mapping[str, Any]) -> str:
    """What names a state in every row: its manifest but for the version's number, so that the same
    lessons give the same name. Older releases wrote no number.
    """
    return sha256(_sealed({k: v for k, v in about.items() if k != "number"}, "state"))


def _stem(number: int) -> str:
    return f"v{number:06d}"


def _damaged(where: str, what: str) -> RouterStateError:
    return RouterStateError(f"the state {where} is damaged: {what}", hint="agentroute state ls")


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _sealed(about: dict[str, Any], what: str) -> bytes:
    """JSON that carries the SHA-256 of its own content: a flipped bit in it shows."""
    try:
        content = orjson.dumps(about, option=orjson.OPT_SORT_KEYS)
    except TypeError as e:
        raise RouterStateError(f"{what}: its meta is not JSON: {e}") from e
    sealed = {"content": about, "sha256": sha256(content)}
    return orjson.dumps(sealed, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)


def _unsealed(sealed: bytes, where: str) -> dict[str, Any]:
    try:
        about: dict[str, Any] = orjson.loads(sealed)["content"]
        if _sealed(about, where) != sealed:
            raise _damaged(where, "its manifest was changed")
    except (ValueError, KeyError, TypeError) as e:
        raise _damaged(where, f"its manifest cannot be read ({e})") from e
    if about.get("format") != _FORMAT:
        raise RouterStateError(f"the state {where} was written by another release")
    return about


def _arrays(
    f: BufferedReader, expected: Mapping[str, list[Any]], where: str
) -> tuple[dict[str, NDArray[Any]], str]:
    """The arrays of a file, and its SHA-256. It is read once, each array to where it stays: a
    command reads tens of megabytes of a long ledger's state.
    """
    digest, arrays = hashlib.sha256(), {}
    try:
        with zipfile.ZipFile(f) as z:
            entries = sorted(z.infolist(), key=lambda entry: entry.header_offset)
        f.seek(0)
        for entry in entries:
            local = _read(f, entry.header_offset + _LOCAL - f.tell(), digest)
            _read(f, sum(struct.unpack("<HH", local[-4:])), digest)  # its name, and what is extra
            k, start = entry.filename.removesuffix(".npy"), f.tell()
            shape, fortran, dtype = _HEADERS[np.lib.format.read_magic(f)](f)
            length, _ = f.tell() - start, f.seek(start)
            _read(f, length, digest)
            if [dtype.str, list(shape)] != expected[k] or entry.compress_type:
                raise ValueError(f"array '{k}' is of another type or shape")
            flat: Any = np.empty(entry.file_size - length, np.uint8)
            if f.readinto(flat) != len(flat):
                raise ValueError(f"array '{k}' is cut short")
            digest.update(flat)
            arrays[k] = flat.view(dtype).reshape(shape, order="F" if fortran else "C")
        digest.update(f.read())
    except Exception as e:  # a flipped bit of a header may raise anything
        raise _damaged(where, str(e) or type(e).__name__) from e
    if len(arrays) != len(expected):
        raise _damaged(where, "arrays are missing")
    return arrays, digest.hexdigest()


def _read(f: BufferedReader, length: int, digest: Any) -> bytes:
    data = f.read(length)
    digest.update(data)
    return data


def _check_arrays(
    arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any], *, what: str
) -> None:
    for k, a in arrays.items():
        if a.dtype.kind not in "biufUS":
            raise RouterStateError(f"{what}: array '{k}' of {a.dtype} is not plain data")
        free = k in meta.get("may_be_nan", ()) or _UNSEEN.search(k) is not None
        sound = a.dtype.kind != "f" or np.isfinite(a).all()
        if not sound and (np.isinf(a).any() or not free):
            raise RouterStateError(
                f"{what}: array '{k}' holds NaN or infinity", hint="agentroute state ls"
            )
