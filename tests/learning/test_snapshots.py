"""A snapshot and the rows after it are a full fold, bit for bit; what does not fit is not used."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentroute.choosing.catalog import known_routers, make_router
from agentroute.features.text import make_embedder
from agentroute.learning import Learner, fold
from agentroute.learning.policies import Policies
from agentroute.learning.snapshots import KEEP, Snapshots
from agentroute.learning.state import StateStore
from agentroute.ledger import Ledger
from agentroute.model.events import Note
from agentroute.model.outcomes import Outcome
from agentroute.registry.cardset import build_cardset
from tests.learning.test_fold import CARDS, ROW, Counting, _flush, bits, fb, record, write

EMBEDDER = make_embedder("hashing")


def snapshots(folder, ledger, router, **depends_on):
    return Snapshots(Path(folder), ledger, {"name": router.name}, router, depends_on)


def learner(folder, ledger, make=Counting, **depends_on):
    router = make()
    return Learner(router, ledger, snapshots=snapshots(folder, ledger, router, **depends_on))


def fill(ledger, start, stop, seed=3):
    """Decisions with outcomes and feedback on earlier ones, ``start`` to ``stop``."""
    rng = np.random.default_rng([seed, start])
    for i in range(start, stop):
        rec = record(i, cards=CARDS, seed=8)
        ledger.append(rec)
        ledger.append(Outcome(decision_id=rec.decision.id, agent=rec.decision.chosen[0]))
        ledger.append(fb(i, f"r1-d{rng.integers(0, i + 1)}", float(rng.random())))
    ledger.append(Note(id=f"end{stop}", type="x")).wait(5)


@pytest.mark.parametrize("name", known_routers())
def test_every_router_can_be_kept(ledger, tmp_path, name, caplog):
    """Unfitted ones too: what they cannot learn yet is skipped, and the state is written."""
    fill(ledger, 0, 10)
    make = lambda: make_router(name, seed=1)  # noqa: E731
    first = learner(tmp_path, ledger, make)
    first.fold()
    first._save_if(1)
    assert "no snapshot" not in caplog.text
    again = learner(tmp_path, ledger, make)
    again.open()
    assert again.folded == first.folded
    fill(ledger, 10, 14)
    again.fold(), first.fold()
    assert bits(again.router) == bits(first.router)
    assert again.router.state_dict().meta == first.router.state_dict().meta
    assert (again.counts, again.skipped) == (first.counts, first.skipped)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(
    script=st.lists(ROW, min_size=3, max_size=14),
    at=st.integers(0, 14),
    name=st.sampled_from(["counting", "linucb", "knn", "pheromone", "fixed_best", "recruiting"]),
)
def test_a_snapshot_and_the_rest_are_a_full_fold(tmp_path_factory, script, at, name):
    make = Counting if name == "counting" else lambda: make_router(name, seed=1)
    home = tmp_path_factory.mktemp("snapshot")
    with Ledger.open(str(home / "a.db")) as ledger:
        write(ledger, script[:at])
        _flush(ledger)
        first = learner(home, ledger, make)
        first.fold()
        first._save_if(0)
        write(ledger, script)  # those of before are duplicates, in their old places
        _flush(ledger)
        again, once = learner(home, ledger, make), Learner(make(), ledger)
        again.open()
        assert again.folded == first.folded
        again.fold(), once.fold(), first.fold()
        assert bits(again.router) == bits(once.router) == bits(first.router)
        assert again.router.state_dict().meta == once.router.state_dict().meta
        assert (again.version(), again.counts) == (once.version(), once.counts)


def test_one_is_written_every_so_many_rows_and_on_closing(ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(fold, "SAVE_EVERY", 30)
    monkeypatch.setattr(fold, "WORTH_SAVING", 5)
    fill(ledger, 0, 60)
    live = learner(tmp_path, ledger)
    store, name = live._snapshots.store, live._snapshots.name
    live.fold()
    at = [store.manifest(name, v)["folded"] for v in store.versions(name)]
    assert len(at) == KEEP
    assert 30 <= at[1] - at[0] <= 33
    live.close()  # too little is new
    assert [store.manifest(name, v)["folded"] for v in store.versions(name)] == at
    fill(ledger, 60, 63)
    asyncio.run(live.catch_up())
    live.close()
    assert store.manifest(name, store.current(name))["folded"] == ledger.head()[0]
    assert len(list((store.folder / name).glob("v*"))) == 2 * KEEP  # the older ones are gone


def counted(ledger, folder, **depends_on):
    """What opening folds of a ledger that a snapshot of 20 decisions was taken of."""
    again = learner(folder, ledger, **depends_on)
    again.open()
    return again.folded


def test_what_does_not_fit_is_set_aside_with_a_warning(ledger, tmp_path, caplog):
    fill(ledger, 0, 20)
    first = learner(tmp_path, ledger, seed=1)
    first.fold()
    first._save_if(1)
    assert counted(ledger, tmp_path, seed=1) == first.folded
    assert not caplog.records
    assert counted(ledger, tmp_path, seed=2) == 0
    assert "another seed" in caplog.text
    assert counted(ledger, tmp_path, seed=1) == first.folded  # it is still there
    # another ledger at the same place
    with Ledger.open(str(tmp_path / "b.db")) as other:
        fill(other, 0, 20, seed=4)
        swapped = snapshots(tmp_path, other, Counting(), seed=1)
        swapped.name = first._snapshots.name
        assert swapped.newest() is None
    assert "another ledger" in caplog.text
    # an older release's state, a damaged file, a router that chokes on it
    manifest = tmp_path / "snapshots" / first._snapshots.name / "v000001.json"
    sound = manifest.read_bytes()
    manifest.write_bytes(sound.replace(b'"seed": 1', b'"seed": 2'))
    assert counted(ledger, tmp_path, seed=1) == 0
    assert "damaged" in caplog.text
    manifest.write_bytes(sound)

    class Newer(Counting):
        def load_state_dict(self, state):
            if state.meta != {"mine": 1}:
                self.state = None
                raise KeyError("halfway through")
            self.state = state.arrays["state"].copy()

        def state_dict(self):
            return replace(super().state_dict(), meta={"mine": 1})

    newer = Newer()
    fresh = Learner(newer, ledger, snapshots=snapshots(tmp_path, ledger, Counting(), seed=1))
    fresh.fold()
    assert "KeyError: 'halfway through'" in caplog.text
    once = Learner(Newer(), ledger)
    once.fold()
    assert bits(fresh.router) == bits(once.router)


def test_a_snapshot_of_texts_that_were_erased_is_not_used(ledger, tmp_path, caplog):
    sha = ledger.put_text("a secret")
    fill(ledger, 0, 20)
    first = learner(tmp_path, ledger)
    first.fold()
    first._save_if(1)
    assert counted(ledger, tmp_path) == first.folded
    ledger.erase(sha, reason="asked").wait(5)
    assert counted(ledger, tmp_path) == 0
    assert "erased" in caplog.text


def test_a_folder_that_cannot_be_written_is_no_error(ledger, tmp_path, caplog):
    (tmp_path / "snapshots").write_text("a file")
    fill(ledger, 0, 3)
    live = learner(tmp_path, ledger)
    live.fold()
    live._save_if(1)
    assert "no snapshot of" in caplog.text
    assert live.folded == ledger.head()[0]


def test_of_large_states_the_last_is_kept_and_of_the_largest_none(
    ledger, tmp_path, monkeypatch, caplog
):
    fill(ledger, 0, 9)
    live = learner(tmp_path, ledger)
    store, name = live._snapshots.store, live._snapshots.name
    monkeypatch.setattr("agentroute.learning.snapshots.LARGE", 8)
    for upto in (6, 12, 18):
        live.fold(upto)
        live._save_if(1)
    assert store.versions(name) == [3]
    monkeypatch.setattr("agentroute.learning.snapshots.LARGEST", 8)
    live.fold()
    live._save_if(1)
    assert store.versions(name) == [3]
    assert "the state has 0.0 GB" in caplog.text


SAVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from agentroute.ledger import Ledger
from tests.learning.test_snapshots import learner
from agentroute.routers.linucb.router import LinUCB
with Ledger.open(sys.argv[1] + "/a.db", read_only=True) as ledger:
    for upto in range(3, 10_000, 3):
        live = learner(sys.argv[1], ledger, LinUCB)
        live.fold(min(upto, ledger.head()[0]))
        live._saved = -1
        live._save_if(0)
        print(live.folded, flush=True)
"""


