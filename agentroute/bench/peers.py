"""What others do for the same work: bare LangGraph and its checkpointer, raw SQLite, SQLModel.

A bench may import its peers; nothing that serves does.
"""

from __future__ import annotations

import operator
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph

from agentroute.ledger.connect import PAGE
from agentroute.ledger.rows.entries import COLUMNS, Entry

if TYPE_CHECKING:
    from sqlalchemy import Engine

Work = Callable[[str], Awaitable[None]]


class Count(TypedDict):
    """The state of the bare graphs: how many nodes ran."""

    n: Annotated[int, operator.add]


def bare_graph(parents: Mapping[str, Sequence[str]], work: Work, saver: Any = None) -> Any:
    """A compiled graph with one node a task, as LangGraph's own guide draws it: layer by layer.

    ``parents`` maps a task to its inputs, in topological order. A node with several inputs waits
    for them all; a superstep ends when its last node has.
    """
    builder: Any = StateGraph(Count)
    for name, before in parents.items():
        builder.add_node(name, _node(name, work))
        if len(before) > 1:
            builder.add_edge(list(before), name)
        else:
            builder.add_edge(before[0] if before else START, name)
    for name in parents.keys() - {p for before in parents.values() for p in before}:
        builder.add_edge(name, END)
    return builder.compile(checkpointer=saver)


def _node(name: str, work: Work) -> Callable[[Count], Awaitable[Count]]:
    async def node(_: Count) -> Count:
        await work(name)
        return {"n": 1}

    return node


def checkpointed_chain(path: Path, steps: int) -> Callable[[], object]:
    """Runs a chain of ``steps`` nodes with ``SqliteSaver``, each step durable before the next."""
    from langgraph.checkpoint.sqlite import SqliteSaver

    saver = SqliteSaver(sqlite3.connect(path, check_same_thread=False))
    saver.setup()
    builder: Any = StateGraph(Count)
    names = [f"n{i}" for i in range(steps)]
    for name in names:
        builder.add_node(name, lambda _: {"n": 1})
    for a, b in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(a, b)
    graph, turn = builder.compile(checkpointer=saver), iter(range(1 << 60))

    def run() -> object:
        config = {"recursion_limit": 2 * steps, "configurable": {"thread_id": str(next(turn))}}
        return graph.invoke({"n": 0}, config, durability="sync")

    return run


# -- rows ---------------------------------------------------------------------------------------


def raw_file(path: Path) -> sqlite3.Connection:
    """A database with one table and one index, pages and durability (WAL, FULL) as a ledger's."""
    con = sqlite3.connect(path, isolation_level=None)
    con.execute(f"PRAGMA page_size = {PAGE}")
    con.execute("PRAGMA journal_mode = WAL")
    con.execute("PRAGMA synchronous = FULL")
    con.execute("CREATE TABLE rows (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, body, packed)")
    return con


def insert(con: sqlite3.Connection, entries: Sequence[Entry], batch: int) -> None:
    """The bytes of the entries, ``batch`` a commit, with nothing checked, chained or indexed."""
    for start in range(0, len(entries), batch):
        rows = [(e.columns[0], e.body, e.packed) for e in entries[start : start + batch]]
        con.execute("BEGIN IMMEDIATE")
        con.executemany("INSERT INTO rows (id, body, packed) VALUES (?, ?, ?)", rows)
        con.execute("COMMIT")


@contextmanager
def orm_file(path: Path) -> Iterator[Engine]:
    """An engine on a database with the ledger's tables, as durable as a ledger."""
    from sqlmodel import create_engine

    from agentroute.ledger.tables import Table

    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as con:
        con.exec_driver_sql("PRAGMA journal_mode = WAL")  # FULL is SQLite's own default
    Table.metadata.create_all(engine)
    try:
        yield engine
    finally:
        engine.dispose()


def insert_models(engine: Engine, entries: Sequence[Entry]) -> None:
    """The entries as SQLModel objects, one commit each."""
    from sqlmodel import Session

    from agentroute.ledger.tables import DecisionRow

    with Session(engine) as session:
        for e in entries:
            fields = dict(zip(COLUMNS["decisions"], e.columns, strict=True))
            row = DecisionRow(**fields, body=e.body, packed=e.packed, prev=b"", hash=b"")
            session.add(row)
            session.commit()
