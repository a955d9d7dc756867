"""The inspector in a real browser: every page of an empty ledger, of one run, of ten thousand, and
of texts that want to run. ``AGENTROUTE_BROWSER=required`` fails where no Chromium is found, ``off``
leaves these tests out.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice, repeat
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

pytest.importorskip("starlette", reason="the extra web is not installed")

import uvicorn

from agentroute.config.settings import Settings
from agentroute.inspector.web.app import PAGES, inspector
from agentroute.inspector.web.serving import HOST, _listening
from agentroute.ledger import Ledger
from tests.conftest import NO_CHROMIUM
from tests.inspector.ledgers import PAYLOADS, diamonds, empty_ledger, hostile_ledger, many_runs

TOKEN = "the-token"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTHS = (400, 1400)
LEDGERS = {
    "empty": empty_ledger,
    "one": lambda folder: diamonds(folder, 1),
    "many": lambda folder: many_runs(folder, 10_000),
    "hostile": lambda folder: hostile_ledger(folder, PAYLOADS, per_run=5),
    "every field hostile": lambda folder: hostile_ledger(folder, PAYLOADS),
}


def executable():
    """Where a Chromium is, or a skip; a failure where one is required."""
    wanted = os.environ.get("TESTS_BROWSER", "")
    found = None if wanted == "off" else next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and wanted == "required":
        pytest.fail("AGENTROUTE_BROWSER=required, and no Chromium is installed")
    if found is None:
        pytest.skip(NO_CHROMIUM)  # counted and said at the end; AGENTROUTE_BROWSER=required fails
    return found


@pytest.fixture(scope="module")
def chromium():
    path = executable()
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def apart(make, folder):
    """In a thread of its own: the browser's loop runs in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(make, folder).result()


@contextmanager
def served(url):
    """The inspector on a free port of this machine; gives its address."""
    with Ledger.open(url, read_only=True) as ledger, _listening(0) as sock:
        port = sock.getsockname()[1]
        app = inspector(ledger, Settings(), token=TOKEN, port=port)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://{HOST}:{port}"
        server.should_exit = True
        thread.join(10)


