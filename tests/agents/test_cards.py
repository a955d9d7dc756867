"""Every card is valid, honest in form, and names code that is there."""

import ast

import pytest

from agentroute.config.paths import bundled

AGENTS = bundled("agents")
NAMES = sorted(p.stem for p in AGENTS.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_complete(name, card, module):
    c = card(name)
    assert c.name == name
    assert (AGENTS / f"{name}.yaml").read_text().startswith("# yaml-language-server: $schema=")
    assert all(s.description and s.tags and s.examples for s in c.skills)
    assert c.latency_s is not None
    assert c.pricing.expected_usd is not None
    if c.entrypoint == "chat":
        assert c.prompt
    else:
        file, _, attr = c.entrypoint.partition(":")
        assert callable(getattr(module(file), attr))


@pytest.mark.parametrize("name", [n for n in NAMES if (AGENTS / f"{n}.py").exists()])
def test_an_agent_imports_what_its_worker_has(name):
    tree = ast.parse((AGENTS / f"{name}.py").read_text(encoding="utf-8"))
    ours = [
        n.module
        for n in ast.walk(tree)
        if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("agentroute")
    ]
    allowed = (
        "agentroute.model",
        "agentroute.toolbox",
        "agentroute.refining",
        "agentroute.features.text",
    )
    assert all(m.startswith((*allowed, "agentroute.errors")) for m in ours)
    calls = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and hasattr(n.func, "id")}
    assert not calls & {"eval", "exec"}


def test_the_catalogue_is_wide(card):
    skills = {}
    for n in NAMES:
        for s in card(n).skills:
            skills.setdefault(s.id, []).append(n)
    assert len(NAMES) >= 30
    contested = {s for s, agents in skills.items() if len(agents) > 1} - {"verify", "refine"}
    assert len(contested) >= 5
    assert len(skills["verify"]) >= 4
