"""The documents are true: every block of the README runs, and what they name exists."""

import ast
import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
import typer

from agentroute.choosing.catalog import known_routers
from agentroute.cli.app import app, run
from agentroute.config.yaml import load_yaml
from agentroute.planning.graphfile import load_graph
from agentroute.registry.load import load_card

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("experiments/*.md")],
    key=str,
)


class Block(NamedTuple):
    language: str
    text: str
    line: int

    @property
    def file(self):
        """The file that the block is, where its first line is a comment with a name."""
        found = re.match(r"# (\S+\.\w+)\n", self.text)
        return found and found[1]


def blocks(text):
    """Every fenced block; one without a language is none that a test can run."""
    for m in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield Block(m[1], m[2], text[: m.start()].count("\n") + 1)


ALL_BLOCKS = list(blocks(README))


class Reader:
    """Follows the README from top to bottom, in one folder."""

    def __init__(self, folder, monkeypatch, capsys):
        self.folder, self.capsys = folder, capsys
        self.said = ""
        (folder / "examples").symlink_to(ROOT / "examples")
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(str(folder))
        for name, value in {"COLUMNS": "200", "RUN": "", "DECISION": ""}.items():
            monkeypatch.setenv(name, value)

    def follow(self, block):
        if block.file:
            self.write(block)
        elif block.language == "python":
            run_python(block.text)
        elif block.language == "sh" and re.search(r"^(make|pip) ", block.text, re.MULTILINE):
            static(block.text)
        elif block.language == "sh":
            for line in block.text.splitlines():
                self.command(line)
        else:
            pytest.fail(f"README.md:{block.line}: nothing runs a block of '{block.language}'")
        self.said += self.capsys.readouterr().out

    def command(self, line):
        """One line of a shell block: the command line in this process, anything else in its own."""
        if "$RUN" in line or "$DECISION" in line:
            self.know_ids()
        program, *words = [os.path.expandvars(w) for w in shlex.split(line, comments=True)]
        if program == "agentroute":
            assert run(words) == 0, (line, self.capsys.readouterr().err)
        else:
            self.process([sys.executable if program == "python" else program, *words])

    def process(self, words):
        done = subprocess.run(
            words, cwd=self.folder, capture_output=True, text=True, timeout=60,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(self.folder), str(ROOT)])},
        )  # fmt: skip
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        print(done.stdout)

    def json(self, *words):
        self.said += self.capsys.readouterr().out
        assert run([*words, "--json"]) == 0, words
        return json.loads(self.capsys.readouterr().out)

    def know_ids(self):
        """``$RUN`` and ``$DECISION`` as a reader finds them, by the commands the README names."""
        if os.environ["RUN"]:
            return
        runs = self.json("runs", "ls")
        shown = next(r["run_id"] for r in runs if r["about"]["name"] == "count_and_shout")
        choices = self.json("runs", "show", shown)["choices"]
        os.environ["RUN"] = shown
        os.environ["DECISION"] = next(c["id"] for c in choices if c["chosen"] == ["shout"])

    def write(self, block):
        path = self.folder / block.file
        path.write_text(block.text, encoding="utf-8")
        if block.language == "yaml":
            tasks = "tasks" in load_yaml(path).data
            (load_graph if tasks else load_card)(path)
        else:
            ast.parse(block.text)


def run_python(text):
    """A block at top level may await, as in a notebook."""
    body = "async def main():\n" + textwrap.indent(text, "    ")
    scope = {}
    exec(compile(body, "README.md", "exec"), scope)
    asyncio.run(scope["main"]())


def test_every_block_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    reader = Reader(tmp_path, monkeypatch, capsys)
    for block in ALL_BLOCKS:
        reader.follow(block)
    out = reader.said
    assert "refund for Refund order 7 and tell the customer" in out
    assert "3 WORDS, THE LONGEST IS 'THREE'" in out  # the second task read the first
    assert "echo_words was not a candidate: lacks a required skill" in out
    assert "ok  rule_" in out
    assert "'running_mean'" in out
    assert (tmp_path / "agentroute.db").exists()


def test_the_module_is_the_command(tmp_path):
    words = [sys.executable, "-m", "agentroute", "--version"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("agentroute ")


def static(text):
    """``make`` and ``pip`` are not run here: their targets and extras exist."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for line in text.splitlines():
        command = line.split("#")[0]
        if target := re.match(r"make ([a-z]+)\s*$", command):
            assert re.search(rf"^{target[1]}:", makefile, re.MULTILINE), line
        else:
            assert re.match(r"pip install ('?)\.(\[\w+\])?\1\s*$", command), line
        for extra in re.findall(r"\[(\w+)\]", line):
            assert extra in project["optional-dependencies"], line
    return ""


def commands(command, prefix=()):
    """Every runnable command as a tuple of words, with its object."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield prefix, command
        return
    for name, child in inner.items():
        yield from commands(child, (*prefix, name))


ALL = dict(commands(typer.main.get_command(app)))


def named(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_that_a_page_names_exists(page):
    text = page.read_text(encoding="utf-8")
    for words in set(re.findall(r"`agentroute ([a-z]+(?: [a-z]+)?)", text)):
        first, *rest = words.split()
        known = [c for c in ALL if c[0] == first]
        assert known, words
        if rest and len(known[0]) > 1:
            assert (first, rest[0]) in ALL, words


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_option_that_a_page_gives_to_a_command_exists(page):
    text = page.read_text(encoding="utf-8")
    for line in re.findall(r"`agentroute ([^`]*)`", text):
        words = line.split()
        found = [c for c in ALL if tuple(words[: len(c)]) == c]
        if not found:
            continue
        known = {o for p in ALL[found[0]].params for o in p.opts}
        for option in re.findall(r"(?<!\S)--[a-z-]+", line):
            assert option in known, line


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_of_a_page_leads_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_names_nothing_private(page):
    text = page.read_text(encoding="utf-8")
    for found in re.findall(
        r"DESIGN \d|\bAR-\d+|systems brief|\bissue \d|/(?:work|home|tmp)/", text
    ):
        pytest.fail(found)


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "README.md"], ids=named)
def test_python_in_other_pages_parses_and_marks_known_ids(page):
    ids = (ROOT / "tests/checklist_ids.yaml").read_text(encoding="utf-8")
    for block in blocks(page.read_text(encoding="utf-8")):
        assert block.language in ("", "python"), block.line
        if block.language == "python":
            ast.parse(block.text)
            for name in re.findall(r'checklist\("(\w+)"', block.text):
                assert re.search(rf"^{name}:", ids, re.MULTILINE), name


def test_pages_for_readers_stay_short():
    for name, most in {"README.md": 170, "ARCHITECTURE.md": 150}.items():
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) < most, name


def test_the_list_of_experiments_is_whole():
    listed = set(re.findall(r"\]\((\S+\.md)\)", (ROOT / "experiments/README.md").read_text()))
    there = {p.name for p in ROOT.glob("experiments/*.md")} - {"README.md"}
    assert there <= listed


@pytest.mark.parametrize("name", [" ".join(c) for c in ALL])
def test_every_command_says_what_it_does(name):
    assert len(ALL[tuple(name.split())].help or "") > 15


def test_every_router_is_documented():
    for name in known_routers():
        assert f"`{name}`" in README or name == "default", name


def test_every_make_target_of_the_pages_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"(?:^|`)make ([a-z]+)\b", text, re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), (page.name, target)
