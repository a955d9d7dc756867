import importlib
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from agentroute.choosing import catalog
from agentroute.config import plugins
from agentroute.errors import ConfigError
from agentroute.routers.baselines import Uniform
from agentroute.routers.linucb.router import LinUCB


def test_names_and_parameters():
    assert isinstance(catalog.make_router("uniform"), Uniform)
    router = catalog.make_router({"name": "linucb", "alpha": 0.7, "mode": "hybrid"}, seed=3)
    assert isinstance(router, LinUCB)
    assert (router.alpha, router.mode, router.context.seed) == (0.7, "hybrid", 3)


def test_policy_keys_do_not_reach_the_router():
    policy = catalog.make_policy({"name": "linucb", "screening": 3, "exploration": 0, "lam": 2})
    assert policy.screening.keep == 3
    assert policy.exploration.epsilon == 0
    assert policy.router.lam == 2
    assert catalog.make_policy("uniform", exploration=0.2).exploration.epsilon == 0.2


@pytest.mark.parametrize(
    ("spec", "says", "hint"),
    [
        ("linucp", "unknown router 'linucp'", "linucb"),
        ({"name": "linucb", "alfa": 1}, "no parameter 'alfa'", "alpha"),
        ({"name": "linucb", "explorations": 1}, "no parameter", "exploration"),
        ({"alpha": 1}, "needs a name", "name"),
        ({"name": "linucb", "gamma": 2}, "0 < gamma <= 1", ""),
        ({"name": "linucb", "alpha": "x"}, "refuses its parameters", ""),
        ({"name": "uniform", "margin": "wide"}, "margin must be a number", ""),
        ({"name": "uniform", "exploration": 7}, "epsilon is 7", "0 to 1"),
        ({"name": "uniform", "screening": -1}, "keep is -1", "at least 1"),
        ("os:system", "names code", "agentroute.yaml"),
    ],
)
def test_a_bad_spec_is_a_one_line_error(spec, says, hint):
    with pytest.raises(ConfigError, match=says) as e:
        catalog.make_policy(spec)
    assert hint in e.value.hint


def test_code_is_named_by_trusted_specs_alone():
    name = "agentroute.routers.baselines:Cheapest"
    assert catalog.make_router(name, trusted=True).name == "cheapest"
    with pytest.raises(ConfigError, match="is not a router"):
        catalog.make_router("collections:OrderedDict", trusted=True)
    with pytest.raises(ConfigError, match="cannot be imported"):
        catalog.make_router("no_such_module:X", trusted=True)


def named(monkeypatch, *points):
    """What is installed, and more: pairs of a name and a value."""
    more = [EntryPoint(name, value, catalog.GROUP) for name, value in points]
    there = list(entry_points(group=catalog.GROUP))
    monkeypatch.setattr(plugins, "points_of", lambda group: [*there, *more])


def test_installed_plugins_are_found(monkeypatch):
    named(monkeypatch, ("mine", "agentroute.routers.baselines:Uniform"))
    assert "mine" in catalog.known_routers() and "linucb" in catalog.known_routers()
    assert isinstance(catalog.make_router("mine"), Uniform)


def test_two_distributions_that_name_one_router_are_refused(monkeypatch):
    named(monkeypatch, ("linucb", "other:LinUCB"))
    with pytest.raises(ConfigError, match="name the router 'linucb'") as e:
        catalog.make_router("knn")
    assert "other:LinUCB" in e.value.hint
    named(monkeypatch, ("knn", "agentroute.routers.knn.router:KNN"))  # the same one twice is fine
    assert catalog.make_router("knn").name == "knn"


def test_an_installation_without_its_routers_says_so(monkeypatch):
    monkeypatch.setattr(plugins, "points_of", lambda group: [])
    with pytest.raises(ConfigError, match="without its routers"):
        catalog.known_routers()


def test_every_built_in_router_comes_through_the_door_of_plugins():
    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    declared = pyproject["project"]["entry-points"][catalog.GROUP]
    for name, value in declared.items():
        module, _, cls = value.partition(":")
        assert getattr(importlib.import_module(module), cls).name == name


@pytest.mark.checklist("SM10")
def test_light_routers_load_no_torch():
    names = ["uniform", "linucb", "knn", "skill_match", "recruiting"]
    code = (
        "import sys; from agentroute.choosing.catalog import make_policy;"
        f"[make_policy(n) for n in {names}];"
        "bad = {'torch', 'sklearn', 'langgraph', 'openai', 'sqlmodel'} & set(sys.modules);"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
