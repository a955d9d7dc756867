import html
import re
from pathlib import Path

import pytest

from agentroute.errors import UsageError
from agentroute.model.calls import AgentReply, Artifact
from agentroute.toolbox.handover import locate
from agentroute.toolbox.passages import document_files

DOCS = locate("shipped:pedalworks/docs")
SUFFIXES = [".md", ".txt", ".html", ".rst"]


def listed(run, path):
    return {"files": run("file_lister", path=str(path), suffixes=SUFFIXES)}


@pytest.mark.parametrize("agent", ["summarise_cover", "summarise_lead"])
def test_a_summary_quotes_its_documents(run, agent):
    files = listed(run, DOCS)
    reply = run(agent, files, sentences=6)
    assert len(reply.data["summary"]) == 6
    for row in reply.data["summary"]:
        text = " ".join((DOCS / row["source"]).read_text().split())
        assert row["text"] in text
    score = run("verify_summary", files | {"s": reply}).data["scores"][0]["score"]
    assert 0.2 < score <= 1


@pytest.mark.parametrize("agent", ["summarise_cover", "summarise_lead"])
def test_technical_documents_are_quoted_by_their_sentences(run, tmp_path, agent):
    body = "The server keeps every order in a table of its own until somebody ships it to a buyer."
    code = "order = server.table('orders').find(buyer='server table order keeps ships somebody')"
    badge = "[![Server table order status](https://x.org/b.svg)](https://x.org/orders)"
    text = f"# Server table order\n\n{badge}\n\n```\n{code}\n```\n\n    {code}\n\n{body}\n"
    (tmp_path / "a.md").write_text(text)
    reply = run(agent, listed(run, tmp_path))
    assert [r["text"] for r in reply.data["summary"]] == [body]


def test_an_invented_sentence_costs_the_summary_its_score(run):
    files = listed(run, DOCS)
    reply = run("summarise_cover", files)
    rows = [{**r, "text": "Nobody ever wrote this."} for r in reply.data["summary"]]
    forged = reply.model_copy(update={"data": {"summary": rows}})
    assert run("verify_summary", files | {"s": forged}).data["scores"][0]["score"] == 0


def test_a_summary_in_other_words_is_scored_by_its_words(run):
    files = listed(run, DOCS)
    good = AgentReply(
        text="Riders unlock bikes at the station; the dock and the lock report errors."
    )
    bad = AgentReply(text="Quantum chromodynamics explains gluon confinement.")
    rows = run("verify_summary", files | {"summary": good, "x": bad}, task="summary").data["scores"]
    assert [r["task_id"] for r in rows] == ["summary"]
    worse = run("verify_summary", files | {"summary": bad}, task="summary").data["scores"][0]
    assert rows[0]["score"] > 0.05 > worse["score"]


def test_a_model_is_shown_every_document(run):
    reply = run("document_reader", listed(run, DOCS), max_chars=2_000)
    assert all(f"[{p.name}]" in reply.text for p in DOCS.glob("*.md"))
    assert len(reply.text) < 2_500
    assert reply.data["cut"]


def test_odd_folders(run, tmp_path):
    (tmp_path / "empty.md").write_text("")
    (tmp_path / "bin.txt").write_bytes(b"\x00" * 5000)
    files = listed(run, tmp_path)
    for agent in ("summarise_cover", "summarise_lead"):
        assert run(agent, files).abstained
    assert run("key_terms", files).data["terms"] == {}
    assert run("similar_documents", files).data["pairs"] == []
    with pytest.raises(UsageError):
        listed(run, tmp_path / "nowhere")


def test_terms_and_overlap(run, tmp_path):
    for name, text in {
        "a.md": "Bees make honey. Bees visit flowers.",
        "b.md": "Honey is made by bees from flowers.",
        "c.md": "The court fined the bank for fraud.",
    }.items():
        (tmp_path / name).write_text(text)
    files = listed(run, tmp_path)
    assert run("key_terms", files).data["terms"]["c.md"][0] in {"court", "fined", "bank", "fraud"}
    assert run("similar_documents", files).data["pairs"][0][:2] == ["a.md", "b.md"]


