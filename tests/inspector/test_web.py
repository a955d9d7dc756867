"""The inspector's pages: who may look, what is inert, what is linked, what is true."""

from __future__ import annotations

import asyncio
import hashlib
import html
import re
import sqlite3
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest

pytest.importorskip("starlette", reason="the extra web is not installed")

from starlette.testclient import TestClient

from agentroute import Orchestrator, Registry, Task
from agentroute.config.settings import Settings
from agentroute.inspector.web.app import PAGES, inspector
from agentroute.ledger import Ledger
from agentroute.model.events import Note
from tests.inspector.ledgers import PAYLOADS, diamonds, hostile_ledger
from tests.ledger.sample import record

TOKEN, PORT = "the-token", 8123
HERE = f"http://127.0.0.1:{PORT}"


OPEN: list[Ledger] = []


@pytest.fixture(scope="module", autouse=True)
def _closed():
    yield
    while OPEN:
        OPEN.pop().close()


def client(url, *, signed=True):
    led = Ledger.open(url, read_only=True)
    OPEN.append(led)
    found = TestClient(
        inspector(led, Settings(), token=TOKEN, port=PORT),
        base_url=HERE,
        raise_server_exceptions=False,
    )
    if signed:
        assert found.get("/", params={"token": TOKEN}).status_code == 200
    return found


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    return diamonds(tmp_path_factory.mktemp("web"), 12, broken=5)


@pytest.fixture(scope="module")
def web(url):
    return client(url)


def words(response):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", response.text)).split())


# -- who may look --------------------------------------------------------------------------------


def test_the_link_becomes_a_cookie_and_nobody_without_it_sees_anything(url):
    fresh = client(url, signed=False)
    for path in (*PAGES, "/style.css", "/nowhere"):
        answer = fresh.get(path)
        assert answer.status_code == 403
        assert "run00" not in answer.text
    for bad in ({"token": "x"}, {"token": ""}, {"token": TOKEN + "x"}):
        assert fresh.get("/", params=bad).status_code == 403
    link = fresh.get("/agents", params={"token": TOKEN, "by": "day"}, follow_redirects=False)
    assert (link.status_code, link.headers["location"]) == (303, "/agents?by=day")
    cookie = link.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert fresh.get("/agents").status_code == 200


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "/a\r\nx: y", "/ä"])
def test_the_link_leads_nowhere_else(path):
    sent = []

    async def send(message):
        sent.append(message)

    guard = inspector(None, Settings(), token=TOKEN, port=PORT)
    scope = {"type": "http", "method": "GET", "path": path,
             "query_string": f"token={TOKEN}".encode(),
             "headers": [(b"host", HERE.removeprefix("http://").encode())]}  # fmt: skip
    asyncio.run(guard(scope, None, send))
    location = dict(sent[0]["headers"])[b"location"]
    assert location in (b"/", b"/evil.example/")


def test_a_cookie_of_another_inspector_opens_nothing(url):
    other = client(url, signed=False)
    other.cookies.set(f"agentroute_inspect_{PORT + 1}", TOKEN)
    assert other.get("/").status_code == 403
    other.cookies.set(f"agentroute_inspect_{PORT}", "wrong")
    assert other.get("/").status_code == 403


