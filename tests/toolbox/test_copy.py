"""An artefact is copied from where it was found to be its call's, or not at all."""

import os
import sys

import pytest

from agentroute import AgentReply, Orchestrator, Registry
from agentroute.toolbox.handover import copy_file

SECRET = "the host's own secret"


@pytest.fixture
def work(tmp_path):
    folder = tmp_path.resolve() / "call"
    folder.mkdir()
    (folder / "report.txt").write_text("a report")
    (tmp_path / "secret").write_text(SECRET)
    return folder


def linked(path):
    path.unlink()
    path.symlink_to(path.parents[1] / "secret")


def folder_linked(path):
    path.unlink()
    path.parent.rmdir()
    other = path.parents[1] / "other"
    other.mkdir()
    (other / path.name).write_text(SECRET)
    path.parent.symlink_to(other)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def device(path):
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of POSIX")
@pytest.mark.parametrize("swap", [linked, folder_linked, pipe, device])
def test_what_was_put_in_an_artefact_s_place_is_not_copied(work, tmp_path, swap):
    swap(work / "report.txt")
    with pytest.raises(OSError, match=r"replaced|Too many|symbolic"):
        copy_file(work / "report.txt", tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()
    assert not list(tmp_path.glob(".*part"))


def test_a_file_is_copied_and_a_link_at_its_target_replaced(work, tmp_path):
    (tmp_path / "out.txt").symlink_to(tmp_path / "secret")
    copy_file(work / "report.txt", tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text() == "a report"
    assert (tmp_path / "secret").read_text() == SECRET


async def test_a_run_keeps_no_artefact_that_was_swapped_after_its_check(tmp_path):
    (tmp_path / "secret").write_text(SECRET)
    registry, url = Registry(), f"sqlite:///{tmp_path / 'l.db'}"

    @registry.agent(skills=["s"])
    async def writer(call):
        (call.workdir / "report.txt").write_text("a report")
        return AgentReply(text="x", artifacts=[{"name": "report.txt", "path": "report.txt"}])

    def swap(event):
        if event.type == "agent.finished":
            (path,) = tmp_path.rglob("report.txt")
            path.unlink()
            path.symlink_to(tmp_path / "secret")

    async with Orchestrator(registry, ledger=url, out=tmp_path / "out") as orc:
        result = await orc.run("write", on_event=swap)
    kept = [p for p in (tmp_path / "out").rglob("report.txt") if not p.is_symlink()]
    assert kept == []
    assert any("could not be kept" in words for words in result.degraded)
