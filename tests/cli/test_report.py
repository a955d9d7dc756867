"""``report RUN``, on a run of a graph of its own."""

from __future__ import annotations

import asyncio
import re
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner

from agentroute import Orchestrator, Registry, Task
from agentroute.cli.app import app
from agentroute.errors import AgentRouteError, UsageError

EVIL = '<img src=x onerror="alert(1)"><script>alert(2)</script>'


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    registry = Registry()
    for name in ("one", "two"):

        @registry.agent(name=name, skills=["first"])
        async def begin(call):
            """Begins."""
            return f"begun {EVIL}"

    @registry.agent(skills=["second"])
    async def end(call):
        """Ends."""
        return f"ended {EVIL}"

    async def go():
        url = f"sqlite:///{folder}/a.db"
        tasks = [
            Task(id="a", prompt=f"begin {EVIL}", skills=("first",)),
            Task(id="b", prompt="end", skills=("second",), depends_on={"a": 0.5}),
        ]
        async with Orchestrator(registry, ledger=url, out=folder / "o") as orc:
            run = await orc.run(tasks, run_id="whole")
            await orc.feedback(run.run_id, score=0.25)
            failing = [Task(id="a", prompt="x", skills=("nobody has it",))]
            await orc.run(failing, run_id="broken")
        return url

    return asyncio.run(go())


def page_of(url, tmp_path, *args):
    out = tmp_path / "deep" / "page.html"
    done = CliRunner().invoke(app, ["report", *args, "--out", str(out), "--db", url])
    if isinstance(done.exception, AgentRouteError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return out.read_text()


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []
        self.links = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href")]
        assert not [k for k, _ in attrs if k.startswith("on")]


def test_a_page_is_whole_by_itself_and_texts_stay_text(url, tmp_path):
    page = page_of(url, tmp_path, "whole")
    tags = Tags()
    tags.feed(page)
    assert not {"script", "img", "link", "iframe"} & set(tags.seen) and not tags.links
    assert page.count("&lt;script&gt;") >= 1
    assert "Content-Security-Policy" in page


def test_it_says_what_came_of_it_who_and_why(url, tmp_path):
    page = page_of(url, tmp_path, "whole")
    words = re.sub(r"<[^>]+>", " ", page)
    for said in ("completed", "score 0.25", "2 calls", "Tasks", "Calls over time", "Every choice",
                 "Why: a, attempt 1", "ended", "agentroute report whole", "head "):  # fmt: skip
        assert said in words, said
    assert page.count("<rect") >= 4  # two tasks in the graph, two bars in the timeline


def test_what_is_wrong_comes_first(url, tmp_path):
    page = page_of(url, tmp_path, "broken")
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings[0] == "This result is failed"


def test_a_decision_is_no_run_and_an_unknown_id_is_said(url, tmp_path):
    from agentroute.ledger import Ledger

    with Ledger.open(url, read_only=True) as ledger:
        decision = ledger.decisions("whole")[-1].id
    with pytest.raises(UsageError, match="is a decision"):
        page_of(url, tmp_path, decision)
    with pytest.raises(AgentRouteError, match="no run or decision"):
        page_of(url, tmp_path, "zzz")
