"""Settings: the environment over the file over the defaults; strict."""

import json

import pytest

from agentroute.cli.app import run
from agentroute.config.paths import search_order
from agentroute.config.settings import load_settings
from agentroute.errors import ConfigError


def test_order_and_origins(tmp_path):
    file = tmp_path / "agentroute.yaml"
    file.write_text("router: {name: linucb, alpha: 0.4}\nagents: [my]\nbudget: {usd: 2}\n")
    settings, origins = load_settings(file, env={"AGENTROUTE_BUDGET__SECONDS": "9"})
    by_key = {o.key: o.origin for o in origins}
    assert settings.router == {"name": "linucb", "alpha": 0.4}
    assert settings.agents == (str(tmp_path / "my"),)
    assert (settings.budget.usd, settings.budget.seconds) == (2, 9)
    assert by_key["router"].endswith("agentroute.yaml:1")
    assert by_key["budget"] == "environment"
    assert by_key["seed"] == "default"
    assert settings.db == f"sqlite:///{tmp_path}/agentroute.db"


@pytest.mark.parametrize(
    ("text", "env", "says"),
    [
        ("routr: x", {}, "routr"),
        ("exploration: 2", {}, "agentroute.yaml:1: exploration"),
        ("db: postgres://x", {}, "only sqlite"),
        ("", {"AGENTROUTE_BUDGET__UD": "3"}, "AGENTROUTE_BUDGET__UD"),
        ("- 1", {}, "mapping"),
    ],
)
def test_bad_settings_are_refused(tmp_path, text, env, says):
    file = tmp_path / "agentroute.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_settings(file, env=env)


def test_the_environment_stands_over_the_file_key_by_key(tmp_path, monkeypatch, capsys):
    """As the command shows it, with where each came from."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "agentroute.yaml"
    file.write_text("exploration: 0.2\nseed: 3\nbudget: {usd: 2, seconds: 7}\n")
    monkeypatch.setenv("AGENTROUTE_EXPLORATION", "0.4")
    monkeypatch.setenv("AGENTROUTE_BUDGET__SECONDS", "9")
    assert run(["config", "show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    found, origins = shown["settings"], {o["key"]: o["origin"] for o in shown["origins"]}
    assert (found["exploration"], origins["exploration"]) == (0.4, "environment")
    assert (found["budget"]["seconds"], found["budget"]["usd"]) == (9, 2)
    assert (found["seed"], origins["seed"]) == (3, f"{file}:2")


def test_search_order(tmp_path):
    for name in ("given", "env", "conf", "cwd"):
        (tmp_path / name / "agents").mkdir(parents=True)
    env = {"AGENTROUTE_PATH": str(tmp_path / "env"), "XDG_CONFIG_HOME": str(tmp_path / "none")}
    places = search_order(
        "agents",
        given=[tmp_path / "given" / "agents"],
        configured=[tmp_path / "conf" / "agents"],
        cwd=tmp_path / "cwd",
        env=env,
    )
    origins = [p.origin for p in places]
    assert origins == ["--agents", "AGENTROUTE_PATH", "agentroute.yaml", "./agents", "bundled"]
