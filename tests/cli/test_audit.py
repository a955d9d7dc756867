"""``ledger verify|anchor|backup|erase``, on a ledger that runs wrote."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import time

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


def fill(path, prompts, *, waiting=False):
    """Runs on a ledger of its own, one a prompt; the last one waits for an approval."""
    registry = Registry()

    @registry.agent(skills=["echo"])
    async def echo(call):
        """Says it again."""
        return call.task.prompt

    @registry.agent(skills=["ask"], requires_approval=True)
    async def asking(call):
        """Says it again, if it may."""
        return call.task.prompt

    async def go():
        async with Orchestrator(
            registry, ledger=f"sqlite:///{path}", out=path.parent / "out"
        ) as orc:
            for i, prompt in enumerate(prompts):
                last = waiting and i == len(prompts) - 1
                await orc.run(Task(prompt=prompt, skills=("ask" if last else "echo",)))

    asyncio.run(go())


def texts(path):
    con = sqlite3.connect(path)
    found = {b.decode() for (b,) in con.execute(
        "SELECT body FROM blobs WHERE kind = 'text' AND body IS NOT NULL")}  # fmt: skip
    con.close()
    return found


def test_pruning_erases_what_is_old_and_keeps_every_row(tmp_path):
    path = tmp_path / "p.db"
    fill(path, ["old secret " + "x" * 50_000, "said twice"])
    rows, cutoff = json.loads(said(path, "anchor", "--json"))["seq"], time.time()
    time.sleep(0.5)  # the cutoff is counted from the moment of each call
    fill(path, ["said twice", "new words"])

    def old(*args):
        days = (time.time() - cutoff) / 86_400
        return json.loads(said(path, "prune", "--older-than", days, "--json", *args))

    would = old("--dry-run")
    assert would["contents"] >= 2 and would["freed"] == 0
    assert any(t.startswith("old secret") for t in texts(path))
    size, anchor = path.stat().st_size, said(path, "anchor", "--out", tmp_path / "anchor")
    done = old("--reason", "law")
    assert done["contents"] == would["contents"] and done["bytes"] == would["bytes"] > 50_000
    left = texts(path)
    assert not any("old secret" in t for t in left) and {"said twice", "new words"} <= left
    assert b"old secret" not in path.read_bytes() and path.stat().st_size < size - 50_000
    words = said(path, "verify", "--anchor", tmp_path / "anchor")
    assert f"{done['contents']} texts were erased" in words
    assert json.loads(said(path, "anchor", "--json"))["seq"] > rows and anchor
    assert old()["contents"] == 0


def test_pruning_leaves_a_waiting_run_what_it_needs(tmp_path):
    path = tmp_path / "p.db"
    fill(path, ["first words", "must be approved"], waiting=True)
    out = said(path, "prune", "--older-than", 0)
    assert "a run that has not ended needs them" in out
    left = texts(path)
    assert any("must be approved" in t for t in left) and "first words" not in left
    with pytest.raises(LedgerError):
        said(tmp_path / "none.db", "prune", "--older-than", 1)


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