def test_kill_while_saving_leaves_one_that_fits(tmp_path):
    from agentroute.routers.linucb.router import LinUCB

    with Ledger.open(str(tmp_path / "a.db")) as ledger:
        fill(ledger, 0, 20)
        once = Learner(LinUCB(), ledger)
        once.fold()
        rng = np.random.default_rng(2)
        for _ in range(4):
            command = [sys.executable, "-c", SAVER, str(tmp_path), str(Path(__file__).parents[2])]
            p = subprocess.Popen(command, stdout=subprocess.PIPE)
            told = int(p.stdout.readline() or 0)
            time.sleep(rng.random() * 0.05)
            os.kill(p.pid, signal.SIGKILL)
            told = max([told, *map(int, p.communicate()[0].split()[:-1])])
            again = learner(tmp_path, ledger, LinUCB)
            again.open()
            assert again.folded >= min(3, told) > 0
            again.fold()
            assert bits(again.router) == bits(once.router)
    left = list((tmp_path / "snapshots").rglob("*v0*"))
    assert len(left) <= 2 * KEEP + 3


def test_two_that_save_at_once_take_numbers_of_their_own(tmp_path):
    store = StateStore(tmp_path)
    state = Counting().state_dict()

    async def both():
        save = [asyncio.to_thread(store.save, "s", state, folded=i) for i in range(8)]
        return await asyncio.gather(*save)

    saved = asyncio.run(both())
    assert sorted(s.number for s in saved) == list(range(1, 9))
    assert sorted(store.load("s", n).folded for n in range(1, 9)) == list(range(8))


