"""An agent in a worker that starts processes of its own, by each way that Python has."""

from __future__ import annotations

import pytest

from agentroute import Orchestrator, Registry, Task

CARD = """
name: sq
description: Squares numbers
skills: [square]
entrypoint: sq.py:agent
limits: {timeout_s: 20, max_attempts: 1}
"""
CODE = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from agentroute import AgentReply

def square(x):
    return AgentReply(text=str(x * x)).text

def agent(call):
    context = multiprocessing.get_context(call.task.prompt.split()[-1])
    if "executor" in call.task.prompt:
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            return " ".join(pool.map(square, [1, 2, 3]))
    with context.Pool(2) as pool:
        return " ".join(pool.map(square, [1, 2, 3]))
"""


@pytest.mark.parametrize("way", ["a pool by spawn", "an executor by spawn", "a pool by forkserver"])
async def test_spawned_processes_find_the_agents_file(tmp_path, way):
    folder = tmp_path / "agents"
    folder.mkdir()
    (folder / "sq.yaml").write_text(CARD)
    (folder / "sq.py").write_text(CODE)
    url = f"sqlite:///{tmp_path}/a.db"
    async with Orchestrator(
        Registry.from_folder(folder), ledger=url, out=tmp_path, embedder="hashing"
    ) as orc:
        run = await orc.run(Task(prompt=way, skills=("square",)))
    assert (run.status, run.answer) == ("completed", "1 4 9"), run.degraded
