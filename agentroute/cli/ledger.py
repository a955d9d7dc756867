"""``ledger``: the audit trail."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from agentroute.cli.parts.common import ConfigFile, Db, Json, emit, open_ledger, settings_of, table

if TYPE_CHECKING:
    from agentroute.ledger import Anchor

ledger_app = typer.Typer(help="The audit trail.", no_args_is_help=True)


PLACE = 90  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(ledger_app, name="ledger")


@ledger_app.command("verify")
def verify(
    anchor: Annotated[
        str | None,
        typer.Option(
            "--anchor",
            help="What `ledger anchor` wrote before: a file, or its line.",
            metavar="FILE|LINE",
        ),
    ] = None,
    config: ConfigFile = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Recompute the hash chain and compare every indexed column; exit 4 at the first bad row.

    With --anchor it also finds rows that were cut off at the end, and a chain written anew.
    """
    known = None if anchor is None else _anchor(anchor)
    with open_ledger(config, db) as ledger:
        start = perf_counter()
        report = ledger.verify(known)
        took = perf_counter() - start
    if as_json:
        emit({**asdict(report), "seconds": took})
    else:
        typer.echo(report.words())
        typer.echo(f"{report.rows:,} rows in {took:.2f} s, {report.rows / took:,.0f} a second")
    if not report.ok:
        raise typer.Exit(4)


