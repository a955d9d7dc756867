"""The inputs of a graph out of the words of a request: paths that exist, and numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

from agentroute.planning.inputs import InputSpec
from agentroute.toolbox.handover import SHIPPED

LOOKED_AT = 200
_PATHS = {"path", "file", "folder"}
_QUOTED = re.compile(r"\"([^\"]+)\"|'([^']+)'|`([^`]+)`")
_WORD = re.compile(r"[\w.~/\\:-]*[\w/~\\]|\.")


def filled(specs: Mapping[str, InputSpec], text: str) -> tuple[dict[str, Any], str]:
    """The inputs that the words give, and the words that are left.

    The first path that exists fills the first input of a path's kind that fits it; a whole number
    fills an input whose name (without ``max_``) stands next to it ("100 files").
    """
    given: dict[str, Any] = {}
    rest = text
    wanted = {n: s.type for n, s in specs.items() if s.type in _PATHS}
    for path in paths_in(text):
        name = next((n for n, t in wanted.items() if _fits(Path(path).expanduser(), t)), None)
        if name is not None:
            given[name] = path
            del wanted[name]
            rest = rest.replace(path, " ", 1)
    for name, spec in specs.items():
        noun = re.escape(name.removeprefix("max_").rstrip("s").replace("_", " "))
        if spec.type in ("int", "float") and (m := re.search(rf"\b(\d+) {noun}s?\b", rest)):
            given[name] = m[1]
            rest = rest.replace(m[0], " ", 1)
    return given, rest


def on_shipped_data(specs: Mapping[str, InputSpec], given: Mapping[str, Any]) -> bool:
    """Whether a graph would work on data that ships, since the words name none."""
    return any(
        str(spec.default).startswith(SHIPPED) and name not in given for name, spec in specs.items()
    )


def paths_in(text: str) -> list[str]:
    """What in a text names a file or folder that exists, in order.

    A bare word counts only with a dot or a slash in it, or in quotes: "review code" is no folder.
    Only the first ``LOOKED_AT`` are looked for.
    """
    quoted = (next(filter(None, m.groups())) for m in _QUOTED.finditer(text))
    words = (m[0] for m in _WORD.finditer(text))
    found = chain(quoted, (w for w in words if "/" in w or "\\" in w or "." in w))
    return [w for w in dict.fromkeys(islice(found, LOOKED_AT)) if len(w) < 4_000 and _exists(w)]


def _exists(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def _fits(path: Path, kind: str) -> bool:
    return kind == "path" or (path.is_file() if kind == "file" else path.is_dir())