def test_refining_passes_votes_merges_and_refuses(run, tmp_path):
    one = AgentReply(text="42", confidence=0.9)
    assert run("refiner", {"a": one}) == one
    voted = run("refiner", {"a": one, "b": AgentReply(text="41", confidence=0.2)})
    assert voted.data["answer"] == "42"
    assert "others said: 41" in voted.text
    long = "The bridge is {} m long and spans the river beside the old mill. " + "It is red. " * 12
    merged = run("refiner", {k: AgentReply(text=long.format(v)) for k, v in (("a", 9), ("b", 8))})
    assert merged.text.startswith("Conflict: ")
    assert run("refiner", {"a": AgentReply(text="I do not know.")}).abstained
    assert run("refiner", {}).abstained
    file = tmp_path / "f.csv"
    file.write_text("x")
    kept = AgentReply(artifacts=(Artifact(name="f.csv", path=str(file)),))
    passed = run("refiner", {"a": kept, "b": AgentReply(text="", abstained=True)})
    assert Path(passed.artifacts[0].path).read_text() == "x"
    both = run("refiner", {"a": kept, "b": kept})
    assert [a.name for a in both.artifacts] == ["f.csv", "1_f.csv"]


def test_a_report_keeps_the_files_it_is_told_to(run, tmp_path):
    file = tmp_path / "f.csv"
    file.write_text("x")
    given = {"a": AgentReply(text="hi", artifacts=(Artifact(name="f.csv", path=str(file)),))}
    reply = run("report_writer", given, keep=["f.csv"])
    assert [a.name for a in reply.artifacts] == ["report.html", "report.json", "f.csv"]
    assert all(Path(a.path).read_text() for a in reply.artifacts)


@pytest.mark.parametrize("agent", ["summarise_cover", "summarise_lead"])
def test_a_report_lists_no_sentence_twice(run, agent):
    files = listed(run, DOCS)
    summary = run(agent, files, sentences=6)
    page = Path(run("report_writer", {"summary": summary}).artifacts[0].path).read_text()
    shown = html.unescape(page.partition("<footer>")[0])
    for row in summary.data["summary"]:
        assert shown.count(row["text"]) == 1


def test_what_a_table_lists_stands_in_no_lead_and_a_path_breaks_at_its_slashes(run):
    table = {"kind": "table", "columns": ["where", "n"], "rows": [["src/<b>/long/name.py", 3]]}
    reply = AgentReply(text="1 finding.\nsrc/<b>/long/name.py: 3", data={"blocks": [table]})
    page = Path(run("report_writer", {"a": reply}).artifacts[0].path).read_text()
    assert page.count("name.py") == 1
    assert "src/<wbr>&lt;b&gt;/<wbr>long/<wbr>name.py" in page
    assert '<th>where</th><th class="n">n</th>' in page


def test_a_long_lead_ends_at_a_word_and_says_that_it_was_cut(run):
    page = run("report_writer", {"a": AgentReply(text="words " * 200)}).artifacts[0].path
    assert "words words …" in Path(page).read_text()
    page = run("report_writer", {"a": AgentReply(text="words " * 20)}).artifacts[0].path
    assert "…" not in Path(page).read_text()


def nine_documents(folder, size):
    """Eight short documents, and a first one of ``size`` bytes."""
    folder.mkdir()
    for i in range(8):
        words = [chr(ord("b") + i) * n for n in range(3, 11)]  # no word is in two documents
        (folder / f"d{i}.md").write_text(" ".join(words).capitalize() + ".")
    line = "Another sentence that fills the very large file once more.\n\n"
    (folder / "a_large.md").write_text(line * (size // len(line)))
    return [f"d{i}.md" for i in range(8)]


def test_one_large_document_leaves_out_itself_alone(run, tmp_path):
    small = nine_documents(tmp_path / "docs", 4_000_000)
    files = listed(run, tmp_path / "docs")
    assert files["files"].data["files"] == small
    assert files["files"].data["unread"] == ["a_large.md"]
    assert document_files(tmp_path / "docs") == (small, 1)


def test_one_long_document_takes_no_room_from_the_short_ones(run, tmp_path):
    small = nine_documents(tmp_path / "docs", 400_000)
    files = listed(run, tmp_path / "docs")
    read = run("document_reader", files, max_chars=2_000)
    assert read.data["cut"] == ["a_large.md"]
    shown = sum(map(len, re.split(r"\[[^]]*\]\n", read.text))) - 2 * 8
    assert 1_990 <= shown <= 2_000
    summary = run("summarise_cover", files, sentences=9)
    assert {r["source"] for r in summary.data["summary"]} >= set(small)


def test_documents_that_were_not_compared_are_said(run, tmp_path, module, monkeypatch):
    nine_documents(tmp_path / "docs", 1_000)
    monkeypatch.setattr(module("similar_documents.py"), "MOST", 5)
    reply = run("similar_documents", listed(run, tmp_path / "docs"))
    assert reply.data["left_out"] == 4
    assert "4 documents were left out" in reply.text
