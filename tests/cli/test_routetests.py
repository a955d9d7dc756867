"""``test ROUTES.yaml``, with cards from a folder."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from agentroute.cli.app import app
from agentroute.errors import ConfigError, UnknownAgentError

CARDS = {
    "billing": ("Refunds orders and explains invoices and charges.", "refunds"),
    "courier": ("Tells where a parcel is and when it is delivered.", "delivery"),
    "courier_two": ("Tells where a parcel is and when it is delivered.", "delivery"),
    "poet": ("Writes poems about love and rain.", "poems"),
}
GOOD = """
- task: explain the charges on my invoice
  must: billing
- task: where is my parcel
  skills: delivery
  may: [courier, courier_two]
  must_not: [billing]
- task: translate this page
  skills: [translation]
  abstain: true
"""


@pytest.fixture
def folder(tmp_path):
    for name, (about, skill) in CARDS.items():
        text = (
            f"name: {name}\ndescription: {about}\nskills: [{{id: {skill}}}]\n"
            f"entrypoint: {name}.py:agent\n"
        )
        (tmp_path / f"{name}.yaml").write_text(text)
        (tmp_path / f"{name}.py").write_text("def agent(call):\n    return 'done'\n")
    return tmp_path


def ran(folder, cases, *more):
    file = folder / "cases" / "routes.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(cases)
    db = f"sqlite:///{folder}/cases/a.db"
    args = ["test", str(file), "--agents", str(folder), "--db", db, *more]
    done = CliRunner().invoke(app, args)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_cases_that_hold_exit_0_and_write_nothing(folder):
    done = ran(folder, GOOD, "--json")
    report = json.loads(done.stdout)
    assert done.exit_code == 0, done.stdout
    assert report["failed"] == 0
    assert report["confusion"] == {"(nobody)": {"(nobody)": 1}, "billing": {"billing": 1}}
    assert "poet" in report["never_first"] and "billing" not in report["never_first"]
    assert ["courier", "courier_two"] in [pair[:2] for pair in report["alike"]]
    assert report["uncovered"] == ["translation"]
    assert not (folder / "cases" / "a.db").exists()


def test_each_kind_of_miss_is_said_and_exits_1(folder):
    wrong = """
- {task: write a poem about rain, skills: poems, must: billing}
- {task: write a poem about love, skills: poems, may: [billing, courier]}
- {task: write a poem about snow, skills: poems, must_not: poet}
- {task: a poem, skills: poems, abstain: true}
- {task: a poem about the sea, skills: poems, must: poet}
"""
    done = ran(folder, wrong)
    assert done.exit_code == 1
    text = " ".join(done.stdout.split())
    assert "1 of 5 cases hold" in text
    for words in ("poet in place of billing", "poet is none of billing, courier",
                  "poet must not", "poet would be asked, and nobody should"):  # fmt: skip
        assert words in text
    assert "confused" in text


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ("- {task: x}", "say must"),
        ("- {task: x, must: billing, abstain: true}", "say must"),
        ("- {task: x, must: billing, mustnot: poet}", "mustnot"),
        ("cases: []", "cases"),
    ],
)
def test_a_bad_file_is_one_error_with_its_place(folder, cases, said):
    with pytest.raises(ConfigError) as e:
        ran(folder, cases)
    assert said in f"{e.value}" and "routes.yaml" in f"{e.value}"


def test_an_unknown_agent_is_refused_with_the_nearest_name(folder):
    with pytest.raises(UnknownAgentError) as e:
        ran(folder, "- {task: x, must: biling}")
    assert "billing" in e.value.hint
