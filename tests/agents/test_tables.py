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
        (b"a,,a\n1,2,x\n", ["a", "column_2", "a_2"], 1),
        (b"a,a\nb,c\n", ["column_1", "column_2"], 2),
        (b"country,2019,2020\nAruba,1,2\nBenin,3,4\n", ["country", "2019", "2020"], 2),
        (b"Aruba,2019,5\nBenin,2020,6\n", ["column_1", "column_2", "column_3"], 2),
        (b"sep=;\na;b\n1;2\n", ["a", "b"], 1),
        (b'[{"a": 1, "b": {"c": null}},\n {"a": 2}]', ["a", "b.c"], 2),
        (b'{"rows": [{"a": 1}, {"a": 2}], "n": 2}', ["a"], 2),
        (b'[["a", "b"], [1, 2], [3, null]]', ["a", "b"], 2),
        (b'a,b\n1,"x\n2,y\n3,z\n', ["a", "b"], 3),
        (b'a,b\n1,"x, y"\n2,6" pipe\n3,7" pipe\n', ["a", "b"], 3),
        (b'{"a": 1, "b": {"c": 2}}\nnot json\n', ["a", "b.c"], 2),
    ],
)
def test_reads_tables_as_people_have_them(run, tmp_path, raw, names, rows):
    path = tmp_path / ("t.jsonl" if b"not json" in raw else "t.csv")
    path.write_bytes(raw)
    reply = run("table_loader", path=str(path))
    assert reply.data["columns"] == names
    assert reply.data["rows"] == rows


@pytest.mark.parametrize(
    "raw", [b"", b"\x00\x01\x02" * 50, b"\x1f\x8b\x08broken", b"\n\n", b"a,b\n", b"[]", b"a\n\n"]
)
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


@pytest.mark.parametrize(
    ("values", "kind", "first"),
    [
        (["01234", "90210", "10001"], "text", "01234"),
        (["0", "-0.5", "10"], "number", "0"),
        (["Jan 1 2000", "Feb 29 2000"], "date", "2000-01-01"),
        (["January 1, 2000", "May 2, 2001"], "date", "2000-01-01"),
        (["31.12.1999", "1.2.2000"], "date", "1999-12-31"),
        (["31/12/1999", "1/2/2000"], "date", "1999-12-31"),
        (["1/2/2000", "3/4/2000"], "date", "1/2/2000"),  # nobody can tell which is the month
        (["Jan 1 2000", "soon"], "text", "Jan 1 2000"),
        (["2.000,75", "1,5", "3"], "number", "2000.75"),
        (["2,000.75", "1.5"], "number", "2000.75"),
        (["1,234", "5,678"], "number", "1234"),
        (["1.234", "5.678"], "number", "1.234"),
        (["1.5", "1,5"], "text", "1.5"),
        (["$1", "€2"], "text", "$1"),
        (["€1", "2"], "number", "1"),
        (["\u22125", "5"], "number", "-5"),
        (["٣", "4"], "text", "٣"),
        (["NA", "DE", "FR", "ES"], "text", "NA"),
        (["NA", "5", "6"], "number", ""),
    ],
)
def test_values_as_people_write_them(run, module, values, kind, first):
    column, found = module("table_cleaner.py").tidy(values)
    assert (found, column[0]) == (kind, first)


def test_a_table_without_any_value_is_said(run, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n-,\n,NA\n")
    with pytest.raises(UsageError, match="no column"):
        chain(run, path)


CASES = sorted((Path(__file__).parent / "tables").glob("*.csv"))


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.name)
def test_exported_tables_have_the_means_that_they_have(run, path):
    means = {
        "comma.csv": {"preis": 416.35}, "sep.csv": {"a": 2.0, "b": 3.0},
        "twice.csv": {"a": 2.5, "a_2": 3.5, "b": 4.5}, "years.csv": {"2019": 3.0, "2020": 4.0},
    }[path.name]  # fmt: skip
    got = chain(run, path)
    assert {
        c["name"]: pytest.approx(c["mean"]) for c in got["analyse"].data["columns"] if "mean" in c
    } == means
    scores = run("verify_table", got, path=str(path)).data["scores"]
    assert [(s["task_id"], s["score"]) for s in scores] == [("clean", 1.0), ("analyse", 1.0)]


@pytest.mark.parametrize(
    ("text", "spoiled", "wrong"),
    [
        ("zip,n\n01234,1\n90210,2\n10001,3\n", "zip,n\n1234,1\n90210,2\n10001,3\n", 0),
        ("a,b\n1,5\n2,6\n3,7\n", "a,b\n1,5\n2,6\n", None),
        ("a;p\nx;1,50\ny;2,50\n", "a,p\nx,150\ny,250\n", 1),
        ("country,2019\nAruba,1\nBenin,3\n", "column_1,column_2\nAruba,1\nBenin,4\n", 1),
    ],
)
def test_the_verifier_reads_the_file_and_not_what_was_made_of_it(
    run, tmp_path, text, spoiled, wrong
):
    path = tmp_path / "t.csv"
    path.write_text(text)
    got = chain(run, path)
    clean = Path(got["clean"].artifacts[0].path)
    assert run("verify_table", got, path=str(path)).data["scores"][0]["score"] == 1.0
    clean.write_text(spoiled)
    columns = [
        {**c, "type": "number" if i == wrong else c["type"]}
        for i, c in enumerate(got["clean"].data["columns"])
    ]
    data = {**got["clean"].data, "columns": columns}
    forged = {**got, "clean": got["clean"].model_copy(update={"data": data})}
    row = run("verify_table", forged, path=str(path)).data["scores"][0]
    assert row["task_id"] == "clean"
    assert row["score"] < 0.5
    assert "wrong" in row["method"]


def test_a_wrong_mean_among_right_counts_is_not_enough(run, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f"{i},{i % 7}\n" for i in range(50)))
    got = chain(run, path)
    right = run("verify_table", got).data["scores"][0]["score"]
    columns = [{**c, "mean": c["mean"] * 0.75} for c in got["analyse"].data["columns"]]
    data = {**got["analyse"].data, "columns": columns}
    got["analyse"] = got["analyse"].model_copy(update={"data": data})
    assert right == 1.0
    assert run("verify_table", got).data["scores"][0]["score"] < 0.5


def test_the_sample_reads_a_small_table_whole(run, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x\n" + "".join(f"{i}\n" for i in range(1000)))
    rough = chain(run, path, "table_profile_sample")
    assert columns(rough["analyse"])["x"]["mean"] == 499.5
    assert rough["analyse"].data["method"] == "every row"


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