# -- beside a loop ---------------------------------------------------------------------------


async def test_catching_up_holds_the_loop_for_5_ms_at_most(ledger):
    """CPU of the slices, so that a busy machine does not count; a row is a fraction of one."""

    class Slow(Counting):
        def update(self, o):
            end = time.perf_counter() + 0.0005
            while time.perf_counter() < end:
                pass  # burns the time that a slow router would
            super().update(o)

    fill(ledger, 0, 60)
    live, gaps = Learner(Slow(), ledger), []

    async def ticking():
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            gaps.append(time.thread_time() - before)

    ticker = asyncio.create_task(ticking())
    await asyncio.gather(*(live.catch_up() for _ in range(3)))
    ticker.cancel()
    assert live.folded == ledger.head()[0]
    assert len(gaps) > 10
    assert sorted(gaps)[-2] < 0.0055  # but for the first, which reads the page of rows
    once = Learner(Counting(), ledger)
    once.fold()
    assert bits(live.router) == bits(once.router)


async def test_nothing_is_folded_while_it_is_held(ledger):
    fill(ledger, 0, 5)
    live = Learner(Counting(), ledger)
    with live.hold():
        beside = asyncio.create_task(live.catch_up())
        await asyncio.sleep(0.02)
        assert live.version() == "@0"
    await beside
    assert live.folded == ledger.head()[0]


# -- another embedder ------------------------------------------------------------------------


def test_another_embedder_learns_the_recorded_texts_again(ledger, caplog):
    """The state is the one of a ledger that was recorded with it, in one line of the log."""
    fill(ledger, 0, 20)
    policies = Policies(ledger, EMBEDDER)
    policy = policies.get("linucb")
    asyncio.run(policies.catch_up())
    (line,) = [r.getMessage() for r in caplog.records]
    assert line == (
        f"rows recorded with the embedder 'test-8' are learned again with '{EMBEDDER.id}'"
    )
    by_hand = make_router("linucb", embedder=EMBEDDER)
    cards = build_cardset(CARDS.cards, EMBEDDER)
    told = list(fold.observations(ledger))
    assert policies.learned()[0].counts["folded"] == len(told) > 25
    for o in told:
        c = o.request.candidates
        request = replace(
            o.request,
            embedding=EMBEDDER.encode([o.request.task.prompt])[0],
            candidates=replace(c, cards=cards, embedding=cards.embedding[c.rows]),
        )
        by_hand.update(replace(o, request=request))
    assert bits(policy.router) == bits(by_hand)


def test_an_erased_prompt_is_not_embedded_again(ledger):
    rec = record(0, cards=CARDS)
    ledger.append(rec).wait(5)
    fill(ledger, 1, 3)
    ledger.erase(ledger.put_text(rec.request.task.prompt), reason="asked").wait(5)
    ledger.append(Outcome(decision_id=rec.decision.id, agent=rec.decision.chosen[0])).wait(5)
    live = Learner(make_router("linucb"), ledger, embedder=EMBEDDER)
    live.fold()
    assert live.counts["skipped"] >= 1
    assert live.router.space.embedder_id == EMBEDDER.id
    assert "erased" in next(reversed(live.skipped.values()))
