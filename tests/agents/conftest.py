"""Run a catalogue agent in this process, through JSON both ways as a worker would."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from agentroute.config.paths import bundled
from agentroute.config.yaml import load_yaml
from agentroute.model.calls import AgentCall, AgentReply
from agentroute.model.cards import CapabilityCard
from agentroute.model.tasks import Task

AGENTS = bundled("agents")
_modules: dict[str, ModuleType] = {}


def card_of(name: str) -> CapabilityCard:
    return CapabilityCard(**load_yaml(AGENTS / f"{name}.yaml").data)


def module_of(file: str) -> ModuleType:
    if file not in _modules:
        spec = importlib.util.spec_from_file_location(f"agent_{file[:-3]}", AGENTS / file)
        _modules[file] = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = _modules[file]
        spec.loader.exec_module(_modules[file])
    return _modules[file]


@pytest.fixture(scope="session")
def card():
    return card_of


@pytest.fixture(scope="session")
def module():
    return module_of


@pytest.fixture
def run(tmp_path):
    """``run(agent, inputs=..., prompt=..., **params) -> AgentReply``."""
    count = 0

    def call(name, inputs=None, *, prompt="do it", depends_on=(), **params) -> AgentReply:
        nonlocal count
        count += 1
        folder = tmp_path / f"call{count}"
        folder.mkdir()
        c = card_of(name)
        file, _, attr = c.entrypoint.partition(":")
        task = Task(id=name, prompt=prompt, depends_on=depends_on)
        made = AgentCall(task, dict(inputs or {}), {**c.params, **params}, workdir=folder)
        reply = getattr(module_of(file), attr)(made)
        if not isinstance(reply, AgentReply):
            reply = AgentReply(text=reply) if isinstance(reply, str) else AgentReply(data=reply)
        assert all(Path(a.path).parent == folder for a in reply.artifacts)
        return AgentReply.model_validate_json(reply.model_dump_json())

    return call
