from pathlib import Path

import pytest

from agentroute.errors import UsageError
from agentroute.model.calls import AgentReply, Artifact
from agentroute.toolbox.handover import locate

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
