"""The catalogue of graphs: by name in the search order, or by path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agentroute.config.paths import Place
from agentroute.errors import AgentRouteError, GraphError, did_you_mean
from agentroute.planning.graphfile import load_graph

if TYPE_CHECKING:
    from agentroute.planning.graphfile import GraphSpec

SUFFIXES = (".yaml", ".yml")


def graph_files(places: Sequence[Place]) -> dict[str, tuple[Path, str]]:
    """Name (the file's stem) to path and origin; the first folder that has a name wins."""
    found: dict[str, tuple[Path, str]] = {}
    for place in places:
        for path in _listed(place.folder):
            if path.suffix in SUFFIXES and not path.name.startswith("."):
                found.setdefault(path.stem, (path, place.origin))
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def looks_like_graph(text: str, places: Sequence[Place]) -> bool:
    """Whether a command's argument names a graph, rather than being a task in words."""
    return text in graph_files(places) or text.endswith(SUFFIXES)


def find_graph(name: str, places: Sequence[Place]) -> GraphSpec:
    """The graph of a name in the catalogue, or of a path.

    Raises:
        GraphError: no such graph, or its file is not valid.
    """
    if name.endswith(SUFFIXES):
        return load_graph(Path(name))
    files = graph_files(places)
    if name not in files:
        raise GraphError(f"no graph is called '{name}'", hint=did_you_mean(name, files))
    return load_graph(files[name][0])


def all_graphs(
    places: Sequence[Place],
) -> tuple[list[tuple[GraphSpec, Path, str]], list[AgentRouteError]]:
    """Every graph that loads with its path and origin, and what is wrong with the others."""
    good, bad = [], []
    for path, origin in graph_files(places).values():
        try:
            good.append((load_graph(path), path, origin))
        except AgentRouteError as e:
            bad.append(e)
    return good, bad
