"""The power is cut at random moments of a writing ledger: what was acknowledged is there after."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from agentroute.errors import LedgerError
from agentroute.ledger import Ledger, connect
from agentroute.ledger.writer import Writer
from agentroute.model.events import Note
from agentroute.model.outcomes import Outcome
from tests.ledger.sample import cardset, record
from tests.proofs.powercut import Disk, on_disk
from tests.proofs.tally import Tally

CARDS = cardset()


class Machine:
    """Writes, and takes a picture of what a cut would leave at the moments that are asked for."""

    def __init__(self, folder, monkeypatch, rng, change=lambda sql: sql) -> None:
        monkeypatch.setattr(connect, "CHECKPOINT_PAGES", 24)  # many checkpoints in little time
        self.path, self.rng = folder / "a.db", rng
        self.disk = Disk(self._before)
        self.known: dict[str, object] = {}  # id of a row -> its ticket
        self.at: set[int] = set()
        self.cuts: list[tuple[dict[str, bytes], list[str]]] = []
        on_disk(monkeypatch, self.disk, change)

    def _before(self, n, op) -> None:
        if n in self.at:
            done = [name for name, ticket in self.known.items() if ticket.done]
            self.cuts.append((self.disk.cut(self.rng), done))

    def write(self, groups) -> int:
        """So many groups of rows, each waited for; the number of changes to the disk."""
        rng = np.random.default_rng(5)
        writer, i = Writer(self.path, 5.0), 0
        for _group in range(groups):
            for _ in range(int(rng.integers(1, 4))):
                made = [
                    (f"d{i}", record(i, cards=CARDS)),
                    (f"o{i}", Outcome(decision_id=f"r1-d{i}", agent="agent-001")),
                    (f"n{i}", Note(id=f"n{i}", run_id="r1", type="x", data={"i": i})),
                ]
                for name, row in made:
                    self.known[name] = writer.put(row, "2026-01-01T00:00:00+00:00")
                i += 1
            for ticket in list(self.known.values())[-3:]:
                ticket.wait(30)
        writer.close()
        return self.disk.n


def count(folder, cuts) -> Tally:
    """Start again after each cut, and look whether all is there."""
    tally = Tally()
    for n, (files, acknowledged) in enumerate(cuts):
        home = folder / f"cut{n}"
        home.mkdir()
        for name, data in files.items():
            (home / name).write_bytes(data)
        tally.injected += 1
        try:
            with Ledger.open(str(home / "a.db")) as led:
                sound = led.verify().ok and led.query("PRAGMA integrity_check") == [("ok",)]
                there = {f"d{d.task_id[1:]}" for d in led.decisions("r1")}
                there |= {f"o{o.decision_id[4:]}" for o in led.outcomes("r1")}
                there |= {n.id for n in led.notes("r1")}
                led.append(Note(id="after", type="x")).wait(5)
                sound = sound and led.verify().ok
        except (LedgerError, sqlite3.Error):
            sound, there = False, set(acknowledged)
        tally.corrupt += not sound
        tally.lost += len(set(acknowledged) - there)
    return tally


def cut_often(tmp_path, monkeypatch, cuts, change=lambda sql: sql) -> Tally:
    """The same work twice: once to see how many moments it has, once to be cut at some of them."""

    def work(name, at):
        (tmp_path / name).mkdir()
        machine = Machine(tmp_path / name, monkeypatch, np.random.default_rng(11), change)
        machine.at = at
        machine.write(max(30, cuts // 4))
        monkeypatch.undo()
        return machine

    moments = work("whole", set()).disk.n
    at = np.random.default_rng(2).choice(np.arange(1, moments), cuts, replace=False)
    machine = work("cut", set(at.tolist()))
    assert len(machine.cuts) > 0.9 * cuts  # what shares a commit differs a little from time to time
    return count(tmp_path, machine.cuts)


def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path, monkeypatch, faults):
    faults.add(cut_often(tmp_path, monkeypatch, 40).counts())


@pytest.mark.soak
def test_a_thousand_power_cuts(tmp_path, monkeypatch, faults):
    faults.add(cut_often(tmp_path, monkeypatch, 1000).counts())


def test_the_same_cuts_find_a_ledger_that_does_not_sync_each_commit(tmp_path, monkeypatch):
    """With ``synchronous = NORMAL`` rows are lost: so the test above can fail."""

    def weaker(sql):
        return sql.replace("synchronous = FULL", "synchronous = NORMAL")

    tally = cut_often(tmp_path, monkeypatch, 40, weaker)
    assert tally.lost > 0 and tally.corrupt == 0


def test_the_same_cuts_find_a_ledger_that_never_syncs(tmp_path, monkeypatch):
    def never(sql):
        return sql.replace("synchronous = FULL", "synchronous = OFF")

    assert cut_often(tmp_path, monkeypatch, 40, never).corrupt > 0
