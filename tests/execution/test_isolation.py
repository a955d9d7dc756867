"""Running in a folder does not run the folder: no file of it is taken for a module."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

import agentroute
from agentroute.adapters.loading import entry_of
from agentroute.execution.calls.pool import WorkerPool
from agentroute.model.calls import AgentCall
from agentroute.model.cards import CapabilityCard
from agentroute.model.tasks import Task

INSTALLED = sorted(importlib.metadata.packages_distributions())
AGENT = """
import asyncio, csv, decimal, mimetypes, multiprocessing, platform, queue, random, uuid, sys
import importlib.util
import numpy, orjson, pydantic
import agentroute, agentroute.model.calls
def look(call):
    mimetypes.guess_type("x.json")
    platform.platform()
    uuid.getnode()
    return {"data": {
        "home": agentroute.__file__,
        "queue": queue.__file__,
        "other_system": importlib.util.find_spec("_winapi") is None,
        "path": sys.path,
    }}
"""


def plant(folder: Path, marks: Path) -> None:
    """A file for every standard and installed module, which leaves the id of who ran it."""
    folder.mkdir(exist_ok=True)
    marks.mkdir()
    for name in {*sys.stdlib_module_names, *INSTALLED, "antigravity", "sitecustomize"}:
        if name.isidentifier() and name not in ("agentroute_agent", "posix"):
            (folder / f"{name}.py").write_text(
                f"import posix\nopen({str(marks)!r} + '/{name}-%d' % posix.getpid(), 'w').close()\n"
            )


def ran_elsewhere(marks: Path) -> list[str]:
    """What other processes than this one have run."""
    return sorted(m.name for m in marks.iterdir() if not m.name.endswith(f"-{os.getpid()}"))


async def answer(entrypoint: str, folder: Path | None, work: Path):
    work.mkdir()
    card = CapabilityCard(name="look", description="d", entrypoint=entrypoint)
    call = AgentCall(task=Task(prompt="hi"), workdir=work)
    pool = WorkerPool(spare=0)
    try:
        return await pool.call(card, entry_of(entrypoint, folder), call, limit_s=30)
    finally:
        await pool.aclose()


@pytest.mark.parametrize("on_path", ["no", "current", "beside"])
async def test_no_file_of_a_folder_runs_as_a_module(tmp_path, monkeypatch, on_path):
    """In the current folder, on the path as such, or beside the agent on the caller's path."""
    planted, marks = tmp_path / "planted", tmp_path / "marks"
    plant(planted, marks)
    beside = planted if on_path == "beside" else tmp_path
    (beside / "my_agent.py").write_text(AGENT)
    if on_path != "beside":
        monkeypatch.chdir(planted)
    if on_path != "no":
        monkeypatch.setattr(sys, "path", [*sys.path, "", str(planted)])
    reply = await answer("my_agent.py:look", beside, tmp_path / "work")
    assert ran_elsewhere(marks) == []
    assert reply.data["home"] == agentroute.__file__
    assert reply.data["queue"] == str(Path(os.__file__).with_name("queue.py"))
    assert reply.data["other_system"] is (sys.platform != "win32")
    assert (str(planted) in reply.data["path"]) is (on_path == "beside")


async def test_a_module_of_the_current_folder_runs_when_a_card_names_it(tmp_path, monkeypatch):
    planted, marks = tmp_path / "planted", tmp_path / "marks"
    plant(planted, marks)
    (planted / "my_neighbour.py").write_text("word = 'neighbour'\n")
    (planted / "my_module.py").write_text(
        "import queue, mimetypes, numpy, my_neighbour\n"
        "def look(call):\n    mimetypes.guess_type('x.json')\n    return my_neighbour.word\n"
    )
    monkeypatch.chdir(planted)
    monkeypatch.setattr(sys, "path", [*sys.path, ""])
    reply = await answer("my_module:look", None, tmp_path / "work")
    assert reply.text == "neighbour"
    assert ran_elsewhere(marks) == []


def test_the_command_in_a_planted_folder_runs_none_of_it(tmp_path):
    planted, marks = tmp_path / "planted", tmp_path / "marks"
    plant(planted, marks)
    env = {**os.environ, "PYTHONPATH": str(Path(agentroute.__file__).parents[1])}
    done = subprocess.run(
        [
            sys.executable, "-P", "-c", "from agentroute.cli import main; main()",
            "run", "review_code", "-i", "path=.",
        ],
        cwd=planted, env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran_elsewhere(marks) == []
    assert done.returncode == 0, done.stderr


async def test_a_path_with_other_folders_still_means_the_same(tmp_path, monkeypatch):
    lib = tmp_path / "lib"
    (lib / "my_package").mkdir(parents=True)
    (lib / "my_package" / "__init__.py").write_text("")
    (lib / "my_package" / "agents.py").write_text(
        "import my_helper\ndef look(call):\n    return my_helper.word\n"
    )
    (lib / "my_helper.py").write_text("word = 'helper'\n")
    monkeypatch.setattr(sys, "path", [str(lib), *sys.path])
    reply = await answer("my_package.agents:look", None, tmp_path / "work")
    assert reply.text == "helper"
