"""Forty free texts through the front door, with shipped defaults and the bundled catalogue.

``data/forty_texts.yaml`` was written before the code; nothing is tuned on it.
"""

from pathlib import Path

import pytest
import yaml

from agentroute.config.paths import bundled
from agentroute.config.settings import Settings
from agentroute.model.outcomes import Outcome
from agentroute.model.tasks import Task
from agentroute.orchestrator import Orchestrator
from agentroute.registry.registry import Registry

TEXTS = yaml.safe_load((Path(__file__).parent / "data" / "forty_texts.yaml").read_text())["texts"]
INSIDE = [t for t in TEXTS if t["agents"]]
OUTSIDE = [t for t in TEXTS if not t["agents"]]


@pytest.fixture
def orc(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_text("import json\n\n\ndef f():\n    return json.dumps(1)\n")
    (tmp_path / "notes.md").write_text("# Notes\n\nPeople may work from abroad for ten days.\n")
    return Orchestrator.from_settings(Settings(db=f"sqlite:///{tmp_path}/l.db", out="out"))


async def test_texts_go_to_the_right_agent_or_to_nobody(orc):
    assert len(INSIDE) == len(OUTSIDE) == 20
    async with orc:
        inside = [await orc.route(t["text"]) for t in INSIDE]
        outside = [await orc.route(t["text"]) for t in OUTSIDE]
    right = [f.chosen and f.chosen[0] in t["agents"] for f, t in zip(inside, INSIDE, strict=True)]
    assert sum(map(bool, right)) >= 17
    assert sum(bool(f.chosen) for f in outside) <= 3


async def test_no_call_fails_for_want_of_inputs_and_nobody_is_called_for_what_nobody_does(orc):
    async with orc:
        results = [await orc.run(t["text"]) for t in TEXTS]
        rows = [r.value for r in orc.ledger.rows(tables=("outcomes",))]
    errors = [o.error for o in rows if isinstance(o, Outcome) and o.error]
    assert not errors
    refused = [r for r, t in zip(results, TEXTS, strict=True) if not t["agents"]]
    gone = [r for r in refused if r.status == "abstained"]
    assert len(gone) >= 17
    for r in gone:
        assert r.usage.calls == 0 and r.answer == ""
        assert r.degraded[0].count("(") >= 4 and "agentroute agents ls" in r.degraded[0]


CARDS = [b.card for b in Registry.from_folder(bundled("agents")).entries.values()]
FREE = [c.name for c in CARDS if set(c.requires) <= {"text"} and c.entrypoint != "chat"]


@pytest.mark.parametrize("agent", FREE)
async def test_whoever_declares_no_needs_takes_bare_words(orc, agent):
    """It may abstain; it must not fail for want of something that its card does not name."""
    async with orc:
        run = await orc.run(Task(prompt="what is 1 and 1", agent=agent))
        rows = [r.value for r in orc.ledger.rows(tables=("outcomes",))]
    assert {o.error for o in rows if isinstance(o, Outcome)} == {None}, run.degraded
