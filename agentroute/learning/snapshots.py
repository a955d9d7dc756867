"""What a learner keeps between openings, so that opening folds recent rows alone.

A snapshot is a cache: the ledger stays the truth. It is used where it fits the ledger's hash at its
seq and everything that the state depends on beside the rows; else it is set aside with a warning,
and the ledger is folded anew. Nothing that goes wrong with one is an error.
"""

from __future__ import annotations

import inspect
import logging
import os
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson

from agentroute.choosing.catalog import DEFAULT, POLICY
from agentroute.choosing.protocol import Router
from agentroute.choosing.state import StateDict
from agentroute.errors import LedgerError, RouterStateError
from agentroute.learning.state import Snapshot, StateStore
from agentroute.ledger import Ledger
from agentroute.model.ids import sha256

log = logging.getLogger(__name__)

FOLDER = "snapshots"  # in the folder of learned state
DISTRIBUTION = "agentroute-router"
KEEP = 3
LARGE, LARGEST = 100_000_000, 1_000_000_000  # bytes: of large ones the last is kept, beyond none


class Snapshots:
    """The snapshots of one router's spec over one ledger, in ``folder`` / "snapshots".

    ``depends_on`` is all that the state depends on beside the spec, the release and the rows
    (embedder, seed, weights, ...), as JSON: a snapshot that was written under another is not used.
    """

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        spec: Mapping[str, Any],
        router: Router,
        depends_on: Mapping[str, Any],
    ) -> None:
        own = {k: v for k, v in spec.items() if k not in POLICY}
        own["name"] = DEFAULT if own["name"] == "default" else own["name"]
        self.store, self._ledger = StateStore(folder / FOLDER), ledger
        about = orjson.dumps([own, _relative(ledger.path, folder)], option=orjson.OPT_SORT_KEYS)
        plain = re.sub(r"[^A-Za-z0-9]+", "-", own["name"]).strip("-")[:40] or "router"
        self.name = f"{plain}-{sha256(about)[:12]}"
        self._fits = {"spec": own, "release": _release(type(router)), **depends_on}

    def newest(self) -> Snapshot | None:
        """The newest that fits; None where none does."""
        reasons: list[str] = []
        for number in sorted(self.store.versions(self.name), reverse=True):
            try:
                misfit = self._misfit(self.store.manifest(self.name, number))
                if not misfit:
                    return self.store.load(self.name, number)
            except (RouterStateError, OSError) as e:
                misfit = str(e)
            reasons.append(misfit)
        if reasons:
            self.set_aside(reasons[0])
        return None

    def set_aside(self, why: str) -> None:
        """Say that a snapshot is not used, and why."""
        log.warning("the snapshot '%s' is set aside: %s; folding the ledger anew", self.name, why)

    def save(self, state: StateDict, *, base: str, folded: int, notes: Mapping[str, Any]) -> None:
        """Write one, and forget those before the last few; a failure is logged."""
        size = sum(a.nbytes for a in state.arrays.values())
        try:
            if size > LARGEST:
                raise RouterStateError(f"the state has {size / 1e9:.1f} GB")
            self.store.save(
                self.name, state, base=base, folded=folded,
                ledger_hash=self._ledger.hash_at(folded) or "",
                provenance={"fits": self._fits, **notes},
            )  # fmt: skip
            self.store.prune(self.name, keep=KEEP if size < LARGE else 1)
        except (RouterStateError, LedgerError, OSError) as e:
            log.warning("no snapshot of '%s' was written: %s", self.name, e)

    def _misfit(self, about: Mapping[str, Any]) -> str:
        """Why a snapshot does not fit, '' where it does."""
        theirs = about.get("provenance", {}).get("fits", {})
        for key, value in orjson.loads(orjson.dumps(self._fits)).items():
            if theirs.get(key) != value:
                return f"it was learned with another {key}"
        if (self._ledger.hash_at(about["folded"]) or "") != about["ledger_hash"]:
            return "it was learned from another ledger"
        if self._ledger.erased_since(about["folded"]):
            return "texts that it was learned from were erased"
        return ""


def _relative(path: Path, folder: Path) -> str:
    """The ledger as seen from the folder: both may be moved together."""
    try:
        return os.path.relpath(path.absolute(), folder.absolute())
    except ValueError:  # on another drive
        return str(path.absolute())


def _release(cls: type) -> str:
    """What the state depends on of the code: the release, and the files of the router.

    Of ours all of its folder, so that a checkout need not change its version; of one of your own
    the file that it stands in.
    """
    try:
        file = Path(inspect.getfile(cls))
        ours = cls.__module__.startswith("agentroute.")
        files = sorted(file.parent.glob("*.py")) if ours else [file]
        return f"{_version()} {sha256(b''.join(f.read_bytes() for f in files))}"
    except (OSError, TypeError):  # defined in a shell: good for as long as the process lives
        return f"{id(cls)} of process {os.getpid()}"


def _version() -> str:
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return ""