@pytest.mark.parametrize(
    "host",
    ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", f"127.0.0.1.x:{PORT}", ""],
)  # fmt: skip
def test_a_foreign_host_is_refused(web, host):
    assert web.get("/", headers={"host": host}).status_code == 400
    assert web.get("/", headers={"host": f"LOCALHOST:{PORT}"}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_pages_are_only_read(web, method):
    assert web.request(method, "/").status_code == 405


def test_every_answer_carries_a_strict_policy(web):
    for path in (*PAGES, "/style.css", "/nowhere"):
        policy = web.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert "style-src 'self'" in policy and "script-src" not in policy
        assert web.get(path).headers["cache-control"] == "no-store"
    assert client_refused_headers(web)


def client_refused_headers(web):
    return "content-security-policy" in web.get("/", headers={"host": "x"}).headers


# -- every page ----------------------------------------------------------------------------------


class Page(HTMLParser):
    """Links of a page; fails on whatever could run."""

    def __init__(self, text):
        super().__init__()
        self.links, self.tags, self.ids, self.targets = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert tag not in ("script", "iframe", "object", "embed", "base", "meta-refresh", "img")
        given = dict(attrs)
        assert len(given) == len(attrs), f"an attribute twice in <{tag}>"
        for name, value in attrs:
            assert not name.startswith("on"), f"<{tag} {name}>"
            assert name not in ("style", "srcdoc", "http-equiv"), f"<{tag} {name}>"
            if name in ("href", "src", "action"):
                assert value.startswith(("/", "#")) or value == "data:,", value
                assert not value.startswith("//")
        if tag == "a" and not given["href"].startswith("#"):
            self.links.append(given["href"])
        if "id" in given:
            self.ids.append(given["id"])


def crawl(web, most=600):
    """Every internal link from the front page, each answered 200."""
    todo, seen = ["/", *PAGES], {}
    while todo:
        at = todo.pop()
        if at in seen or len(seen) >= most:
            continue
        answer = web.get(at)
        needs_id = at in ("/row", "/decision")  # nothing is named
        assert answer.status_code == (404 if needs_id else 200), (at, answer.text[-600:])
        page = Page(answer.text)
        assert len(set(page.ids)) == len(page.ids), f"an id twice on {at}"
        seen[at] = answer.text
        todo += page.links
    return seen


def digest(url):
    return hashlib.sha256(Path(url.removeprefix("sqlite:///")).read_bytes()).hexdigest()


def test_every_link_of_every_page_leads_somewhere_and_nothing_is_written(url, web):
    before = digest(url)
    seen = crawl(web)
    kinds = {at.split("?")[0] for at in seen}
    assert kinds == set(PAGES)
    assert len([at for at in seen if at.startswith("/decision?")]) > 40
    assert digest(url) == before


def test_an_empty_ledger_has_pages_too(tmp_path):
    url = f"sqlite:///{tmp_path}/empty.db"
    Ledger.open(url).close()
    web = client(url)
    for path in PAGES:
        expected = 404 if path in ("/run", "/decision", "/row") else 200
        assert web.get(path).status_code == expected, path
    assert "no run is in the ledger yet" in words(web.get("/"))


# -- what is true --------------------------------------------------------------------------------


def test_a_run_shows_its_graph_its_calls_and_its_tree(url, web):
    answer = web.get("/run", params={"id": "run03", "task": "b"})
    with Ledger.open(url, read_only=True) as ledger:
        routes = [d for d in ledger.decisions("run03") if d.kind == "route"]
        calls = ledger.outcomes("run03")
    nodes = re.findall(r'<a href="/decision\?id=([^"]+)"><rect class="node', answer.text)
    assert sorted(nodes) == sorted(d.id for d in routes) and len(nodes) == 4
    assert answer.text.count('class="edge"') == 4
    assert len(re.findall(r'<rect [^>]*class="f0', answer.text)) == len(calls)
    assert len(re.findall(r'class="node hot"', answer.text)) == 1
    assert len(re.findall(r'class="f0 hot"', answer.text)) == 1
    assert len(re.findall(r'<tr class="hot"', answer.text)) == 3  # task, choice, call
    said = words(answer)
    assert "completed" in said and "score 0.80" in said and "said" in said


def test_the_candidates_are_the_ledgers_to_the_last_digit_shown(url, web):
    with Ledger.open(url, read_only=True) as ledger:
        d = next(d for d in ledger.decisions("run11") if d.task_id == "a")
        e = ledger.explain(d.id)
    said = words(web.get("/decision", params={"id": d.id}))
    assert e.headline in said
    for s in e.candidates:
        terms = " ".join(f"{s.terms[t]:+.3f}" for t in sorted(s.terms))
        assert f"{s.propensity:.3f} {s.mean:.3f} {s.bonus:.3f} {terms} {s.calls} {s.judged}" in said
    assert "as they were written" in said
    assert "end" in said  # left out: it lacks the skill
    total = sum(t.chosen for t in e.terms)
    assert f"sum {total:+.3f}" in said


def test_why_not_is_answered(url, web):
    with Ledger.open(url, read_only=True) as ledger:
        d = next(d for d in ledger.decisions("run11") if d.task_id == "a")
        rival = ledger.explain(d.id).rival
        sentence = ledger.explain(d.id, why_not=rival).why_not.sentence
    said = words(web.get("/decision", params={"id": d.id, "why_not": rival}))
    assert f"Why not {rival}" in said and sentence in said and "would have been first with" in said


@pytest.mark.parametrize(
    ("query", "runs"),
    [
        ({}, 12),
        ({"status": "failed"}, 1),
        ({"status": "unfinished"}, 0),
        ({"text": "ORDER 3"}, 1),
        ({"text": "run1"}, 2),
        ({"text": "nothing like it"}, 0),
        ({"graph": "tasks"}, 12),
        ({"graph": "other"}, 0),
    ],
)
def test_runs_are_found(web, query, runs):
    assert web.get("/", params=query).text.count('href="/run?id=') == runs


def test_agents_and_learning_say_what_statistics_say(url, web):
    from agentroute.evaluation.statistics.groups import statistics

    with Ledger.open(url, read_only=True) as ledger:
        for by in ("agent", "day", "graph", "skill"):
            said = words(web.get("/agents", params={"by": by}))
            for g in statistics(ledger, by):
                assert f"{g.name} {g.choices}" in said
    said = words(web.get("/learning"))
    assert "Quality by day" in said and "the mean gap (ECE) is" in said
    assert "learning" in words(web.get("/learning/helps"))


def test_verify_says_so_and_a_changed_row_is_seen(url, web, tmp_path):
    assert "As it was written" in words(web.get("/ledger/verify"))
    bad = tmp_path / "bad.db"
    with Ledger.open(url, read_only=True) as ledger:
        ledger.backup(bad)
    con = sqlite3.connect(bad)
    con.execute("DROP TRIGGER decisions_no_update")
    con.execute("UPDATE decisions SET body = replace(CAST(body AS TEXT), 'tasks', 'tusks')")
    con.execute("UPDATE decisions SET body = CAST(body AS BLOB)")
    seq, name = con.execute("SELECT seq, id FROM decisions WHERE kind = 'plan' LIMIT 1").fetchone()
    con.commit()
    con.close()
    changed = client(f"sqlite:///{bad}")
    assert "NOT as it was written" in words(changed.get("/ledger/verify"))
    assert "NOT what was written" in words(changed.get("/row", params={"seq": seq}))
    assert "NOT what was written" in words(changed.get("/decision", params={"id": name}))


def test_two_runs_are_compared_by_task(web):
    said = words(web.get("/compare", params={"a": "run03", "b": "run05"}))
    assert "status completed failed" in said
    assert web.get("/compare", params={"a": "run03", "b": "nobody"}).status_code == 404


def test_trails_are_those_of_the_command_and_the_slider_goes_back(url, web):
    from agentroute.inspector.trails import trails

    with Ledger.open(url, read_only=True) as ledger:
        head = ledger.head()[0]
        now, before = (trails(ledger, Settings(), upto=n) for n in (head, head // 2))
    assert now["folded"] > before["folded"] > 0
    for upto, found in ((head, now), (head // 2, before)):
        answer = web.get("/pheromones", params={"upto": upto})
        said = words(answer)
        assert f"{found['folded']:,} observations" in said
        assert f'type="range" name="upto" value="{upto}" min="0" max="{head}"' in answer.text
        for data in found["kinds"].values():
            for source, p in zip(data["sources"], data["p"], strict=True):
                assert source in said
                assert all(f"{x:.3f}" in said for x in p)
    assert "Not folded yet" not in words(web.get("/pheromones"))


def test_shapes_are_shown_with_what_the_others_were_expected_to_be(tmp_path):
    registry = Registry()

    @registry.agent(skills=["s"])
    def worker(call):
        return "done"

    async def go():
        async with Orchestrator(
            registry, ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path, topology="learned",
            embedder="hashing",
        ) as o:  # fmt: skip
            tasks = [Task(id=t, prompt=t, skills=("s",)) for t in "ab"]
            return await o.run(tasks)

    run = asyncio.run(go())
    (d,) = [d for d in run.decisions if d.kind == "topology"]
    web = client(f"sqlite:///{tmp_path}/a.db")
    said = words(web.get("/topology"))
    assert d.chosen[0] in said and d.reason in said and d.policy in said
    with Ledger.open(f"sqlite:///{tmp_path}/a.db", read_only=True) as ledger:
        c = ledger.record(d.id).context
    one = words(web.get("/topology", params={"id": d.id}))
    for shape, mean, p in zip(c["shapes"], c["mean"], c["propensities"], strict=True):
        assert f"{shape} {mean:.3f}" in one and f"{p:.3f}" in one
    assert web.get("/topology", params={"id": "zzz"}).status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/run?id=zzz", "/decision?id=zzz", "/decision?id=", "/row?seq=0", "/row?seq=-1", "/row?seq=x",
     f"/row?seq={10**30}", "/nowhere", "/run?id=%00", "/decision?id=%FF"],
)  # fmt: skip
def test_what_is_not_there_is_said(web, path):
    answer = web.get(path)
    assert answer.status_code == 404
    Page(answer.text)


@pytest.mark.parametrize(
    "path", ["/?before=-1", "/?before=zz", f"/?before={'9' * 50}", "/?before=1", "/ledger?before=0",
             f"/ledger?before={'9' * 19}", "/agents?by=nothing", "/compare?a=&b="]
)  # fmt: skip
def test_odd_queries_are_pages_too(web, path):
    assert web.get(path).status_code == 200


# -- hostile texts -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    return hostile_ledger(tmp_path_factory.mktemp("hostile"), PAYLOADS[:20])


def test_hostile_texts_stay_text_on_every_page(hostile):
    web = client(hostile)
    before = digest(hostile)
    seen = crawl(web)
    assert len([at for at in seen if at.startswith("/decision?")]) >= 20
    shown = html.unescape(" ".join(seen.values()))
    for p in PAYLOADS[:20]:
        assert p in shown, f"{p} was not shown at all"
    assert digest(hostile) == before


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_queries_stay_text(web, payload):
    for path in PAGES:
        keys = ("id", "task", "text", "graph", "status", "why_not", "a", "b", "by", "before", "seq")
        answer = web.get(path, params=dict.fromkeys(keys, payload))
        assert answer.status_code in (200, 404), (path, answer.text[-300:])
        Page(answer.text)
    Page(web.get("/" + quote(payload)).text)


def test_a_hostile_run_as_one_file_is_inert_too(hostile):
    from agentroute.inspector.runpage import run_page

    class File(Page):
        def handle_starttag(self, tag, attrs):
            super().handle_starttag(tag, [a for a in attrs if a[0] != "http-equiv"])

    with Ledger.open(hostile, read_only=True) as ledger:
        for r in ledger.runs(50):
            assert not File(run_page(ledger, r.run_id)).links


# -- pages of runs -------------------------------------------------------------------------------


def test_pages_hold_every_run_once_newest_first(tmp_path):
    from agentroute.inspector.web.listing import Wanted, listed

    url = f"sqlite:///{tmp_path}/a.db"
    made = []
    with Ledger.open(url) as led:
        for i in range(230):
            if i % 9 == 4:  # a decision of its own, without a run around it
                led.append(record(i, run=f"alone{i}"))
                made.append(f"alone{i}")
                continue
            led.append(Note(id=f"s{i}", run_id=f"r{i}", type="run.started",
                            data={"name": f"g{i % 3}"}))  # fmt: skip
            led.append(record(i, run=f"r{i}"))
            made.append(f"r{i}")
            if i % 2:
                data = {"status": "failed" if i % 10 == 1 else "completed"}
                led.append(Note(id=f"e{i}", run_id=f"r{i}", type="run.finished", data=data))
        led.append(Note(id="x", run_id="", type="other", data={})).wait(30)

        def all_of(wanted):
            found, before = [], None
            while True:
                page = listed(led, wanted, before)
                assert len(page.runs) <= 50
                found += [r.run_id for r in page.runs]
                before = page.older
                if before is None:
                    return found

        assert all_of(Wanted()) == made[::-1]
        failed = [f"r{i}" for i in range(229, -1, -1) if i % 10 == 1 and i % 9 != 4]
        assert all_of(Wanted(status="failed")) == failed
        named = [f"r{i}" for i in range(229, -1, -1) if i % 3 == 2 and i % 9 != 4]
        assert all_of(Wanted(graph="g2")) == named
        assert all_of(Wanted(text="r22")) == [r for r in made[::-1] if "r22" in r]
