"""Cards come and go by files alone; a bad one harms nobody."""

import json

import pytest

from agentroute.errors import CardError, ConfigError, DuplicateAgentError, UnknownAgentError
from agentroute.model.cards import CapabilityCard
from agentroute.registry.load import load_card
from agentroute.registry.onboard import offboard, onboard, set_status
from agentroute.registry.registry import Registry

CARD = "name: {name}\ndescription: does {name}\nskills: [s]\nentrypoint: code.py:agent\n"


@pytest.fixture
def folder(tmp_path):
    for name in ("alpha", "beta"):
        (tmp_path / f"{name}.yaml").write_text(CARD.format(name=name))
    (tmp_path / "code.py").write_text("def agent(call):\n    return 'x'\n")
    return tmp_path


def test_a_dropped_card_is_seen_and_a_removed_one_is_gone(folder, embedder):
    registry = Registry.from_folder(folder)
    before = registry.cardset(embedder)
    assert list(registry.entries) == ["alpha", "beta"]
    (folder / "gamma.yaml").write_text(CARD.format(name="gamma"))
    assert registry.refresh()
    assert "gamma" in registry
    assert registry.cardset(embedder).sha256 != before.sha256
    (folder / "gamma.yaml").unlink()
    assert registry.refresh()
    assert registry.cardset(embedder).sha256 == before.sha256
    assert not registry.refresh()


def test_a_malformed_card_is_named_and_the_others_stay(folder):
    (folder / "bad.yaml").write_text("name: bad\ndescription: x\nskils: [a]\n")
    registry = Registry.from_folder(folder)
    assert list(registry.entries) == ["alpha", "beta"]
    assert "bad.yaml:3: skils" in str(registry.problems[0])
    assert "skills" in registry.problems[0].hint


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: x\n", "description"),
        ("name: '../x'\ndescription: d\n", "name"),
        ("name: x\ndescription: d\nstatus: live\n", "status"),
        ("name: x\ndescription: d\nskills: [{id: a}, {id: a}]\n", "unique"),
        ("name: x\ndescription: d\nentrypoint: chat\n", "prompt"),
        ("name: x\ndescription: d\nlimits: {timeout_s: -1}\n", "limits.timeout_s"),
        ("name: x\ndescription: d\noutside: true\n", "outside"),
    ],
)
def test_bad_cards(tmp_path, text, says):
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(CardError, match=says):
        load_card(file)


def test_an_a2a_card_is_taken_unchanged_and_names_no_code(tmp_path):
    file = tmp_path / "agent-card.json"
    source = {
        "protocolVersion": "1.0",
        "name": "Weather",
        "description": "Tells\u202e the weather",
        "version": "2",
        "supportedInterfaces": [{"url": "https://x.example/a2a", "protocolBinding": "JSONRPC"}],
        "capabilities": {"streaming": True},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{"id": "forecast", "name": "Forecast", "description": "d", "tags": ["w"]}],
        "entrypoint": "os:system",
    }
    file.write_text(json.dumps(source))
    card = load_card(file)
    assert card.outside
    assert card.entrypoint is None
    assert card.skill_ids == {"forecast"}
    assert "\u202e" not in card.description
    file.write_text("{}")
    with pytest.raises(CardError, match="name"):
        load_card(file)


def test_code_and_decorator():
    registry = Registry()

    @registry.agent(skills=["refunds"], cost_usd=0.002)
    def billing(call):
        """Refunds orders."""
        return "ok"

    card = registry.card("billing")
    assert (card.description, card.skill_ids) == ("Refunds orders.", {"refunds"})
    assert (card.isolation, card.pricing.expected_usd) == ("inline", 0.002)
    assert registry["billing"].handler is billing
    with pytest.raises(DuplicateAgentError):
        registry.agent()(billing)
    registry.remove("billing")
    with pytest.raises(UnknownAgentError):
        registry["billing"]


def test_onboard_promote_and_remove(folder, tmp_path):
    into = tmp_path / "mine"
    assert {p.name for p in onboard(folder / "alpha.yaml", into)} == {"alpha.yaml", "code.py"}
    with pytest.raises(DuplicateAgentError):
        onboard(folder / "alpha.yaml", into)
    with (into / "alpha.yaml").open("a") as f:
        f.write("# a comment that stays\n")
    entry = Registry.from_folder(into)["alpha"]
    set_status(entry, "canary", into)
    assert load_card(into / "alpha.yaml").status == "canary"
    assert "a comment that stays" in (into / "alpha.yaml").read_text()
    assert {p.name for p in offboard("alpha", into)} == {"alpha.yaml", "code.py"}
    assert list(into.iterdir()) == []
    with pytest.raises(UnknownAgentError):
        offboard("alpha", into)


def test_onboarding_a_bad_card_writes_nothing(folder, tmp_path):
    into = tmp_path / "mine"
    (folder / "bad.yaml").write_text("name: bad\n")
    (folder / "nocode.yaml").write_text("name: n\ndescription: d\nentrypoint: gone.py:agent\n")
    for name in ("bad", "nocode"):
        with pytest.raises(CardError):
            onboard(folder / f"{name}.yaml", into)
    assert not into.exists()


class Runnable:
    def invoke(self, payload):
        return "ran"


@pytest.mark.parametrize("handler", [lambda call: "x", Runnable(), print])
def test_what_can_be_called_is_registered(handler):
    Registry().add(CapabilityCard(name="a", description="does it"), handler)


@pytest.mark.parametrize("handler", [42, "module:fn", object(), {"a": 1}])
def test_what_nobody_can_call_is_refused_where_it_is_added(handler):
    registry = Registry()
    with pytest.raises(ConfigError, match="a cannot be called") as refused:
        registry.add(CapabilityCard(name="a", description="does it"), handler)
    assert "runnable" in refused.value.hint and "function" in refused.value.hint
    assert "a" not in registry


def test_a_registry_in_code_is_not_changed_by_looking_again(embedder):
    registry = Registry()
    registry.add(CapabilityCard(name="a", description="works"), lambda call: "x")
    before = registry.cardset(embedder)
    assert not registry.refresh() and registry.cardset(embedder) is before