class Tab:
    """A page of the browser that keeps all that went wrong in it."""

    def __init__(self, context, base, url):
        self.base, self.url = base, url
        self.file = Path(url.removeprefix("sqlite:///"))
        self.wrong, self.asked = [], 0
        self.page = context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda e: self.wrong.append(f"error: {e}"))
        self.page.on("dialog", self._dialog)
        self.page.on("request", self._request)
        self.page.on("requestfailed", lambda r: self.wrong.append(f"failed: {r.url}"))
        self.page.goto(f"{base}/?token={TOKEN}")

    def _console(self, message):
        missing = "status of 404" in message.text  # a page that says that nothing is there
        if message.type in ("error", "warning") and not missing:
            self.wrong.append(f"console: {message.text}")

    def _dialog(self, dialog):
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request):
        self.asked += 1
        if not request.url.startswith((self.base + "/", "data:,")):
            self.wrong.append(f"off the host: {request.url}")

    def visit(self, path, *, status=(200,)):
        answer = self.page.goto(self.base + path)
        assert answer.status in status, (path, answer.status)
        assert self.page.title().endswith("· agentroute"), path
        assert self.page.locator("h1").count() == 1, path
        assert self.wrong == [], path
        return self.page

    def links(self):
        """Addresses that the page leads to, once each."""
        found = self.page.eval_on_selector_all(
            "a[href]", "as => as.map(a => new URL(a.getAttribute('href'), location).href)"
        )  # also of links in an SVG
        here = [a.removeprefix(self.base) for a in found if a.startswith(self.base)]
        return list(dict.fromkeys(a for a in here if not a.startswith("#") and "#" not in a))

    def fits(self):
        """Whether nothing sticks out to the side."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )

    def digest(self):
        return hashlib.sha256(self.file.read_bytes()).hexdigest()


KINDS = [pytest.param(k, marks=pytest.mark.slow) if k.startswith("every") else k for k in LEDGERS]


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def tab(chromium, kind, tmp_path_factory):
    url = apart(LEDGERS[kind], tmp_path_factory.mktemp(kind))
    with served(url) as base:
        context = chromium.new_context(viewport={"width": 1400, "height": 900})
        yield Tab(context, base, url)
        context.close()


def kind_of(address):
    parts = urlsplit(address)
    keys = sorted(p.split("=")[0] for p in parts.query.split("&") if p)
    return parts.path, tuple(keys)


def test_every_page_is_sound_and_nothing_is_written(tab, kind):
    """Every address of the front pages; of like ones two, of 10,000 one, and all hostile."""
    before, seen, todo = tab.digest(), {}, ["/", *PAGES]
    count = {}
    while todo:
        at = todo.pop(0)
        of = kind_of(at)
        each = "hostile" in kind and of in (("/run", ("id",)), ("/decision", ("id",)))
        if at in seen or count.get(of, 0) >= (130 if each else 1 if kind == "many" else 2):
            continue
        count[of] = count.get(of, 0) + 1
        nothing = at in ("/row", "/decision", "/run")
        tab.visit(at, status=(404, 200) if nothing or kind == "empty" else (200,))
        seen[at] = True
        todo += tab.links()
    assert {kind_of(a)[0] for a in seen} == set(PAGES)
    if "hostile" in kind:
        per_run = 1 if kind.startswith("every") else 5
        assert count[("/run", ("id",))] >= len(PAYLOADS) // per_run
    assert tab.digest() == before
    assert tab.wrong == []


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_sticks_out(tab, kind, width):
    tab.page.set_viewport_size({"width": width, "height": 900})
    tab.visit("/")
    found = [a for a in tab.links() if a.startswith(("/run?", "/decision?"))][:2]
    for at in [p for p in PAGES if p not in ("/run", "/decision", "/row")] + found:
        tab.visit(at)
        assert tab.fits(), f"{at} at {width} px of the {kind} ledger"
    tab.page.set_viewport_size({"width": 1400, "height": 900})


# -- what is shown is what was recorded --------------------------------------------------------


@pytest.fixture(scope="module")
def one(chromium, tmp_path_factory):
    url = apart(lambda folder: diamonds(folder, 3), tmp_path_factory.mktemp("shown"))
    with served(url) as base:
        context = chromium.new_context(viewport={"width": 1400, "height": 900})
        yield Tab(context, base, url)
        context.close()


def test_the_graph_has_a_node_a_task_and_an_edge_a_dependency(one):
    page = one.visit("/run?id=run01")
    assert page.locator("svg rect.node").count() == 4
    assert page.locator("svg .edge").count() == 4
    boxes = page.eval_on_selector_all(
        "svg rect.node", "rs => rs.map(r => r.getBoundingClientRect().width)"
    )
    assert min(boxes) > 20  # drawn, not only written


def test_a_click_on_a_task_selects_it_in_graph_waterfall_and_tree_and_back_goes_back(one):
    page = one.visit("/")
    page.click("a[href*='id=run01']")
    page.wait_for_url("**/run?id=run01")
    page.click("a[href*='task=b'] >> nth=0")
    page.wait_for_url("**task=b**")
    assert page.locator("svg rect.node.hot").count() == 1
    assert page.locator("svg rect.hot").count() >= 2  # a node, and its bar
    assert page.locator("tr.hot").count() >= 1
    page.go_back()
    page.wait_for_url("**/run?id=run01")
    assert page.locator(".hot").count() == 0
    page.go_back()
    assert page.locator("h1").inner_text() == "Runs"
    assert one.wrong == []


def test_the_matrix_holds_the_scores_of_the_ledger(one):
    with Ledger.open(one.url, read_only=True) as ledger:
        d = next(d for d in ledger.decisions("run02") if d.task_id == "a")
        standings = ledger.explain(d.id).candidates
    page = one.visit(f"/decision?id={d.id}")
    shown = page.eval_on_selector_all(
        "table tr", "rs => rs.map(r => [...r.cells].map(c => c.innerText.trim()))"
    )
    for s in standings:
        (row,) = [r for r in shown if r[0].startswith(s.agent) and f"{s.propensity:.3f}" in r]
        assert f"{s.mean:.3f}" in row and f"{s.bonus:.3f}" in row
        assert {f"{v:+.3f}" for v in s.terms.values()} <= set(row)


def test_the_first_stop_of_the_keyboard_skips_to_the_page_and_links_can_be_reached(one):
    page = one.visit("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    for _ in range(40):
        page.keyboard.press("Tab")
        if "run?id=" in page.evaluate("document.activeElement.href || ''"):
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/run?id=**")
    assert one.wrong == []


def _contrast(page):
    """Of text to ground, by WCAG 2."""
    return page.evaluate(
        """() => {
          const rgb = (s) => s.match(/[\\d.]+/g).slice(0, 3).map(Number);
          const lum = (s) => rgb(s).map(v => v / 255).map(v =>
            v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
          ).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const style = getComputedStyle(document.body);
          const ground = getComputedStyle(document.documentElement).backgroundColor;
          const own = style.backgroundColor;
          const under = own === "rgba(0, 0, 0, 0)" ? ground : own;
          const [a, b] = [lum(style.color), lum(under)].sort((x, y) => y - x);
          return [(a + 0.05) / (b + 0.05), lum(under)];
        }"""
    )


def test_light_and_dark_can_be_read_and_print_leaves_the_navigation_out(one):
    page = one.visit("/run?id=run01")
    page.emulate_media(color_scheme="light")
    light, ground = _contrast(page)
    page.emulate_media(color_scheme="dark")
    dark, under = _contrast(page)
    assert light >= 7 and dark >= 7
    assert ground > 0.8 and under < 0.1
    page.emulate_media(media="print", color_scheme="light")
    assert not page.locator("nav").is_visible()
    page.emulate_media(media="screen", color_scheme="light")


def test_without_the_link_a_browser_sees_nothing(chromium, one):
    context = chromium.new_context()
    page = context.new_page()
    answer = page.goto(one.base + "/run?id=run01")
    assert answer.status == 403
    assert "run01" not in page.inner_text("body")
    context.close()


KEYS = ("id", "text", "graph", "status", "why_not", "a", "b", "by", "before", "seq")


def query_of(payloads):
    return "&".join(f"{k}={quote(v)}" for k, v in zip(KEYS, payloads, strict=True))


def test_hostile_queries_are_inert(one):
    """Every payload in a key, ten of them on a page at once, every page twice."""
    given = cycle(PAYLOADS)
    for path in 2 * list(PAGES):
        one.visit(f"{path}?{query_of(islice(given, len(KEYS)))}", status=(200, 404))


@pytest.mark.slow
def test_hostile_queries_are_inert_in_every_key(one):
    for payload, path in zip(PAYLOADS, cycle(PAGES)):
        one.visit(f"{path}?{query_of(repeat(payload, len(KEYS)))}", status=(200, 404))
