"""``docs/questions.md`` is true: each command is run on the ledger that the page tells of.

Ids, hashes, times and durations differ from run to run; all else of what is printed must be what
the page shows. ``python -m tests.test_questions`` writes the page's outputs anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import shlex
import sqlite3
import sys
import tempfile
from inspect import signature
from pathlib import Path

import pytest

from agentroute import Orchestrator, Registry
from agentroute.cli.app import run
from agentroute.config.yaml import load_yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "questions.md"
BLOCK = re.compile(r"^```\n\$ (agentroute [^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RUNS = 90

GRAPHS = {
    "refund": "name: refund\ninputs: {order: {type: str, default: '1'}}\n"
    "tasks: [{id: decide, prompt: 'Refund order ${inputs.order}', skills: [refunds]}]\n",
    "letter": "name: letter\ninputs: {to: {type: str, default: Ann}}\n"
    "tasks: [{id: write, prompt: 'Write a letter to ${inputs.to}', skills: [mail]}]\n",
}
POLICY = "{name: knn, k: 5, exploration: 0.1}\n"


def registry():
    made = Registry()

    def agent(name, skill, usd, about):
        async def act(call):
            return f"{name}: done"

        act.__name__, act.__doc__ = name, about
        made.agent(skills=[skill], cost_usd=usd)(act)

    agent("billing", "refunds", 0.004, "Refunds orders and corrects invoices.")
    agent("helpdesk", "refunds", 0.001, "Answers questions about orders.")
    agent("lawyer", "refunds", 0.02, "Reads contracts and decides on refunds.")
    agent("writer", "mail", 0.002, "Writes letters to customers.")
    return made


def score(agent, i):
    """What users say: billing is good until the sixtieth run, and poor from then on."""
    base = {"billing": 0.9 if i < 60 else 0.35, "helpdesk": 0.45, "lawyer": 0.7, "writer": 0.8}
    return base[agent] + 0.01 * (i % 5)


async def scene(folder):
    """Ninety runs of two graphs, for two users, each of which somebody judged."""
    for name, text in GRAPHS.items():
        (folder / "graphs").mkdir(exist_ok=True)
        (folder / "graphs" / f"{name}.yaml").write_text(text)
    (folder / "knn.yaml").write_text(POLICY)
    async with Orchestrator(
        registry(), ledger=f"sqlite:///{folder}/agentroute.db", exploration=0.15,
        out=folder / "out", state=folder / "state", graphs=[folder / "graphs"],
    ) as orc:  # fmt: skip
        for i in range(RUNS):
            letter = i % 6 == 5
            inputs = {"to": f"customer {i}"} if letter else {"order": str(i)}
            made = await orc.run(
                "letter" if letter else "refund", inputs=inputs, run_id=f"r{i:02}", seed=i,
                user="ann" if i % 10 == 1 else "bob", tags=["nightly"] if i % 2 else [],
            )  # fmt: skip
            route = next(d for d in made.decisions if d.kind == "route")
            await orc.feedback(route.id, score=score(route.chosen[0], i))
    with contextlib.redirect_stdout(io.StringIO()):
        assert run(["ledger", "anchor", "--out", "anchor.txt"]) == 0


def said(command):
    """What a command of the page prints, errors included; it must succeed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = run(shlex.split(command)[1:])
    assert code == 0, (command, out.getvalue())
    return out.getvalue()


VARIES = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
    (r"[0-9a-f]{64}", "HASH"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?", "TIME"),
    (r"\d{4}-\d\d-\d\d", "DAY"),
    (r"[\d.]+(e-\d+)? (ms|s)\b", "TOOK"),
    (r"[\d,]+ a second", "SPEED"),
    (r" {2,}", "  "),
    (r"-{2,}", "--"),
)


# What would have flipped a choice by latency rests on times that were measured.
TIMED = "it would have been first with a weight of latency"


