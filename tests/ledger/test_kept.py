"""What is said to be gone is gone, what is said to be on the disk is there."""

import sqlite3

import numpy as np
import pytest

from agentroute.choosing.state import StateDict
from agentroute.learning import state as state_module
from agentroute.learning.state import StateStore, write_synced


def test_a_long_text_that_was_erased_is_in_no_page_of_the_file(ledger):
    words = "the patient's name is Ada Byron; " * 120  # more than fits into a page of the file
    sha = ledger.put_text(words)
    ledger.erase(sha, reason="asked").wait(5)
    ledger.close()
    for file in ledger.path.parent.glob(ledger.path.name + "*"):
        if file.is_file():
            assert b"Ada Byron" not in file.read_bytes(), file.name


def test_a_text_cannot_vanish_without_an_event_that_says_so(ledger):
    sha = ledger.put_text("kept")
    ledger.erase(ledger.put_text("other"), reason="asked").wait(5)
    with sqlite3.connect(ledger.path) as con, pytest.raises(sqlite3.IntegrityError):
        con.execute("UPDATE blobs SET body = NULL WHERE sha256 = ?", (sha,))
    con.close()
    assert ledger.text(sha) == "kept"


def test_a_commit_waits_for_the_disk(ledger):
    (level,) = ledger._writer._con.execute("PRAGMA synchronous").fetchone()
    assert level == 2  # FULL: a power cut loses no row that a ticket has confirmed


def test_a_state_is_synced_before_it_takes_the_place_of_the_old_one(tmp_path, monkeypatch):
    """Who looks at the name sees the old file or the new one, whole, whatever happens between."""
    path, seen = tmp_path / "current.json", []
    write_synced(path, b"old")
    sync = state_module.os.fsync
    monkeypatch.setattr(
        state_module.os, "fsync", lambda fd: (seen.append(path.read_bytes()), sync(fd))
    )
    write_synced(path, b"new")
    assert seen == [b"old", b"new"]  # the file while the old one stood, then its folder
    assert [p.name for p in tmp_path.iterdir()] == ["current.json"]


def test_saving_a_state_goes_that_way(tmp_path, monkeypatch):
    written = []
    real = state_module.write_synced
    monkeypatch.setattr(
        state_module, "write_synced", lambda p, d: (written.append(p.suffix), real(p, d))
    )
    StateStore(tmp_path).save("s", StateDict("knn", 1, {}, {"a": np.zeros(2)}))
    assert written.count(".json") == 2 and ".npz" in written
