"""``ledger verify|anchor|backup|erase``, on a ledger that runs wrote."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3

import pytest
from typer.testing import CliRunner

from agentroute import Orchestrator, Registry, Task
from agentroute.cli.app import app
from agentroute.errors import AgentRouteError, LedgerError, UsageError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    registry = Registry()

    @registry.agent(skills=["echo"])
    async def echo(call):
        """Says it again."""
        return call.task.prompt

    async def go():
        url = f"sqlite:///{folder}/a.db"
        async with Orchestrator(registry, ledger=url, out=folder / "out") as orc:
            for i in range(3):
                await orc.run(Task(prompt=f"say secret {i}", skills=("echo",)))

    asyncio.run(go())
    return folder / "a.db"


@pytest.fixture
def db(made, tmp_path):
    """A copy of its own."""
    for part in (p for p in made.parent.glob("a.db*") if p.is_file()):
        shutil.copy(part, tmp_path)
    return tmp_path / "a.db"


def said(db, *args, code=0):
    done = CliRunner().invoke(app, ["ledger", *map(str, args), "--db", f"sqlite:///{db}"])
    if isinstance(done.exception, AgentRouteError):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.stdout


def test_an_anchor_finds_rows_that_were_cut_off(db, tmp_path):
    line = said(db, "anchor", "--out", tmp_path / "anchor.txt").strip()
    seq = int(line.split(":")[0])
    assert (tmp_path / "anchor.txt").read_text() == line + "\n"
    plain = said(db, "verify")
    assert "cannot be excluded" in plain
    anchored = said(db, "verify", "--anchor", tmp_path / "anchor.txt")
    assert "cannot be excluded" not in anchored and f"{seq:,} rows" in anchored
    con = sqlite3.connect(db)
    name = "events_no_delete"
    (trigger,) = con.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    con.execute(f"DROP TRIGGER {name}")
    assert con.execute("DELETE FROM events WHERE seq = ?", (seq,)).rowcount == 1
    con.execute(trigger)
    con.commit()
    con.close()
    assert "cannot be excluded" in said(db, "verify")
    found = said(db, "verify", "--anchor", tmp_path / "anchor.txt", code=4)
    assert "NOT as it was written" in found


def test_a_backup_is_one_file_with_its_anchor(db, tmp_path):
    found = json.loads(said(db, "backup", tmp_path / "copy.db", "--json"))
    assert said(tmp_path / "copy.db", "anchor", "--json") == said(db, "anchor", "--json")
    assert found["anchor"]["seq"] > 0
    said(tmp_path / "copy.db", "verify")
    with pytest.raises(LedgerError, match="exists already"):
        said(db, "backup", tmp_path / "copy.db")


def test_erasing_is_recorded_and_the_rest_still_verifies(db):
    con = sqlite3.connect(db)
    sql = "SELECT sha256 FROM blobs WHERE body = ?"
    sha = con.execute(sql, (b"say secret 1",)).fetchone()
    con.close()
    words = said(db, "erase", sha[0], "--reason", "the customer asked")
    assert "recorded as row" in words and "embedding remains" in words
    assert "1 texts were erased" in said(db, "verify")
    data = sqlite3.connect(db).execute("SELECT body FROM blobs WHERE sha256 = ?", sha).fetchone()
    assert data == (None,)
    with pytest.raises(LedgerError):
        said(db, "erase", "00" * 32, "--reason", "nothing there")


def test_mistakes_are_one_line_and_make_no_file(db, tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        said(db, "verify", "--anchor", tmp_path / "none.txt")
    (tmp_path / "bad.txt").write_text("hello")
    with pytest.raises(UsageError, match="not an anchor"):
        said(db, "verify", "--anchor", tmp_path / "bad.txt")
    for command in (["anchor"], ["erase", "00" * 32, "--reason", "x"]):
        with pytest.raises(LedgerError):
            said(tmp_path / "nowhere.db", *command)
    assert not (tmp_path / "nowhere.db").exists()
