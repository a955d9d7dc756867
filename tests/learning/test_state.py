from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from agentroute.choosing.state import StateDict
from agentroute.errors import RouterStateError
from agentroute.learning import StateStore


def state(seed=0, n=5):
    rng = np.random.default_rng(seed)
    arrays = {"A": rng.normal(size=(n, 3, 3)), "b": rng.normal(size=(n, 3)).astype(np.float32)}
    arrays["count"] = rng.integers(0, 9, n)
    arrays["names"] = np.array([f"a{i}" for i in range(n)])
    return StateDict("linucb", 3, {"alpha": 1.5, "embedder": "hash"}, arrays)


def same(a, b):
    return (a.kind, a.version, a.meta, list(a.arrays)) == (
        b.kind,
        b.version,
        b.meta,
        list(b.arrays),
    ) and all(
        x.dtype == y.dtype and x.tobytes() == y.tobytes()
        for x, y in zip(a.arrays.values(), b.arrays.values(), strict=True)
    )


@pytest.fixture
def store(tmp_path):
    return StateStore(tmp_path / "state")


def test_round_trip_versions_and_rollback(store):
    for i in range(3):
        store.save("linucb", state(i), base="abc", folded=10 * i, ledger_hash="ff")
    got = store.load("linucb")
    assert same(got.state, state(2)) and (got.number, got.base, got.folded) == (3, "abc", 20)
    assert store.versions("linucb") == [1, 2, 3] and store.names() == ["linucb"]
    back = store.rollback("linucb", 1)
    assert same(store.load("linucb").state, state(0)) and back.sha256 == store.load("linucb").sha256
    assert store.save("linucb", state(9)).number == 4 == store.current("linucb")


def damage_all(folder, stem, rng):
    """Every damage of P15 to the files of one version: (what, path, bytes)."""
    for ext in ("npz", "json"):
        path = folder / f"{stem}.{ext}"
        data = path.read_bytes()
        for bit in rng.integers(0, len(data) * 8, 150):
            bad = bytearray(data)
            bad[bit // 8] ^= 1 << (bit % 8)
            yield f"bit {bit} of {ext}", path, bytes(bad)
        for cut in {*range(0, len(data), 1024), len(data) - 1}:
            yield f"{ext} cut at {cut}", path, data[:cut]


def test_every_damage_is_found_and_the_last_good_version_is_loaded(store, faults):
    store.save("r", state(1))
    store.save("r", state(2))
    home, n = store.folder / "r", 0
    for what, path, bad in damage_all(home, "v000002", np.random.default_rng(0)):
        good = path.read_bytes()
        path.write_bytes(bad)
        with pytest.raises(RouterStateError):
            store.load("r", 2)
        got = store.load("r")
        faults.undetected += got.skipped != ("v000002",)
        faults.lost += got.number != 1
        assert faults.undetected == faults.lost == 0, what
        path.write_bytes(good)
        n += 1
        faults.injected += 1
    assert n >= 300 and store.load("r").number == 2


def test_swapped_files_and_a_damaged_pointer(store):
    store.save("r", state(1))
    store.save("r", state(2))
    store.save("other", state(3))
    home = store.folder / "r"
    one, two = (home / "v000001.npz").read_bytes(), (home / "v000002.npz").read_bytes()
    (home / "v000002.npz").write_bytes(one)
    assert store.load("r").number == 1
    (home / "v000002.npz").write_bytes(two)
    for ext in ("npz", "json"):
        (home / f"v000002.{ext}").write_bytes((store.folder / f"other/v000001.{ext}").read_bytes())
    assert store.load("r").number == 1
    (home / "current.json").write_bytes(b'{"number": 1')
    assert store.current("r") == 2
    for p in home.glob("v*.npz"):
        p.unlink()
    with pytest.raises(RouterStateError, match="no good version"):
        store.load("r")


def test_an_older_version_copied_over_a_newer_one_is_not_taken_for_it(store):
    for i in (1, 2, 3):
        store.save("r", state(i))
    home = store.folder / "r"
    for ext in ("npz", "json"):
        (home / f"v000003.{ext}").write_bytes((home / f"v000002.{ext}").read_bytes())
    (home / "notes.txt").write_text("a stray file")
    with pytest.raises(RouterStateError, match="its files are those of version 2"):
        store.load("r", 3)
    assert store.load("r").number == 2
    assert store.save("r", state(4)).number == 4


@pytest.mark.parametrize(
    "bad", [np.array([1.0, np.nan]), np.array([np.inf]), np.array([{}], dtype=object)]
)
def test_what_is_not_plain_finite_data_is_never_saved(store, bad):
    with pytest.raises(RouterStateError):
        store.save("r", StateDict("r", 1, {}, {"x": bad}))
    assert store.versions("r") == []


def test_named_arrays_may_hold_nan_and_meta_must_be_json(store):
    nan = StateDict("r", 1, {"may_be_nan": ["x"]}, {"x": np.array([np.nan])})
    store.save("r", nan)
    assert same(store.load("r").state, nan)
    with pytest.raises(RouterStateError, match="JSON"):
        store.save("r", StateDict("r", 1, {"f": object()}, {}))
    with pytest.raises(RouterStateError, match="name"):
        store.save("../r", nan)


SAVER = """
import sys
from pathlib import Path
import numpy as np
from agentroute.learning import StateStore
from agentroute.choosing.state import StateDict
store, i = StateStore(Path(sys.argv[1])), 0
while True:
    i += 1
    store.save("r", StateDict("r", 1, {"i": i}, {"x": np.full(200_000, float(i))}))
    print(i, flush=True)
"""


@pytest.mark.parametrize("kills", [6, pytest.param(100, marks=pytest.mark.soak)])
def test_kill_during_save_leaves_the_old_or_the_new_version(tmp_path, kills, faults):
    rng, store, acknowledged = np.random.default_rng(1), StateStore(tmp_path), 0
    for _ in range(kills):
        p = subprocess.Popen([sys.executable, "-c", SAVER, str(tmp_path)], stdout=subprocess.PIPE)
        acknowledged += int(p.stdout.readline() or 0) > 0
        time.sleep(rng.random() * 0.05)
        p.kill()
        acknowledged += len(p.communicate()[0].split())
        got = store.load("r")
        faults.injected += 1
        faults.corrupt += (
            got.skipped != () or not (got.state.arrays["x"] == got.state.meta["i"]).all()
        )
        faults.lost += max(0, acknowledged - got.number)
