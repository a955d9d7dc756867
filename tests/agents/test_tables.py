import csv
import statistics
from pathlib import Path

import pytest

from agentroute.errors import AgentFailedError, UsageError


def chain(run, path: Path, analyst: str = "table_profile_sql", **load):
    replies = {"load": run("table_loader", path=str(path), **load)}
    replies["clean"] = run("table_cleaner", replies)
    replies["analyse"] = run(analyst, {"clean": replies["clean"]})
    return replies


def columns(reply):
    return {c["name"]: c for c in reply.data["columns"]}


def test_statistics_are_those_of_the_values(run, tmp_path):
    x = [((i * 37) % 101) / 7 for i in range(900)]
    path = tmp_path / "t.csv"
    path.write_text("x,word\n" + "".join(f"{v},{'ab'[i % 2]}\n" for i, v in enumerate(x)))
    got = columns(chain(run, path)["analyse"])
    assert got["x"]["mean"] == pytest.approx(statistics.fmean(x))
    assert got["x"]["stdev"] == pytest.approx(statistics.stdev(x))
    assert got["x"]["median"] == pytest.approx(statistics.median(x))
    assert sum(got["x"]["histogram"]["counts"]) == 900
    assert got["word"]["top"] == [["a", 450], ["b", 450]]


@pytest.mark.parametrize(
    ("raw", "names", "rows"),
    [
        (b"a;b\n1;2\n3;4\n", ["a", "b"], 2),
        ("name\tprice\nÄpfel\t1,234.50\n".encode("utf-16"), ["name", "price"], 1),
        (b"caf\xe9,n\nx,1\n", ["café", "n"], 1),
        (b"1,2\n3,4\n5,6\n", ["column_1", "column_2"], 3),
        (b"# a comment\na,b\n1,2\n", ["a", "b"], 1),
        (b"a,b\n1\n2,3,4\n\n", ["a", "b", "column_3"], 2),
        (b"a,,a\n1,2,x\n", ["column_1", "column_2", "column_3"], 2),
        (b'{"a": 1, "b": {"c": 2}}\nnot json\n', ["a", "b.c"], 2),
    ],
)
def test_reads_tables_as_people_have_them(run, tmp_path, raw, names, rows):
    path = tmp_path / ("t.jsonl" if raw[:1] == b"{" else "t.csv")
    path.write_bytes(raw)
    reply = run("table_loader", path=str(path))
    assert reply.data["columns"] == names
    assert reply.data["rows"] == rows


@pytest.mark.parametrize("raw", [b"", b"\x00\x01\x02" * 50, b"\x1f\x8b\x08broken", b"\n\n"])
def test_says_in_one_line_what_is_no_table(run, tmp_path, raw):
    path = tmp_path / "t.csv"
    path.write_bytes(raw)
    with pytest.raises(UsageError):
        run("table_loader", path=str(path))


def test_a_cap_is_said(run, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,x\n" * 50)
    reply = run("table_loader", path=str(path), max_rows=20)
    assert reply.data["rows"] == 20
    assert "first 20 rows" in reply.text


def test_cleaning_unifies_missing_and_numbers(run, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('p,q,empty\n"$1,200",yes,\nN/A,no,-\n" 30 ",,\n')
    reply = chain(run, path)["clean"]
    with open(reply.artifacts[0].path, newline="") as f:
        assert list(csv.reader(f)) == [["p", "q"], ["1200", "yes"], ["", "no"], ["30", ""]]
    assert [c["type"] for c in reply.data["columns"]] == ["number", "truth"]


def test_the_exact_profile_beats_the_sample_where_rows_differ_later(run, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x\n" + "".join(f"{i}\n" for i in range(2000)))
    exact, rough = (chain(run, path, a) for a in ("table_profile_sql", "table_profile_sample"))
    best, worse = (run("verify_table", r).data["scores"][0] for r in (exact, rough))
    assert best["score"] == 1.0
    assert worse["score"] < 0.9
    assert best["task_id"] == "analyse"


def test_the_report_escapes_what_it_shows(run, tmp_path):
    path = tmp_path / "t.csv"
    bad = "<script>alert(1)</script>"
    path.write_text(f"{bad},n\n" + "".join(f"{bad}{i % 3},{i * i}\n" for i in range(30)))
    replies = chain(run, path)
    replies["chart"] = run("chart_maker", {"analyse": replies["analyse"]})
    report = run("report_writer", replies, title=bad, depends_on=[*replies, "gone"])
    html = Path(report.artifacts[0].path).read_text()
    assert "<script" not in html
    assert html.count("<svg") == 2
    assert "These steps gave no result: Gone" in html


def test_a_column_that_only_numbers_the_rows_is_no_chart(run, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,n\n" + "".join(f"{i},{i * i}\n" for i in range(30)))
    chart = run("chart_maker", {"analyse": chain(run, path)["analyse"]})
    assert [b["chart"]["title"].split(" ")[0] for b in chart.data["blocks"]] == ["n"]


def test_an_analyst_without_input_fails_in_words(run):
    with pytest.raises(AgentFailedError, match="no input"):
        run("table_profile_sql")
