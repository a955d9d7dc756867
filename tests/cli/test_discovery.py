"""A command is one file beside the others: it is found, and stands where it says."""

import sys

from agentroute import cli
from agentroute.cli import app


def test_a_command_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "hello.py").write_text(
        "PLACE = 5\n\ndef register(app):\n    app.command('hello')(lambda: print('hi'))\n"
    )
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    found = [m.__name__.rpartition(".")[2] for m in app._commands()]
    sys.modules.pop("agentroute.cli.hello")
    assert found[0] == "hello" and "work" in found and "app" not in found
