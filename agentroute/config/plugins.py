"""Parts by name: what ships, what installed distributions add, and code the user names himself."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from typing import Any

from agentroute.errors import AgentRouteError, ConfigError, did_you_mean
from agentroute.model.record import Part


def points_of(group: str) -> EntryPoints:
    """The entry points of a group; distributions are read again once one comes or goes.

    A look at them all takes milliseconds, and an orchestrator asks for half a dozen groups.
    """
    folders = tuple((p, _changed(p)) for p in sys.path)
    return _selecting(folders)(group=group)


@lru_cache(maxsize=1)
def _selecting(folders: tuple[tuple[str, int], ...]) -> Callable[..., EntryPoints]:
    return entry_points().select


def _changed(folder: str) -> int:
    try:
        return Path(folder or ".").stat().st_mtime_ns
    except OSError:
        return 0


@dataclass(frozen=True)
class PartKind:
    """A kind of part that users may replace: router, depth, refiner, planner or embedder.

    ``noun`` is what errors call it, ``field`` its key in the settings, ``group`` the entry points
    by which installed distributions name theirs; ``own`` maps names to what ships: a class, a
    function, or ``module:NAME``, imported when it is asked for.
    """

    noun: str
    field: str
    group: str
    own: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def a_noun(self) -> str:
        """The noun with its article."""
        return f"{'an' if self.noun[0] in 'aeiou' else 'a'} {self.noun}"

    @property
    def names(self) -> tuple[str, ...]:
        """Every name there is, sorted.

        Raises:
            ConfigError: two distributions name one part.
        """
        return tuple(sorted({*self.own, *self.installed()}))

    def installed(self) -> dict[str, EntryPoint]:
        """The entry points of the group, by name.

        Raises:
            ConfigError: two distributions name one part, or one takes the name of what ships.
        """
        found: dict[str, EntryPoint] = {}
        for point in points_of(self.group):
            other = found.setdefault(point.name, point)
            if other.value != point.value:
                raise ConfigError(
                    f"two installed distributions name the {self.noun} '{point.name}'",
                    field=self.field,
                    hint=f"{other.value} and {point.value}: uninstall one of them",
                )
            if point.name in self.own:
                raise ConfigError(
                    f"an installed distribution names the {self.noun} '{point.name}', which ships",
                    field=self.field, hint=f"uninstall {point.value}, or rename its entry point",
                )  # fmt: skip
        return found

    def find(self, name: str, *, trusted: bool = False) -> Any:
        """The class or function under a name; only a ``trusted`` name may be ``module:NAME``.

        Raises:
            ConfigError: there is none, it cannot be imported, or code is named where it may not.
        """
        if name in self.own:
            shipped = self.own[name]
            return imported(shipped, field=self.field) if isinstance(shipped, str) else shipped
        point = self.installed().get(name)
        if point is not None:
            return imported(point.value, field=self.field)
        if ":" not in name:
            hint = did_you_mean(name, self.names)
            raise ConfigError(f"unknown {self.noun} '{name}'", field=self.field, hint=hint)
        if not trusted:
            raise ConfigError(
                f"'{name}' names code, which only your own configuration may do",
                field=self.field,
                hint=f"set {self.field}: in agentroute.yaml, or {self.field}= in Python",
            )
        return imported(name, field=self.field)

    def make(
        self,
        name: str,
        make: Any,
        params: Mapping[str, Any],
        *,
        offered: Mapping[str, Any] | None = None,
        also: Collection[str] = (),
    ) -> Any:
        """What ``make`` gives for ``params``; of ``offered``, what it has parameters for.

        ``also`` are keys that somebody else takes: hints name them.

        Raises:
            ConfigError: it cannot be called, lacks a parameter, or refuses a value.
        """
        try:
            accepted = inspect.signature(make).parameters
        except (TypeError, ValueError):
            raise ConfigError(f"'{name}' is not {self.a_noun}", field=self.field) from None
        rest = any(p.kind is p.VAR_KEYWORD for p in accepted.values())
        for key in params:
            if key not in accepted and not rest:
                raise ConfigError(
                    f"the {self.noun} '{name}' has no parameter '{key}'",
                    field=self.field,
                    hint=did_you_mean(key, [*accepted, *also]),
                )
        given = {k: v for k, v in (offered or {}).items() if k in accepted and k not in params}
        try:
            return make(**params, **given)
        except (TypeError, ValueError) as e:
            if isinstance(e, AgentRouteError):
                raise
            raise ConfigError(
                f"the {self.noun} '{name}' refuses its parameters: {e}", field=self.field
            ) from e

    def checked(self, part: Any, protocol: type, *, name: str = "", lacks: str, hint: str) -> Any:
        """``part``, an object that keeps ``protocol``; ``lacks`` says what is looked for.

        Raises:
            ConfigError: it does not, or it is a class and no object of it.
        """
        name = name or type(part).__name__
        if isinstance(part, type):
            raise ConfigError(
                f"'{part.__name__}' is a class: the {self.noun} is an object of it",
                field=self.field, hint=f"{self.field}={part.__name__}(...)",
            )  # fmt: skip
        if not isinstance(part, protocol):
            raise ConfigError(
                f"'{name}' is not {self.a_noun}: it lacks {lacks}", field=self.field, hint=hint
            )
        return part


def is_object(spec: object) -> bool:
    """Whether somebody hands over a part itself, and nothing that a file could hold."""
    return not isinstance(spec, (str, bytes, int, float, Mapping, list, tuple, Part, type(None)))


def imported(target: str, *, field: str) -> Any:
    """What ``module:NAME`` names.

    Raises:
        ConfigError: there is no such module, or nothing of that name in it.
    """
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except AgentRouteError:
        raise
    except (ImportError, AttributeError, ValueError) as e:
        raise ConfigError(f"'{target}' cannot be imported: {e}", field=field) from e
