"""The bench of the inspector's pages, on a small ledger through the command."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from agentroute.cli.app import app
from agentroute.inspector.web.app import PAGES

pytest.importorskip("starlette", reason="the extra web is not installed")


def test_every_page_is_asked_and_answers_on_copied_rows(monkeypatch):
    monkeypatch.setattr("agentroute.bench.reading.pages.BASE", 500)
    done = CliRunner().invoke(app, ["bench", "inspector", "--decisions", "2000", "--json"])
    rows = json.loads(done.stdout)
    assert rows[0]["name"] == "rows of a ledger with 2,000 decisions"
    asked = {r["name"].split(",")[0].split("?")[0] for r in rows if r["name"].startswith("/")}
    assert asked == set(PAGES)
    limits = {r["name"]: r["limit"] for r in rows}
    assert limits["/, first"] == 200.0
    assert limits["/ledger/verify, first"] is None
