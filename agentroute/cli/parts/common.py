"""What several commands share: options, settings, the catalogue, and printing."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Coroutine, Iterable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from agentroute.cli.parts.terminal import raw, shown

if TYPE_CHECKING:
    from rich.console import Console

    from agentroute.config.paths import Place
    from agentroute.config.settings import Settings
    from agentroute.ledger import Ledger
    from agentroute.model.plans import Spec
    from agentroute.orchestrator import Orchestrator
    from agentroute.registry.registry import Registry

T = TypeVar("T")

ARGV: ContextVar[Sequence[str]] = ContextVar("argv")  # of the command that runs

WHOLE = ("run",)  # columns whose cells are copied: never broken over lines

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
TopologyName = Annotated[
    str | None,
    typer.Option("--topology", help="auto, learned, or a shape: hybrid, ...", metavar="SPEC"),
]
Db = Annotated[
    str | None,
    typer.Option("--db", help="Ledger URL, e.g. sqlite:///agentroute.db", metavar="URL"),
]
AgentsDir = Annotated[
    list[Path] | None,
    typer.Option("--agents", help="A folder of agent cards to look in first.", metavar="DIR"),
]
GraphsDir = Annotated[
    list[Path] | None,
    typer.Option("--graphs", help="A folder of graphs to look in first.", metavar="DIR"),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="Settings file.", metavar="FILE")]


def command_line() -> str:
    """The command that runs as a shell takes it; what looks like a secret is redacted."""
    from agentroute.ledger.rows.redaction import redact

    return redact(shlex.join(["agentroute", *ARGV.get(())]))


def console(*, stderr: bool = False) -> Console:
    """A console that wraps to the terminal, plain in a pipe; text goes through ``shown`` first."""
    from rich.console import Console

    file = raw(sys.stderr if stderr else sys.stdout)
    return Console(file=file, highlight=False, soft_wrap=not sys.stdout.isatty())


def emit(value: Any) -> None:
    """One JSON value on standard output."""
    import orjson
    from pydantic import BaseModel

    def default(x: Any) -> Any:
        if isinstance(x, BaseModel):
            return x.model_dump(mode="json")
        return str(x)

    option = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    sys.stdout.write(orjson.dumps(value, default=default, option=option).decode() + "\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table of plain text: nothing in a cell is taken as markup, or acts on the terminal.

    In a pipe it is a line for each row, whatever its length, with two blanks between columns.
    """
    if not sys.stdout.isatty():
        _plain(title, columns, rows)
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    head = Text(shown(title)) if title else None
    out = Table(title=head, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for c in columns:
        out.add_column(c, justify="right" if c.startswith(">") else "left", overflow="fold")
        out.columns[-1].header = Text(shown(c.lstrip(">")))
        out.columns[-1].no_wrap = c in WHOLE
    for row in rows:
        out.add_row(*(Text("" if v is None else shown(str(v))) for v in row))
    console().print(out)


def _plain(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    cells = [[c.lstrip(">") for c in columns]]
    cells += [["" if v is None else " ".join(shown(str(v)).split()) for v in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    if title:
        print(shown(title))
    for row in cells:
        padded = (
            x.rjust(w) if c.startswith(">") else x.ljust(w)
            for x, w, c in zip(row, widths, columns, strict=True)
        )  # fmt: skip
        print("  ".join(padded).rstrip())


def settings_of(config: Path | None, db: str | None = None) -> Settings:
    """The settings in force; ``--db`` stands over them."""
    from agentroute.config.paths import SCHEME
    from agentroute.config.settings import load_settings
    from agentroute.errors import UsageError

    settings, _ = load_settings(config)
    if db is None:
        return settings
    if not db.startswith(SCHEME):
        raise UsageError(f"--db {db} is not a ledger URL", hint="use sqlite:///FILE")
    return settings.model_copy(update={"db": db})


def shut_out(settings: Settings, registry: Registry) -> dict[str, float]:
    """Agents whose circuit breaker is open, by the ledger, and for how many seconds more."""
    import time

    from agentroute.config.paths import database_file
    from agentroute.learning.taking_up import take_up
    from agentroute.ledger import Ledger

    if not database_file(settings.db).exists():
        return {}
    with Ledger.open(settings.db, read_only=True) as ledger:
        take_up(registry, ledger)
    now = time.time()
    left = {name: registry.live.shut_for_s(name, now) for name in registry.entries}
    return {name: round(s, 1) for name, s in left.items() if s > 0}


def registry_of(settings: Settings, given: Sequence[Path] | None) -> Registry:
    """The catalogue in search order; cards that were left out are said on stderr."""
    from agentroute.config.paths import search_order
    from agentroute.errors import UsageError
    from agentroute.registry.registry import Registry

    for folder in given or ():
        if not folder.is_dir():
            raise UsageError(f"--agents {folder} is not a folder", hint="check the path")
    configured = [Path(p) for p in settings.agents]
    registry = Registry(search_order("agents", given=given or (), configured=configured))
    for problem in registry.problems:
        hint = f" ({problem.hint})" if problem.hint else ""
        print(f"agentroute: card left out: {problem}{hint}", file=sys.stderr)
    return registry


def remark(registry: Registry) -> None:
    """Say on stderr what a person should know of the catalogue."""
    from agentroute.registry.remarks import remarks

    for line in remarks(registry):
        print(f"agentroute: note: {line}", file=sys.stderr)


def graph_places(settings: Settings, given: Sequence[Path] | None) -> list[Place]:
    """Where graphs are looked for."""
    from agentroute.config.paths import search_order
    from agentroute.errors import UsageError

    for folder in given or ():
        if not folder.is_dir():
            raise UsageError(f"--graphs {folder} is not a folder", hint="check the path")
    configured = [Path(p) for p in settings.graphs]
    return search_order("graphs", given=given or (), configured=configured)


def spec_of(text: str, option: str = "--router") -> Spec:
    """What an option that names a part was given: a name, or a mapping in braces as in YAML.

    Raises:
        ConfigError: braces that are not a mapping.
    """
    from agentroute.config.yaml import parse_yaml
    from agentroute.errors import ConfigError

    if not text.lstrip().startswith("{"):
        return text
    data = parse_yaml(text, option).data
    if not isinstance(data, dict):
        raise ConfigError("braces hold a mapping", field=option, hint="'{name: knn, k: 5}'")
    return dict(data)


def open_ledger(config: Path | None, db: str | None) -> Ledger:
    """The ledger in force, for reading; ``LedgerError`` where there is none."""
    from agentroute.ledger import Ledger

    return Ledger.open(settings_of(config, db).db, read_only=True)


def orchestrator_of(
    config: Path | None, db: str | None, agents: Sequence[Path] | None, **changes: Any
) -> Orchestrator:
    """An orchestrator by the settings in force."""
    from agentroute.orchestrator import Orchestrator

    settings = settings_of(config, db)
    settings = settings.model_copy(update={k: v for k, v in changes.items() if v is not None})
    registry = registry_of(settings, agents)
    orc = Orchestrator.from_settings(settings, registry=registry)
    remark_state(settings, registry)
    return orc


def remark_state(settings: Settings, registry: Registry) -> None:
    """Say on stderr that a fitted state in use was fitted on agents of whom none is here."""
    from agentroute.cli.parts.states import strangers

    if said := strangers(settings, registry):
        print(f"agentroute: note: {said}", file=sys.stderr)


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run``; asyncio is imported here because ``--help`` has no use for it."""
    import asyncio

    return asyncio.run(work)


def counted(n: int, noun: str) -> str:
    """A number and what it counts: 1 call, 2 calls, 7,080 rows.

    >>> counted(1, "query"), counted(7080, "row")
    ('1 query', '7,080 rows')
    """
    if n == 1:
        return f"1 {noun}"
    return f"{n:,} {noun[:-1]}ies" if noun.endswith("ry") else f"{n:,} {noun}s"


def seconds(x: float) -> str:
    """A duration."""
    return f"{x * 1000:.0f} ms" if x < 1 else f"{x:.1f} s"