@ledger_app.command("anchor")
def anchor(
    out: Annotated[
        Path | None, typer.Option("--out", help="A file outside of this machine.", metavar="FILE")
    ] = None,
    config: ConfigFile = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Size and hash of the chain now, in one line: keep it elsewhere for `verify --anchor`."""
    with open_ledger(config, db) as ledger:
        found = ledger.anchor()
    if out is not None:
        _write(out, f"{found}\n")
    if as_json:
        emit(found)
    else:
        typer.echo(f"{found}")


@ledger_app.command("backup")
def backup(
    target: Annotated[Path, typer.Argument(help="A new file.", metavar="FILE")],
    config: ConfigFile = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Copy the ledger while it is in use into one new file, and say the copy's anchor."""
    with open_ledger(config, db) as ledger:
        found = ledger.backup(target)
    if as_json:
        emit({"file": str(target), "anchor": found})
    else:
        typer.echo(f"{target}: {found.seq:,} rows, anchor {found}")


@ledger_app.command("erase")
def erase(
    sha: Annotated[str, typer.Argument(help="SHA-256 of a text or artefact.", metavar="SHA256")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")],
    config: ConfigFile = None,
    db: Db = None,
) -> None:
    """Erase a stored text or artefact for good. Its hash and an event that says why remain."""
    from agentroute.ledger import Ledger

    open_ledger(config, db).close()  # says so where there is none, and makes none
    with Ledger.open(settings_of(config, db).db) as ledger:
        seq = ledger.erase(sha, reason=reason).wait(30)
    typer.echo(f"erased {sha}, recorded as row {seq}; its embedding remains")


@ledger_app.command("views")
def views(
    drop: Annotated[bool, typer.Option("--drop", help="Take them away again.")] = False,
    config: ConfigFile = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Make readable SQL views in the ledger, or bring them up to date: v_decisions and others.

    Any tool that reads SQLite reads them. v_candidates and v_leaderboard know the decisions up to
    the last time that this was called, the others always know all.
    """
    from agentroute.ledger.views.make import drop_views, make_views

    settings = settings_of(config, db)
    if drop:
        drop_views(settings.db)
        typer.echo("the views are gone; the rows are as they were")
        return
    made = make_views(settings.db, settings.feedback_weights.model_dump())
    if as_json:
        emit(made)
        return
    typer.echo(
        f"{', '.join(made.views)}\n{made.candidates:,} candidates of {made.decisions:,} decisions"
    )
    if made.unreadable:
        rows = ", ".join(map(str, made.unreadable[:10]))
        typer.echo(f"{len(made.unreadable)} decisions cannot be shown: rows {rows}")


@ledger_app.command("sql")
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT; nothing can be written.")],
    config: ConfigFile = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Ask the ledger in SQL, over the views of `ledger views` or the tables themselves."""
    with open_ledger(config, db) as ledger:
        names, found = ledger.select(query)
    rows = [[_text_of(v) for v in row] for row in found]
    if as_json:
        emit([dict(zip(names, row, strict=True)) for row in rows])
        return
    numbers = [
        bool(rows) and all(isinstance(r[i], int | float) for r in rows) for i in range(len(names))
    ]
    heads = [f">{name}" if n else name for name, n in zip(names, numbers, strict=True)]
    table("", heads, [[_cell(v) for v in row] for row in rows])


def _cell(value: object) -> object:
    """Numbers of a length that a person reads."""
    return f"{value:.6g}" if isinstance(value, float) else value


def _text_of(value: object) -> object:
    """Bytes as the text that they are, else in hex."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.hex()


@ledger_app.command("prune")
def prune(
    older_than: Annotated[float, typer.Option("--older-than", min=0, help="Days.", metavar="DAYS")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")] = "pruned",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    config: ConfigFile = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Erase texts and artefacts that only old rows name, and give their room back.

    Every row, hash and embedding stays, so that the chain verifies and nothing learned is lost.
    What a run that has not ended needs stays too.
    """
    from datetime import UTC, datetime, timedelta

    from agentroute.ledger import Ledger
    from agentroute.ledger.keeping.prune import prune as erase_old
    from agentroute.ledger.keeping.prune import shrink

    open_ledger(config, db).close()  # says so where there is none, and makes none
    before = (datetime.now(UTC) - timedelta(days=older_than)).isoformat(timespec="microseconds")
    with Ledger.open(settings_of(config, db).db, read_only=dry_run) as ledger:
        done = erase_old(ledger, before=before, reason=reason, dry_run=dry_run)
        path = ledger.path
    freed = 0 if dry_run or not done.contents else shrink(path)
    if as_json:
        emit({**asdict(done), "freed": freed, "dry_run": dry_run})
        return
    verb = "would be erased" if dry_run else f"erased, the file is {freed:,} bytes shorter"
    typer.echo(f"{done.contents:,} contents of {done.bytes:,} bytes {verb}; {done.kept:,} stay")
    if done.of_open_runs:
        typer.echo(
            f"{done.of_open_runs:,} of these are old, and a run that has not ended needs them"
        )


@ledger_app.command("export")
def export(
    folder: Annotated[
        Path, typer.Option("--table", help="Where the table goes: a new folder.", metavar="DIR")
    ],
    config: ConfigFile = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Write what was chosen and how it was judged as an outcome table that eval and train read.

    One row a sampled decision that was judged: its prompt in clear, who could have been chosen
    with which probability, and what the chosen agent scored. The last fifth in time is the test
    split.
    """
    from agentroute.cli.parts.exporting import export_table

    settings = settings_of(config, db)
    with open_ledger(config, db) as ledger:
        report = export_table(ledger, folder, settings)
    if as_json:
        emit(report)
        return
    typer.echo(
        f"{folder}: {report['rows']} rows, {len(report['agents'])} agents, "
        f"effective sample size {report['effective']:.1f}"
    )
    for why, n in report["left_out"].items():
        typer.echo(f"{n} left out ({why})")


def _anchor(given: str) -> Anchor:
    """The anchor in a file, or in the line itself: no file has such a name."""
    from agentroute.errors import UsageError
    from agentroute.ledger.chain import Anchor

    try:
        return Anchor.parse(given)
    except UsageError:
        return Anchor.parse(_text(Path(given)))


def _text(file: Path) -> str:
    from agentroute.errors import UsageError

    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError(f"{file} cannot be read: {e}", hint="agentroute ledger anchor") from e


def _write(file: Path, text: str) -> None:
    from agentroute.errors import UsageError

    try:
        file.write_text(text, "utf-8")
    except OSError as e:
        raise UsageError(f"{file} cannot be written: {e}") from e
