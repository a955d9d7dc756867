"""Agent cards as others serve them: names for people, null for absent, a byte-order mark."""

from pathlib import Path

import pytest

from agentroute.cli.app import run
from agentroute.registry.load import load_card, slug

CARDS = Path(__file__).parent / "a2a"
NAMES = {
    "bom": ("bom", ""),
    "cjk": ("agent_f414493f", "园艺助手"),
    "doc_null": ("docnull", ""),
    "good": ("good", ""),
    "parens": ("garden_debate_team_gdt", "Garden Debate Team (GDT)"),
    "skill_nulls": ("skillnulls", ""),
    "umlaut": ("jorn_beispiel_gardens_more", "Jörn Beispiel - Gardens & More"),
}


@pytest.mark.parametrize("file", NAMES)
def test_a_card_loads_as_the_plainest_does(file):
    card, good = load_card(CARDS / f"{file}.json"), load_card(CARDS / "good.json")
    assert (card.name, card.title) == NAMES[file]
    assert card.model_copy(update={"name": good.name, "title": ""}) == good


def test_null_in_every_optional_place_is_absent(tmp_path):
    (tmp_path / "c.json").write_text(
        '{"name": "n", "description": "d", "version": null, "url": null, "provider": null,'
        ' "documentationUrl": null, "defaultInputModes": null, "defaultOutputModes": null,'
        ' "capabilities": null, "supportedInterfaces": null, "skills": null}'
    )
    assert load_card(tmp_path / "c.json").skills == ()


def test_two_cards_of_the_name_that_the_protocol_gives_are_both_added(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name in ("parens", "umlaut"):
        (tmp_path / name).mkdir()
        given = tmp_path / name / "agent-card.json"
        given.write_bytes((CARDS / f"{name}.json").read_bytes())
        assert run(["agents", "add", str(given)]) == 0
    capsys.readouterr()
    assert run(["agents", "ls", "--json"]) == 0
    out = capsys.readouterr().out
    assert "garden_debate_team_gdt" in out
    assert "jorn_beispiel_gardens_more" in out
    assert run(["agents", "rm", "garden_debate_team_gdt"]) == 0


def test_a_router_reads_the_name_for_people_too():
    assert "Garden Debate Team (GDT)" in load_card(CARDS / "parens.json").text()


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Ça va?", "ca_va"),
        ("a" * 300, "a" * 100),
        ("!!!", "agent_0638f078"),
        ("GPT 园艺助手", None),
    ],
)
def test_slugs(title, name):
    made = slug(title)
    assert made == name or (name is None and made.startswith("gpt_") and len(made) == 12)
