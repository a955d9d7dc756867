"""Who does not get what he needs, inputs or libraries, is not a candidate, with that reason."""

import ast
from pathlib import Path

import numpy as np
import pytest

from agentroute.model.calls import AgentReply, handed_over
from agentroute.model.cards import CapabilityCard
from agentroute.model.tasks import Task
from agentroute.registry.eligibility import eligible
from agentroute.registry.live import LiveState
from agentroute.registry.load import load_card
from agentroute.registry.registry import Registry

AGENTS = sorted((Path(__file__).parents[2] / "agents").glob("*.yaml"))


def who(embedder, *cards, given=(), **task):
    registry = Registry()
    for name, more in cards:
        card = {"name": name, "description": name, "entrypoint": "x.py:agent", **more}
        registry.add(CapabilityCard.model_validate(card))
    return eligible(
        registry.cardset(embedder), LiveState(), Task(prompt="x", **task), given=given
    )  # fmt: skip


READER = ("reader", {"requires": ["root", "files"]})
JOINER = ("joiner", {"requires": ["inputs"]})
TALKER = ("talker", {})


def test_inputs_come_from_earlier_tasks_from_params_or_from_the_card(embedder):
    bare = who(embedder, READER, JOINER, TALKER)
    assert list(bare.candidates.names) == ["talker"]
    assert bare.excluded() == {
        "reader": "needs files, root from an earlier task",
        "joiner": "needs replies of earlier tasks",
    }
    replied = handed_over({"a": AgentReply(data={"root": ".", "files": []})})
    assert len(who(embedder, READER, JOINER, TALKER, given=replied).candidates) == 3
    told = who(embedder, READER, JOINER, params={"root": ".", "files": []})
    assert list(told.candidates.names) == ["reader"]
    half = who(embedder, READER, params={"root": "."})
    assert half.excluded() == {"reader": "needs files from an earlier task"}
    own = ("own", {"requires": ["path"], "params": {"path": "x.csv"}})
    assert list(who(embedder, own).candidates.names) == ["own"]


def test_a_shadow_without_its_inputs_does_not_run_beside(embedder):
    shadow = ("shadow", {"status": "shadow", "requires": ["files"]})
    assert not len(who(embedder, TALKER, shadow).shadow_rows)
    assert len(who(embedder, TALKER, shadow, given={"files"}).shadow_rows) == 1


def test_a_missing_library_is_named_with_what_installs_it_and_nothing_is_imported(embedder):
    card = ("drawer", {"libraries": {"nosuchlib": "drawing[svg]", "json": "json"}})
    assert who(embedder, TALKER, card).excluded() == {
        "drawer": "needs nosuchlib, not installed: pip install 'drawing[svg]'"
    }
    with pytest.raises(ValueError, match="pattern"):
        who(embedder, ("bad", {"libraries": {"os.path": "x"}}))
    with pytest.raises(ValueError, match="pattern"):
        who(embedder, ("bad", {"libraries": {"os": "x'; rm"}}))


def test_more_distinct_reasons_than_a_byte_holds_share_the_last(embedder):
    cards = [(f"a{i}", {"requires": [f"k{i}"]}) for i in range(300)]
    excluded = who(embedder, *cards).excluded()
    assert excluded["a0"] == "needs k0 from an earlier task" and len(excluded) == 300
    assert "needs inputs or libraries that are not there" in excluded.values()


@pytest.mark.parametrize("path", AGENTS, ids=lambda p: p.stem)
def test_bundled_cards_declare_what_their_code_reads_and_imports(path):
    card, code = load_card(path), path.with_suffix(".py")
    if not code.exists():
        return
    read, imported = set(), set()
    for node in ast.walk(ast.parse(code.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "data_with":
            read |= {a.value for a in node.args if isinstance(a, ast.Constant)}
        elif isinstance(node, ast.Import):
            imported |= {a.name.partition(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).partition(".")[0])
    assert read <= set(card.requires)
    assert set(card.libraries) == imported & {"radon", "pint", "rank_bm25", "packaging"}


def test_needs_are_read_once_for_a_card_set_and_cost_no_loop_over_agents(embedder):
    registry = Registry()
    for i in range(200):
        card = {"name": f"a{i}", "description": "x", "entrypoint": "x.py:agent"}
        registry.add(CapabilityCard.model_validate(card | {"requires": [f"k{i % 3}"]}))
    e = eligible(registry.cardset(embedder), LiveState(), Task(prompt="x"), given={"k1"})
    assert len(e.candidates) == 67 and len(np.unique(e.excluded_codes)) == 2
