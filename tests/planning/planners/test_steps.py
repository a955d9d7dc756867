"""Words as steps: sentences that were written down before the rules."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from agentroute.planning.planners.steps import split

HERE = Path(__file__).parent
SENTENCES = YAML(typ="safe").load((HERE.parent / "sentences.yaml").read_text("utf-8"))


def dag(words):
    steps = split(words)
    edges = sorted(f"{i}-{j}" for j, s in enumerate(steps) for i in s.after)
    return [s.text for s in steps], edges


def exact(case):
    steps, edges = dag(case["words"])
    return steps == case["steps"] and edges == sorted(case["edges"])


def test_at_least_fifteen_of_twenty_are_exact(capsys):
    wrong = [(c["words"], *dag(c["words"])) for c in SENTENCES["split"] if not exact(c)]
    whole = [words for words in SENTENCES["whole"] if dag(words) == ([words], [])]
    with capsys.disabled():
        print(f"\n{20 - len(wrong)} of 20 split exactly, {len(whole)} of 10 left whole", *wrong)
    assert (len(SENTENCES["split"]), len(SENTENCES["whole"])) == (20, 10)
    assert len(wrong) <= 5


@pytest.mark.parametrize("words", SENTENCES["whole"])
def test_what_is_one_task_stays_whole(words):
    assert dag(words) == ([words], [])
