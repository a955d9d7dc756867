"""Where agents and graphs are looked for, in order; the first folder that has a name wins."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import quote, unquote

from agentroute.errors import LedgerError

Catalogue = Literal["agents", "graphs"]

SCHEME = "sqlite:///"


class Place(NamedTuple):
    """A folder of the search order and the reason it is in it."""

    folder: Path
    origin: str


def bundled(kind: Catalogue) -> Path:
    """The shipped catalogue: inside an installed wheel, else the checkout's own folder."""
    inside = Path(str(files("agentroute"))) / "_bundled" / kind
    return inside if inside.is_dir() else Path(__file__).resolve().parents[2] / kind


def bundled_data(name: str) -> Path:
    """A shipped outcome table."""
    inside = Path(str(files("agentroute"))) / "_bundled" / "data" / name
    root = Path(__file__).resolve().parents[2]
    return inside if inside.is_dir() else root / "examples" / "data" / name


def user_dir(env: Mapping[str, str] = os.environ) -> Path:
    """The user's own folder (XDG)."""
    base = env.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "agentroute"


def search_order(
    kind: Catalogue,
    *,
    given: Sequence[Path] = (),
    configured: Sequence[Path] = (),
    cwd: Path | None = None,
    env: Mapping[str, str] = os.environ,
) -> list[Place]:
    """The existing folders, most wanted first.

    Order: the command's own option, ``AGENTROUTE_PATH`` (folders that hold ``agents/`` and
    ``graphs/``), ``agentroute.yaml``, ``./agents``, the user's directory, the bundled set.
    """
    places = [Place(p, f"--{kind}") for p in given]
    for part in filter(None, env.get("AGENTROUTE_PATH", "").split(os.pathsep)):
        places.append(Place(Path(part) / kind, "AGENTROUTE_PATH"))
    places += [Place(p, "agentroute.yaml") for p in configured]
    places.append(Place((cwd or Path.cwd()) / kind, f"./{kind}"))
    places.append(Place(user_dir(env) / kind, "user"))
    places.append(Place(bundled(kind), "bundled"))
    seen: set[Path] = set()
    out = []
    for place in places:
        real = place.folder.resolve()
        if real not in seen and place.folder.is_dir():
            seen.add(real)
            out.append(place)
    return out


def database_file(url: str) -> Path:
    """The file of ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or a plain path.

    ``~`` is the home folder; in a URL ``%20`` is a space.

    Raises:
        LedgerError: another scheme, options after ``?``, or a database in memory.
    """
    is_url = url.startswith(SCHEME)
    if "://" in url and not is_url:
        raise LedgerError(f"'{url}' is not a ledger's URL", hint="expected sqlite:///FILE")
    name, _, options = url.removeprefix(SCHEME).partition("?") if is_url else (url, "", "")
    if options:
        raise LedgerError(f"'?{options}' is not taken", hint=f"expected {SCHEME}{name}")
    name = unquote(name) if is_url else name
    if not name or ":memory:" in name:
        raise LedgerError("a ledger needs a file", hint="expected sqlite:///FILE")
    return Path(name).expanduser()


def database_url(file: Path) -> str:
    """The inverse of ``database_file``."""
    return SCHEME + quote(str(file))
