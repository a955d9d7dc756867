"""Competing agents differ: by at least 0.1 in their verifier's mean, and in what they cost."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def rows():
    spec = importlib.util.spec_from_file_location("pairs", ROOT / "examples/contested_pairs.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["pairs"] = module
    spec.loader.exec_module(module)
    return list(module.compare())


def test_every_pair_differs_by_a_tenth(rows):
    assert [r for r in rows if r.margin < 0.1] == []
    assert len({r.case.skill for r in rows}) >= 4


def test_on_two_skills_the_better_agent_depends_on_the_input(rows):
    better = {}
    for r in rows:
        better.setdefault(r.case.skill, set()).add(r.better)
    assert sum(len(agents) == 2 for agents in better.values()) >= 2


def test_scores_are_scores(rows):
    assert all(0 <= s <= 1 for r in rows for s in r.score)


@pytest.mark.parametrize("skill", ["scan_imports", "analyse_table", "summarise"])
def test_the_better_agent_on_clean_input_costs_more(rows, skill):
    row = next(r for r in rows if r.case.skill == skill)
    assert row.better == row.case.agents[0]
    assert row.cpu_s[0] > row.cpu_s[1]
