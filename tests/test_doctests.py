"""Every ``>>>`` example of the package is true, given the names of its module."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Only modules that contain one: collecting all of them would import torch for nothing.
MODULES = sorted(
    ".".join(p.relative_to(ROOT).with_suffix("").parts)
    for p in (ROOT / "agentroute").rglob("*.py")
    if "    >>> " in p.read_text(encoding="utf-8")
)
ROUTERS = (
    "baselines", "skill_match", "linucb.router", "linear.router", "knn.router", "gnn.router",
    "reasoning.router", "pheromone.router", "recruiting.router", "ensemble.router",
    "sticky.router", "sticky.bonds",
)  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name):
    tried = doctest.testmod(importlib.import_module(name))
    assert tried.attempted
    assert not tried.failed


def test_every_router_has_a_worked_number():
    assert {f"agentroute.routers.{name}" for name in ROUTERS} <= set(MODULES)
