"""Files that are no ledger, or none to be written: one typed line with a hint, nothing changed."""

from __future__ import annotations

import asyncio
import codecs
import io
import os
import resource
import shutil
import sqlite3
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentroute.cli.app import run as run_cli
from agentroute.errors import LedgerError, SchemaVersionError
from agentroute.ledger import Ledger
from tests.ledger.test_forks import in_a_fork
from tests.test_systems_audit import opened, task


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A ledger of one run, and the run's id."""
    home = tmp_path_factory.mktemp("good")

    async def go():
        async with opened(home) as orc:
            return (await orc.run(task())).run_id

    return home / "a.db", asyncio.run(go())


def newer(data, path):
    path.write_bytes(data)
    con = sqlite3.connect(path)
    con.execute("INSERT INTO schema_version VALUES (99, 'later', '')")
    con.commit()
    con.close()


def other(data, path):
    con = sqlite3.connect(path)
    con.execute("CREATE TABLE mine (x)")
    con.close()


BAD = {
    "newer": (newer, "has schema 99"),
    "other": (other, "is not a ledger"),
    "text": (
        lambda data, path: path.write_text("not a database, a text\n" * 300),
        "not a database",
    ),
    "half": (lambda data, path: path.write_bytes(data[: len(data) // 8192 * 4096]), "malformed"),
    "mid page": (lambda data, path: path.write_bytes(data[: len(data) // 2 + 77]), "malformed"),
    "first page": (lambda data, path: path.write_bytes(data[:4096]), "malformed"),
    "header": (lambda data, path: path.write_bytes(data[:100]), "malformed"),
    "empty": (lambda data, path: path.write_bytes(b""), "is empty"),
}
READS = (
    ("ledger", "verify"), ("ledger", "anchor"), ("runs", "ls"), ("runs", "show", "RUN"),
    ("explain", "last"), ("stats",), ("report", "RUN"), ("ledger", "backup", "copy.db"),
)  # fmt: skip
WRITES = (("feedback", "RUN", "--score", "1"), ("run", "say hello"))


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_ledger_is_left_as_it_is(good, here, cli, bad):
    make, says = BAD[bad]
    path, run_id = here / "bad.db", good[1]
    make(good[0].read_bytes(), path)
    before = path.read_bytes()
    for words in READS + (WRITES if bad != "empty" else ()):
        argv = [run_id if w == "RUN" else w for w in words]
        out = cli(*argv, "--db", f"sqlite:///{path}", code=4)
        assert len(out.err.splitlines()) == 1 and says in out.err, out.err
        assert out.err.rstrip().endswith(")") and " (" in out.err  # the hint
        assert path.read_bytes() == before
        assert not list(here.glob("*copy*")) and not (here / "bad.db.lock").exists()


@pytest.mark.parametrize("bad", [b for b in BAD if b != "empty"])
async def test_an_orchestrator_raises_before_it_calls_anybody(good, tmp_path, bad):
    make, says = BAD[bad]
    make(good[0].read_bytes(), tmp_path / "a.db")
    before = (tmp_path / "a.db").read_bytes()
    with pytest.raises(SchemaVersionError if bad == "newer" else LedgerError, match=says) as e:
        async with opened(tmp_path) as orc:
            await orc.run(task())
    assert e.value.hint and (tmp_path / "a.db").read_bytes() == before


def said(*argv):
    """Exit code and what was said, of the command line in this process."""
    sys.stdout, sys.stderr = out, err = io.StringIO(), io.StringIO()
    code = run_cli([str(a) for a in argv])
    return f"{code}|{' '.join((err.getvalue() + out.getvalue()).split())}"


@contextmanager
def nobodys(good, *, folder, file):
    """A folder that anybody may look into, with these rights and the good ledger in it."""
    home = Path(tempfile.mkdtemp(prefix="agentroute-test-"))
    try:
        shutil.copy(good[0], home / "a.db")
        (home / "a.db").chmod(file)
        home.chmod(folder)
        yield home / "a.db"
    finally:
        home.chmod(0o755)
        shutil.rmtree(home)


def as_nobody(home, act):
    """``act()`` in a child that may not write what others own, root or not."""

    def child():
        os.environ["XDG_CONFIG_HOME"] = str(home)
        os.chdir(home)
        if os.getuid() == 0:
            os.setgid(65534), os.setuid(65534)
        return act()

    return in_a_fork(child)


@pytest.mark.parametrize(("folder", "file"), [(0o555, 0o444), (0o777, 0o444)])
def test_a_ledger_that_may_only_be_read_is_read_and_not_written(good, folder, file):
    codecs.lookup("utf-8-sig")  # cards are read by it, and nobody may not read where it is
    with nobodys(good, folder=folder, file=file) as path:
        before, db = path.read_bytes(), f"sqlite:///{path}"
        for words in (("ledger", "verify"), ("runs", "ls")):
            said(*words, "--db", db)  # once with rights, so that all is imported
            got = as_nobody(path.parent, lambda words=words: said(*words, "--db", db))
            assert got.startswith("0|"), got
        with Ledger.open(db):
            path.with_name("a.db.lock").unlink()
        got = as_nobody(path.parent, lambda: said("feedback", good[1], "--score", "1", "--db", db))
        assert got.startswith("4|") and "(" in got, got
        assert "read-only" in got or "permission" in got.lower(), got
        assert path.read_bytes() == before


def test_a_disk_that_is_full_in_the_middle_of_a_run_is_said_and_loses_nothing(good, here):
    path = here / "a.db"
    shutil.copy(good[0], path)

    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_288, resource.RLIM_INFINITY))
        return said("run", "shout", "--db", f"sqlite:///{path}")

    got = in_a_fork(full)
    assert got.startswith("4|"), got
    assert "disk" in got and "(check the disk" in got and "Traceback" not in got
    with Ledger.open(f"sqlite:///{path}") as led:
        assert led.verify().ok and led.decisions(good[1])


async def test_a_full_disk_calls_nobody_and_a_run_goes_on_when_there_is_room(tmp_path):
    async with opened(tmp_path) as orc:
        first = await orc.run(task())
        con = orc.ledger._writer._con
        (pages,) = con.execute("PRAGMA page_count").fetchone()
        con.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(LedgerError, match="full") as e:
            await orc.run(task("x" * 100_000))
        assert "free some space" in e.value.hint
        con.execute("PRAGMA max_page_count = 1000000")
        assert (await orc.run(task())).status == "completed"
        assert orc.ledger.verify().ok and orc.ledger.run(first.run_id).status == "completed"
