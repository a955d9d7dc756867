"""``kill -9`` of two processes that write to one ledger: what they were told is there after."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from agentroute.ledger import Ledger
from agentroute.model.events import Note
from tests.proofs.tally import Tally

# One process imports everything once; each line it reads makes it fork a writer to be killed.
NURSERY = """
import os, signal, sys
from agentroute.ledger import Ledger
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.outcomes import Outcome
path, acks = sys.argv[1:]
signal.signal(signal.SIGCHLD, signal.SIG_IGN)

def write(who):
    led, i, fd = Ledger.open(path), 0, os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while True:
        tickets = []
        for _ in range(5):
            i += 1
            id = f"{who}-{i}"
            d = Decision(id=id, run_id=who, task_id=str(i), kind="route", policy="p", chosen=("a",))
            tickets.append(led.append(DecisionRecord(d)))
            tickets.append(led.append(Outcome(decision_id=id, agent="a")))
        for t in tickets:
            t.wait(30)
        os.write(fd, f"{who} {i}\\n".encode())

for line in sys.stdin:
    pid = os.fork()
    if not pid:
        write(line.strip())
    print(pid, flush=True)
"""


def kill_two_writers(path, kills):
    """Kills writers two at a time at random moments; the last task that each was told is safe."""
    rng, acks = np.random.default_rng(3), path.with_name("acks")
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY, str(path), str(acks)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as nursery:  # fmt: skip
        for n in range(kills // 2):
            size, pids = _size(acks), []
            for k in "ab":
                nursery.stdin.write(f"w{n}{k}\n")
                nursery.stdin.flush()
                pids.append(int(nursery.stdout.readline()))
            while _size(acks) == size:
                time.sleep(0.001)
            time.sleep(float(rng.random()) * 0.05)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        nursery.stdin.close()
    lines = acks.read_text().splitlines()
    return {who: int(last) for who, last in (line.split() for line in lines)}


def _size(path):
    return path.stat().st_size if path.exists() else 0


def after_kills(path, acknowledged, kills):
    """What is left of what two writers at a time were told, after so many kills."""
    tally = Tally(injected=kills)
    assert len(acknowledged) > kills // 4
    with Ledger.open(str(path)) as led:
        tally.corrupt += not led.verify().ok
        tally.corrupt += led.query("PRAGMA integrity_check") != [("ok",)]
        for who, last in acknowledged.items():
            there = {d.task_id for d in led.decisions(who)}
            tally.lost += len({str(i) for i in range(1, last + 1)} - there)
            tally.lost += max(0, last - len(led.outcomes(who)))
        assert led.append(Note(id="after", type="x")).wait(5) == led.head()[0]
    return tally.counts()


@pytest.mark.parametrize("kills", [100, pytest.param(1000, marks=pytest.mark.soak)])
def test_two_killed_writers_lose_nothing_acknowledged(tmp_path, faults, kills):
    path = tmp_path / "a.db"
    faults.add(after_kills(path, kill_two_writers(path, kills), kills))