def steady(text):
    for pattern, word in VARIES:
        text = re.sub(pattern, word, text)
    lines = (line.strip() for line in text.strip().splitlines())
    return [line for line in lines if not line.startswith(TIMED)]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The folder that a reader of the page is in."""
    folder, before = tmp_path_factory.mktemp("questions"), Path.cwd()
    os.chdir(folder)
    try:
        asyncio.run(scene(folder))
        yield folder
    finally:
        os.chdir(before)


def test_every_question_of_the_page_is_answered_as_it_says(here):
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    for command, shown in blocks:
        assert steady(said(command)) == steady(shown), command
    assert len(blocks) == 13  # twelve answers, and the views once


def test_the_page_asks_twelve_questions_each_with_one_command():
    parts = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    asked = [p for p in parts if p.splitlines()[0].endswith("?")]
    assert len(asked) == 12
    assert all(len(BLOCK.findall(p)) == 1 for p in asked)


# The canned queries ask for these; each must find something in the scene.
ASKED = {
    "candidates_of_a_decision": "SELECT decision_id AS decision FROM v_candidates",
    "decisions_of_a_run": "SELECT 'r4' AS run",
    "runs_with_a_tag": "SELECT 'nightly' AS tag",
}


def canned():
    found = load_yaml(ROOT / "datasette.yaml").data["databases"]
    assert list(found) == ["agentroute"]  # the stem of the default ledger's file
    return found["agentroute"]


def asked(con, name, sql):
    given = con.execute(ASKED[name]).fetchone() if name in ASKED else {}
    return [dict(r) for r in con.execute(sql, dict(given))]


@pytest.fixture
def con(here):
    assert run(["ledger", "views"]) == 0
    con = sqlite3.connect("file:agentroute.db?mode=ro", uri=True)
    con.row_factory = sqlite3.Row
    yield con
    con.close()


def test_ten_canned_queries_find_what_the_scene_has(con):
    queries = canned()["queries"]
    assert len(queries) == 10
    found = {name: asked(con, name, q["sql"]) for name, q in queries.items()}
    assert all(q["title"] for q in queries.values())
    assert [name for name, rows in found.items() if not rows] == []
    assert {r["agent"] for r in found["leaderboard"]} == {
        "billing", "helpdesk", "lawyer", "writer",
    }  # fmt: skip
    assert [r["agent"] for r in found["never_won"]] == ["helpdesk"]
    assert [r["agent"] for r in found["worse_than_before"]] == ["billing"]
    assert {r["user"]: r["runs"] for r in found["cost_by_user"]} == {"ann": 9, "bob": 81}
    paid = sum(r["cost_usd"] for r in found["cost_by_user"])
    assert paid == pytest.approx(sum(r["cost_usd"] for r in found["cost_by_day_and_graph"]))
    assert paid == pytest.approx(sum(r["cost_usd"] for r in found["leaderboard"]))
    assert len(found["runs_with_a_tag"]) == RUNS // 2
    assert {r["run_id"] for r in found["runs_with_a_tag"]} > {"r01", "r89"}
    assert sum(r["chosen"] for r in found["candidates_of_a_decision"]) == 1
    assert len(found["learning_curve"]) == RUNS


def test_datasette_serves_them_where_it_is_installed(con):
    pytest.importorskip("datasette")
    from datasette.app import Datasette

    async def status(path):
        # Before 1.0 canned queries are metadata, from then on configuration.
        keyword = "config" if "config" in signature(Datasette.__init__).parameters else "metadata"
        said = {keyword: load_yaml(ROOT / "datasette.yaml").data}
        ds = Datasette(["agentroute.db"], **said)
        return (await ds.client.get(path)).status_code

    for name in canned()["queries"]:
        more = "?run=r4&tag=nightly&decision=0"
        assert asyncio.run(status(f"/agentroute/{name}.json{more}")) == 200, name


def rewrite():
    """The page with the outputs of today."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        asyncio.run(scene(Path(name)))
        text = BLOCK.sub(
            lambda m: f"```\n$ {m[1]}\n{said(m[1]).rstrip()}\n```", PAGE.read_text("utf-8")
        )
        os.chdir(before)
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    rewrite()
    sys.exit(0)
