"""Ledgers of every schema that was released are read, verified and continued; also after a cut."""

from __future__ import annotations

import gzip
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from agentroute.ledger import Anchor, Ledger, migrations
from agentroute.ledger.writer import Writer
from agentroute.model.events import Note
from tests.proofs.powercut import Disk, on_disk

FIXTURES = Path(__file__).parents[1] / "ledger" / "fixtures"
# Schema -> a ledger that a release with it wrote, and its anchor.
RELEASED = {
    1: ("pack1.db.gz", "7:a998147977f74340457ca3ec3b03f73fa636f2d8139614587511379881daf573"),
}


def old(schema, folder):
    path = folder / "old.db"
    path.write_bytes(gzip.decompress((FIXTURES / RELEASED[schema][0]).read_bytes()))
    return path, Anchor.parse(RELEASED[schema][1])


def test_every_schema_has_a_ledger_that_it_wrote(tmp_path):
    assert set(RELEASED) == set(range(1, migrations.LATEST + 1)), "keep a ledger of each schema"


@pytest.mark.parametrize("schema", RELEASED)
def test_a_ledger_of_an_older_release_goes_on(tmp_path, schema):
    path, anchor = old(schema, tmp_path)
    con = sqlite3.connect(path)
    assert con.execute("SELECT max(version) FROM schema_version").fetchone() == (schema,)
    con.close()
    with Ledger.open(f"sqlite:///{path}") as ledger:
        assert ledger.verify(anchor).ok
        assert ledger.append(Note(id="new", type="x")).wait(5) == anchor.seq + 1
        assert ledger.verify(anchor).ok
        assert ledger.query("SELECT max(version) FROM schema_version") == [(migrations.LATEST,)]


def _adds(con):
    con.execute("CREATE TABLE extra (x INTEGER)")
    con.execute("INSERT INTO extra SELECT seq FROM decisions")


@pytest.mark.parametrize("schema", RELEASED)
def test_a_migration_that_loses_its_power_is_done_or_not_begun(
    tmp_path, monkeypatch, schema, faults
):
    """At each of its moments; a step that is to come stands for those that are not there yet."""
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, _adds))
    monkeypatch.setattr(migrations, "LATEST", migrations.LATEST + 1)
    path, anchor = old(schema, tmp_path)
    rng, cuts = np.random.default_rng(9), []
    disk = Disk(lambda n, op: cuts.append(disk.cut(rng)))
    disk.synced[str(path)] = bytearray(path.read_bytes())
    with monkeypatch.context() as patched:
        on_disk(patched, disk)
        Writer(path, 5.0).close()
    assert len(cuts) > 8
    for n, files in enumerate(cuts):
        home = tmp_path / f"cut{n}"
        home.mkdir()
        for name, data in files.items():
            (home / name).write_bytes(data)
        con = sqlite3.connect(home / path.name)
        (version,) = con.execute("SELECT max(version) FROM schema_version").fetchone()
        there = con.execute("SELECT count(*) FROM sqlite_master WHERE name = 'extra'").fetchone()
        con.close()
        faults.injected += 1
        faults.corrupt += there != (int(version == migrations.LATEST),)
        with Ledger.open(f"sqlite:///{home / path.name}") as ledger:
            faults.lost += not ledger.verify(anchor).ok
            assert ledger.query("SELECT count(*) FROM extra") == ledger.query(
                "SELECT count(*) FROM decisions"
            )
