"""``inspect``: served to this machine, under its link, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentroute.cli.app import app
from agentroute.errors import LedgerError, MissingExtraError, UsageError
from agentroute.ledger import Ledger


@pytest.fixture
def url(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    Ledger.open(url).close()
    return url


def test_it_serves_its_link_until_it_is_stopped(url, tmp_path):
    pytest.importorskip("uvicorn", reason="the extra web is not installed")
    home = str(Path(__file__).resolve().parents[2])
    env = {**os.environ, "PYTHONPATH": home}
    command = [sys.executable, "-m", "agentroute", "inspect", "--db", url, "--no-open"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=tmp_path
    ) as served:
        try:
            link = served.stdout.readline().strip()
            base, _, token = link.partition("/?token=")
            assert base.startswith("http://127.0.0.1:") and len(token) >= 32
            look = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
            assert b"no run is in the ledger yet" in look.open(link, timeout=20).read()
            assert look.open(f"{base}/ledger", timeout=20).status == 200
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(base, timeout=20)
            served.send_signal(signal.SIGINT)
            assert served.wait(20) == 0
            assert served.stderr.read() == ""
        finally:
            served.kill()


def run(*args):
    done = CliRunner().invoke(app, ["inspect", "--no-open", *args])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_what_is_missing_is_said_in_one_line(url, tmp_path, monkeypatch):
    with pytest.raises(LedgerError, match="there is no ledger"):
        run("--db", f"sqlite:///{tmp_path}/none.db")
    for module in ("uvicorn", "starlette"):
        with monkeypatch.context() as m:
            m.setitem(sys.modules, module, None)
            for name in [n for n in sys.modules if n.startswith("agentroute.inspector.web")]:
                m.delitem(sys.modules, name)
            for name in [n for n in sys.modules if n.startswith("starlette.")]:
                m.delitem(sys.modules, name)
            with pytest.raises(MissingExtraError, match="extra 'web'"):
                run("--db", url)


def test_a_port_that_is_taken_is_said(url):
    pytest.importorskip("uvicorn", reason="the extra web is not installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="port"):
            run("--db", url, "--port", str(taken.getsockname()[1]))
    assert run("--db", url, "--port", "70000").exit_code == 2
