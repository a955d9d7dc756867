"""Text of others reaches the terminal as text: nothing in it acts there."""

import json
import os
import re
import sys
import unicodedata

import pytest

from agentroute.cli.app import run
from agentroute.cli.parts.terminal import shown, shown_only

# Clipboard, title, clear screen, back to the line's start, bidi, zero width, a C1 control, a tag.
EVIL = (
    "\x1b]52;c;ZXZpbA==\x07 \x1b]0;t\x07 \x1b[2J \rok \u202egnp.exe \u200b \x9b31m \U000e0041 end"
)
ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\U000e0000-\U000e007f]")
AS_YAML = json.dumps(EVIL).replace("\\udb40\\udc41", "\\U000e0041")
CARD = f"""name: evil
description: {AS_YAML}
skills: [echo]
entrypoint: evil.py:agent
params: {{note: {AS_YAML}}}
"""
CODE = f"EVIL = {EVIL!r}\ndef agent(call):\n    return EVIL\n"
BROKEN = f"EVIL = {EVIL!r}\ndef agent(call):\n    raise ValueError(EVIL)\n"
GRAPH = f"""name: g
description: {AS_YAML}
inputs: {{x: {{type: str, default: a, help: {AS_YAML}}}}}
tasks: [{{id: a, prompt: {AS_YAML}, skills: [echo]}}]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("agents", "graphs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "agents" / "evil.yaml").write_text(CARD)
    (tmp_path / "agents" / "evil.py").write_text(CODE)
    (tmp_path / "graphs" / "g.yaml").write_text(GRAPH)
    return tmp_path


@pytest.fixture
def printed(capsys):
    def call(*argv):
        run(list(map(str, argv)))
        out = capsys.readouterr()
        both = out.out + out.err
        assert not ACTS.search(both), both
        return out

    return call


COMMANDS = [
    ["agents", "show", "evil"],
    ["agents", "ls"],
    ["graphs", "show", "g"],
    ["graphs", "ls"],
    ["plan", "g"],
    ["plan", EVIL],
    ["route", EVIL],
    ["run", EVIL],
    ["agents", "show", EVIL],
    ["graphs", "show", EVIL],
    ["runs", "show", EVIL],
    ["explain", EVIL],
    [EVIL],
    ["run", "g", "--input", EVIL],
    ["--debug", "runs", "show", EVIL],
]


@pytest.mark.parametrize("argv", COMMANDS, ids=lambda a: " ".join(a[:2])[:20])
def test_no_command_lets_text_act_on_the_terminal(here, printed, argv):
    printed(*argv)


def test_what_an_agent_says_is_shown_by_run_and_by_runs_show(here, printed):
    assert "\\u001b]52;c;" in printed("run", "g").out
    run_id = json.loads(printed("runs", "ls", "--json").out)[0]["run_id"]
    printed("runs", "show", run_id)
    printed("runs", "ls")
    (here / "agents" / "evil.py").write_text(BROKEN)
    failed = printed("run", "g", "--no-verify")
    assert "\\u001b]52;c;" in failed.out + failed.err


def test_json_holds_the_same_text(here, printed):
    assert json.loads(printed("run", "g", "--json").out)["answer"] == EVIL


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminal")
def test_a_real_terminal_gets_colours_of_ours_alone(here):
    import pty

    got = bytearray()

    def read(fd):
        data = os.read(fd, 4096)
        got.extend(data)
        return data  # nothing would say that this was all

    argv = [sys.executable, "-m", "agentroute", "agents", "show", "evil"]
    pty.spawn(argv, read, lambda fd: os.read(os.open(os.devnull, os.O_RDONLY), 1))
    text = got.decode()
    assert "\\u001b]52;c;" in re.sub(r"[\s│]", "", text)
    assert "\x1b]" not in text
    assert "\x1b[2J" not in text


def test_of_all_characters_the_acting_ones_are_spelled_out():
    kept = {
        c for c in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and shown(c) == c
    }  # fmt: skip
    assert kept == {"\n", "\t"}
    assert all(shown(c) != c for c in map(chr, range(sys.maxunicode + 1))
               if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI",
                                                   "FSI", "PDI"))  # fmt: skip


@pytest.mark.parametrize("text", ["naïve 日本語 👩‍👩‍👧 نام‌ها\tx\n", "a\r\nb"])
def test_text_that_people_write_stays(text):
    assert shown(text) == text.replace("\r\n", "\n")


def test_every_way_to_write_to_a_stream_is_shown(capsys):
    with shown_only():
        sys.stdout.writelines(["a\x1b", "b"])
        print("c\x9b", file=sys.stderr)
        assert not hasattr(sys.stdout, "buffer")
    assert capsys.readouterr() == ("a\\u001bb", "c\\u009b\n")
