"""Known to be wrong, and said: from a table to the exit code, with shipped agents and defaults."""

import html
import json
import random
import re
import shlex
import statistics
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentroute.cli.app import run
from agentroute.config.paths import bundled

SYMBOLS = {"AAPL": 65, "AMZN": 48, "GOOG": 416, "IBM": 91, "MSFT": 25}


@pytest.fixture
def stocks(tmp_path, monkeypatch):
    """A table sorted by symbol, ``rows`` of each, and its prices."""
    monkeypatch.chdir(tmp_path)

    def make(rows):
        rng = random.Random(0)
        table = [
            (s, f"Jan {i % 28 + 1} {2000 + i // 28}", round(base + 20 * rng.random(), 2))
            for s, base in SYMBOLS.items()
            for i in range(rows)
        ]
        lines = ["symbol,date,price", *(f"{s},{d},{p}" for s, d, p in table)]
        (tmp_path / "stocks.csv").write_text("\n".join(lines) + "\n")
        return [p for _, _, p in table]

    return make


def graph(path, **changes):
    text = (bundled("graphs") / "report_table.yaml").read_text()
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return str(path)


def reports(result):
    return [a["path"] for a in result["artifacts"] if a["name"] == "report.html"]


def test_a_small_sorted_table_has_its_exact_means(stocks, capsys):
    prices = stocks(112)
    assert len(prices) == 560
    assert run(["run", "report_table", "-i", "path=stocks.csv", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    by = {c["name"]: c for c in result["replies"]["analyse"]["data"]["columns"]}
    assert by["price"]["mean"] == pytest.approx(statistics.fmean(prices))
    assert by["symbol"]["distinct"] == 5
    assert by["date"]["type"] == "date"
    assert result["status"] == "completed"
    assert result["verdict"]["tasks"] == {"clean": 1.0, "analyse": 1.0}
    (page,) = reports(result)
    assert "Verified, accepted from 0.50" in Path(page).read_text()


def test_a_report_says_when_in_which_run_and_by_what_command_it_was_made(stocks, capsys):
    stocks(40)
    odd = Path("my 'own' stocks & sk-abcdefghijklmnopqrstuvwxyz123456.csv")
    Path("stocks.csv").rename(odd)
    assert run(["run", "report_table", "-i", f"path={odd}", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    said = html.unescape(Path(reports(result)[0]).read_text())
    found = re.search(r"(\d{4}-\d\d-\d\d) \d\d:\d\d UTC, run (\S+): agentroute (.*?)</div>", said)
    assert found[1] == datetime.now(UTC).date().isoformat() and found[2] == result["run_id"]
    assert "sk-abc" not in found[3] and "my 'own' stocks" not in found[3]  # quoted, and redacted
    odd.rename("my 'own' stocks.csv")
    assert run(["run", "report_table", "-i", "path=my 'own' stocks.csv", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    said = html.unescape(Path(reports(again)[0]).read_text())
    command = re.search(r"UTC, run \S+: agentroute (.*?)</div>", said)[1]
    assert run([*shlex.split(command), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == again["verdict"]


SAMPLED = ("skills: [analyse_table]", "skills: [analyse_table]\n    agent: table_profile_sample")


def test_a_report_that_is_known_to_be_wrong_says_so_at_its_top_and_exits_1(stocks, capsys):
    stocks(300)
    path = graph(Path("report.yaml"), pin=SAMPLED)
    assert run(["run", path, "-i", "path=stocks.csv", "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["status"] == "degraded"
    assert result["verdict"]["score"] < 0.5
    words = result["verdict"]["words"]
    assert words.startswith("NOT ACCEPTED: 1 of 2 verified tasks are below 0.50: 'analyse' 0.")
    assert result["answer"].splitlines()[0] == words
    assert result["degraded"][0] == words
    body = Path(reports(result)[0]).read_text().partition("<body>")[2]
    assert body.lstrip().startswith('<div role="alert"')
    assert "NOT ACCEPTED" in body[:300]
    assert run(["run", path, "-i", "path=stocks.csv"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("NOT ACCEPTED")
    assert out.count("NOT ACCEPTED") == 1
    assert run(["run", path, "-i", "path=stocks.csv", "--no-verify"]) == 0


def test_settings_and_graph_say_what_is_asked(stocks, capsys, monkeypatch):
    stocks(300)
    path = graph(Path("report.yaml"), pin=SAMPLED)
    monkeypatch.setenv("AGENTROUTE_ACCEPT_AT", "0.05")
    assert run(["run", path, "-i", "path=stocks.csv"]) == 0
    stricter = graph(
        Path("strict.yaml"),
        pin=SAMPLED,
        at=("artifact: report", "artifact: report\naccept_at: 0.9"),
    )
    assert run(["run", stricter, "-i", "path=stocks.csv"]) == 1
    monkeypatch.setenv("AGENTROUTE_ACCEPT_AT", "1.5")
    assert run(["run", path, "-i", "path=stocks.csv"]) == 3
    capsys.readouterr()


def test_the_report_of_an_earlier_run_is_kept(stocks, capsys):
    made = []
    for rows in (30, 40):
        stocks(rows)
        assert run(["run", "report_table", "-i", "path=stocks.csv", "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        made.append(Path(reports(result)[0]))
        assert made[-1].parent == Path("agentroute-out/report_table", result["run_id"]).resolve()
    first, second = (p.read_text() for p in made)
    assert "150 rows" in first
    assert "200 rows" in second
    assert Path("agentroute-out/report_table/report.html").read_text() == second
