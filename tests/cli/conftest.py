"""A folder with agents of its own, and the command line in this process."""

import pytest

from agentroute.cli.app import run

CARD = "name: {0}\ndescription: echoes the words {0}\nskills: [echo]\nentrypoint: {0}.py:agent\n"
CODE = "def agent(call):\n    return call.task.prompt.upper()\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder with two echo agents of its own, and a graph."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents").mkdir()
    (tmp_path / "graphs").mkdir()
    for name in ("one", "two"):
        (tmp_path / "agents" / f"{name}.yaml").write_text(CARD.format(name))
        (tmp_path / "agents" / f"{name}.py").write_text(CODE)
    (tmp_path / "graphs" / "shout.yaml").write_text(
        "name: shout\ninputs: {text: {type: str, default: hello}}\n"
        "tasks: [{id: a, prompt: '${inputs.text}', skills: [echo]}]\n"
    )
    return tmp_path


@pytest.fixture
def cli(capsys):
    def call(*argv, code=0):
        got = run([str(a) for a in argv])
        out = capsys.readouterr()
        assert code is None or got == code, out.err or out.out
        return out

    return call
