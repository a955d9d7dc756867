"""How long the inspector's pages take on a ledger of a million decisions.

A small ledger is written as runs write it, and its rows are copied under other ids by SQL until
there are enough: the chain of the copies does not hold, which only ``verify`` would see. Each page
is asked of the application itself, without a socket: the first time, and the median of five more.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

from agentroute.bench.goals import Goal
from agentroute.bench.opening import records
from agentroute.config.paths import search_order
from agentroute.features.text import make_embedder
from agentroute.ledger import Ledger
from agentroute.ledger.chain import TABLES
from agentroute.model.events import Note
from agentroute.model.outcomes import Feedback, Outcome
from agentroute.registry.registry import Registry

LIMIT_MS, REPEATS = 200.0, 5
BASE, PER_RUN = 2_000, 5
MARK = "aaaaaaaa"  # in every id of the first rows; each copy has another word of eight there
ON_DEMAND = {"/learning/helps", "/ledger/verify"}  # behind a link that says that it takes long
PORT, TOKEN = 1, "bench"

App = Callable[..., Awaitable[None]]
Make = Callable[[Ledger, str, int], App]


def bench_pages(make: Make, decisions: int = 1_000_000) -> list[Goal]:
    """Every page of the inspector; those behind a button are information.

    Args:
        make: the application of a ledger, a token and a port.
        decisions: of the ledger, rounded up to whole copies of 2,000.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        copies = -(-decisions // BASE)
        _write(path)
        rows = copied(path, copies)
        size = path.stat().st_size / 1e9
        out = [
            Goal(f"rows of a ledger with {copies * BASE:,} decisions", float(rows), None, ""),
            Goal("  its size", size, None, "GB"),
        ]
        with Ledger.open(f"sqlite:///{path}", read_only=True) as ledger:
            out += asyncio.run(_timed(make(ledger, TOKEN, PORT), ledger, rows))
    return out


def _write(path: Path) -> None:
    """The first rows: runs of five decisions with outcomes, feedback and an end."""
    cards = Registry(search_order("agents")).cardset(make_embedder())
    with Ledger.open(f"sqlite:///{path}") as ledger:
        for i, record in enumerate(records(cards, BASE, seed=0)):
            run, name = f"run-{MARK}-{i // PER_RUN}", f"d-{MARK}-{i}"
            if i % PER_RUN == 0:
                about = {"name": f"graph{i % 7}", "topology": "hybrid"}
                ledger.append(Note(id=f"s-{run}", run_id=run, type="run.started", data=about))
            d = record.decision.model_copy(update={"id": name, "run_id": run})
            object.__setattr__(record, "decision", d)
            ledger.append(record)
            ledger.append(Outcome(decision_id=name, agent=d.chosen[0], cost_usd=0.001 * (i % 9),
                                  latency_s=0.1, tokens=100))  # fmt: skip
            ledger.append(Feedback(id=f"f-{MARK}-{i}", target="decision", target_id=name,
                                   score=(i % 11) / 10))  # fmt: skip
            if i % PER_RUN == PER_RUN - 1:
                end = {"status": "completed" if i % 3 else "failed"}
                ledger.append(Note(id=f"e-{run}", run_id=run, type="run.finished", data=end)).wait()


def copied(path: Path, copies: int) -> int:
    """Every row again under other ids, ``copies`` - 1 times; how many rows there are then."""
    con = sqlite3.connect(path, isolation_level=None)
    con.execute("PRAGMA synchronous = OFF")
    (rows,) = con.execute("SELECT max(seq) FROM events").fetchone()
    con.execute("BEGIN")
    for k in range(1, copies):
        for table in TABLES:
            con.execute(_again(con, table), (k * rows, f"{k:08d}", rows))
    con.execute("COMMIT")
    con.close()
    return int(rows) * copies


def _again(con: sqlite3.Connection, table: str) -> str:
    def value(name: str, kind: str) -> str:
        if name == "seq":
            return "seq + ?1"
        if name == "body":
            return f"CAST(replace(CAST(body AS TEXT), '{MARK}', ?2) AS BLOB)"
        return f"replace({name}, '{MARK}', ?2)" if kind == "TEXT" else name

    columns = [(r[1], r[2]) for r in con.execute(f"PRAGMA table_info({table})")]
    values = ", ".join(value(*c) for c in columns)
    names = ", ".join(c for c, _ in columns)
    return f"INSERT INTO {table} ({names}) SELECT {values} FROM {table} WHERE seq <= ?3"


async def _timed(app: App, ledger: Ledger, rows: int) -> list[Goal]:
    out = []
    for path, query in _addresses(ledger, rows):
        limit = None if path in ON_DEMAND else LIMIT_MS
        times = [await _ask(app, path, query) for _ in range(1 if path in ON_DEMAND else 6)]
        shown = path + (f"?{'&'.join(query)}" if query else "")
        out.append(Goal(f"{shown}, first", times[0], limit, "ms"))
        if times[1:]:
            out.append(Goal("  again", median(times[1:]), limit, "ms"))
    return out


def _addresses(ledger: Ledger, rows: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Each page, of the newest, of the middle, and filtered."""
    (last,) = ledger.query("SELECT id, run_id FROM decisions ORDER BY seq DESC LIMIT 1")[0:1]
    (mid,) = ledger.query(
        "SELECT id, run_id FROM decisions WHERE seq >= ? ORDER BY seq LIMIT 1", (rows // 2,)
    )[0:1]
    yield "/", {}
    yield "/", {"before": str(rows // 2)}
    yield "/", {"status": "failed"}
    yield "/", {"graph": "graph3"}
    yield "/", {"text": str(mid[1])}
    for decision, run in (last, mid):
        yield "/run", {"id": run}
        yield "/decision", {"id": decision}
    yield "/compare", {"a": last[1], "b": mid[1]}
    for by in ("agent", "skill", "graph", "day"):
        yield "/agents", {"by": by}
    yield "/topology", {}
    yield "/pheromones", {}
    yield "/learning", {}
    yield "/ledger", {}
    yield "/ledger", {"before": str(rows // 2)}
    yield "/row", {"seq": str(rows // 2)}
    yield "/learning/helps", {}
    yield "/ledger/verify", {}


async def _ask(app: App, path: str, query: dict[str, str]) -> float:
    """Milliseconds of one request."""
    said: list[dict[str, Any]] = []
    headers = [(b"host", f"127.0.0.1:{PORT}".encode()),
               (b"cookie", f"agentroute_inspect_{PORT}={TOKEN}".encode())]  # fmt: skip
    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(),
        "query_string": urlencode(query).encode(), "headers": headers, "scheme": "http",
        "server": ("127.0.0.1", PORT), "client": ("127.0.0.1", 2), "root_path": "",
        "http_version": "1.1",
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    start = time.perf_counter()
    await app(scope, receive, send)
    took = 1e3 * (time.perf_counter() - start)
    status = said[0]["status"]
    if status != 200:
        raise RuntimeError(f"{path} {query} was answered {status}")
    return took
