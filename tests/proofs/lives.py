"""Lives of a three-step run, each ended by SIGKILL at the moment that is asked for.

``python lives.py FOLDER`` imports once what a life there imports; each line that it reads (folder,
how, k) makes it fork one life. ``alone`` is a run by the orchestrator, ``hosted`` one inside a
graph with a checkpointer. A moment is before or after a group commit, an agent's call or a
checkpoint. Life ``k`` ends at its ``k``-th moment, life 0 does not; where a run of the folder was
begun, a life goes on with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from agentroute import AgentReply, Orchestrator, Registry, Task
from agentroute.ledger import writer

WORK = [
    Task(id="one", prompt="first", skills=("s",)),
    Task(id="two", prompt="second", skills=("s",), depends_on=("one",)),
    Task(id="three", prompt="third", skills=("s",), depends_on=("two",)),
]


class Death:
    """Ends the process at the ``k``-th moment; the moments so far are in a file."""

    def __init__(self, folder: Path, k: int) -> None:
        self.k, self.n, self.lock = k, 0, threading.Lock()
        self.log = os.open(folder / "moments", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def moment(self, what: str) -> None:
        with self.lock:
            self.n += 1
            os.write(self.log, f"{what}\n".encode())
            if self.n == self.k:
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()

    def around(self, owner, name: str, what: str) -> None:
        real = getattr(owner, name)

        def watched(*args, **more):
            self.moment(f"before {what}")
            done = real(*args, **more)
            self.moment(f"after {what}")
            return done

        setattr(owner, name, watched)


def people(folder: Path, death: Death) -> Registry:
    registry = Registry()
    calls = os.open(folder / "calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def work(call):
        os.write(calls, f"{call.task.id}\n".encode())
        death.moment("before call")
        text = f"{call.task.id}({','.join(r.text for r in call.inputs.values())})"
        death.moment("after call")
        return AgentReply(text=text)

    for name in ("left", "right"):
        registry.agent(name=name, description=f"the {name} one", skills=["s"])(work)
    return registry


def orchestrator(folder: Path, death: Death) -> Orchestrator:
    return Orchestrator(
        people(folder, death), ledger=f"sqlite:///{folder}/a.db", out=folder / "out",
        state=folder / "state", embedder="hashing",
    )  # fmt: skip


async def alone(folder: Path, death: Death) -> str:
    async with orchestrator(folder, death) as orc:
        begun = bool(orc.ledger.notes("r", "run.started"))
        result = await (orc.run(None, resume="r") if begun else orc.run(WORK, run_id="r"))
        return f"{result.status}: {result.answer}"


def hosted(folder: Path, death: Death) -> str:
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.graph import END, START, MessagesState, StateGraph

    class Host(MessagesState):
        task: str
        run_id: str
        output: str

    con = sqlite3.connect(folder / "checkpoints.db", check_same_thread=False)
    saver = SqliteSaver(con)
    saver.setup()
    death.around(saver, "put", "checkpoint")
    death.around(saver, "put_writes", "checkpoint")
    orc = orchestrator(folder, death)
    orc._session.open(read_only=False)
    builder = StateGraph(Host)
    builder.add_node("routed", orc.as_graph(WORK))
    builder.add_edge(START, "routed")
    builder.add_edge("routed", END)
    graph = builder.compile(checkpointer=saver)
    config = {"configurable": {"thread_id": "t"}}
    state = graph.get_state(config)
    out = state.values
    if state.next or "output" not in out:
        given = None if state.next else {"task": "all of it"}
        out = graph.invoke(given, config, durability="sync")
    asyncio.run(orc.aclose())
    return str(out["output"])


def life(folder: Path, how: str, k: int) -> None:
    death = Death(folder, k)
    if k:
        death.around(writer.Writer, "_write", "commit")
    said = asyncio.run(alone(folder, death)) if how == "alone" else hosted(folder, death)
    (folder / "answer").write_text(said)


def forked(folder: Path, how: str, k: int) -> int:
    pid = os.fork()
    if not pid:
        try:
            life(folder, how, k)
        except BaseException as e:
            (folder / "error").write_text(f"{type(e).__name__}: {e}")
            os._exit(1)
        (folder / "modules").write_text("\n".join(sorted(sys.modules)))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    first = Path(sys.argv[1])
    forked(first, "hosted", 0)
    for name in (first / "modules").read_text().split():
        with suppress(ImportError):
            import_module(name)
    for line in sys.stdin:
        folder, how, k = json.loads(line)
        print(forked(Path(folder), how, int(k)), flush=True)


if __name__ == "__main__":
    main()
