"""The README is true: its Python runs, its commands exist, every command explains itself."""

import asyncio
import re
import textwrap
from pathlib import Path

import pytest
import typer

from agentroute.choosing.catalog import known_routers
from agentroute.cli.app import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(command, prefix=()):
    """Every runnable command as a tuple of words, with its object."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield prefix, command
        return
    for name, child in inner.items():
        yield from commands(child, (*prefix, name))


ALL = dict(commands(typer.main.get_command(app)))


def test_the_first_python_block_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents").symlink_to(ROOT / "agents")
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    body = "async def main():\n" + textwrap.indent(code, "    ")
    scope = {}
    exec(compile(body, "README.md", "exec"), scope)
    asyncio.run(scope["main"]())
    out = capsys.readouterr().out
    assert "completed" in out or "degraded" in out
    assert (tmp_path / "agentroute.db").exists()


def words_of(line):
    return re.findall(r"`agentroute ([a-z]+(?: [a-z]+)?)", line)


def test_every_command_in_the_readme_exists():
    named = {w for line in README.splitlines() for w in words_of(line)}
    assert named
    for words in named:
        first, *rest = words.split()
        known = [c for c in ALL if c[0] == first]
        assert known, words
        if rest and len(known[0]) > 1:
            assert (first, rest[0]) in ALL, words


@pytest.mark.parametrize("name", [" ".join(c) for c in ALL])
def test_every_command_says_what_it_does(name):
    assert len(ALL[tuple(name.split())].help or "") > 15


def test_every_router_is_documented():
    for name in known_routers():
        assert f"`{name}`" in README or name == "default", name


def test_every_make_target_of_the_readme_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`?make (?:-s )?([a-z]+)", README)) - {"nothing"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
