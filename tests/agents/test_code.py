import json
import subprocess
import sysconfig
from pathlib import Path

import pytest

from agentroute.errors import UsageError
from agentroute.toolbox.handover import locate

SITE = Path(sysconfig.get_paths()["purelib"])
PROJECTS = ["jinja2", "click", "rich"]


def audit(run, path, imports="imports_ast", **files):
    r = {"files": run("file_lister", path=str(path), **files)}
    r["project"] = run("project_reader", r)
    r["imports"] = run(imports, r)
    r["installed"] = run("installed_packages")
    r["churn"] = run("churn_git", r)
    r["dependencies"] = run("dependency_check", r)
    r["conflicts"] = run("version_conflicts", r)
    r["licences"] = run("licence_reporter", r)
    r["graph"] = run("dependency_graph", r)
    r["hotspots"] = run("hotspots", r)
    r["report"] = run("report_writer", r, title="Audit", subject=str(path), depends_on=list(r))
    return r


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "thing"
    (root / "src" / "thing").mkdir(parents=True)
    (root / "pyproject.toml").write_text(
        '[project]\nname = "thing"\ndependencies = ["numpy>=1", "rich ; python_version > \'3\'"]\n'
        '[dependency-groups]\ndev = ["pytest", {include-group = "x"}]\n'
    )
    (root / "requirements-docs.txt").write_text("# docs\n-r other.txt\njinja2==3\n")
    (root / "src" / "thing" / "a.py").write_text(
        "import os, numpy as np\nimport pydantic.fields\nfrom thing import b\n"
        "import gone_entirely\nfrom _typeshed import Incomplete\n"
    )
    (root / "src" / "thing" / "b.py").write_text("def f(x):\n    return 1 if x else 2\n")
    return root


def test_dependencies_of_a_project(run, project):
    r = audit(run, project)
    assert [d["name"] for d in r["project"].data["declared"]] == [
        "numpy", "rich", "pytest", "jinja2",
    ]  # fmt: skip
    found = r["dependencies"].data
    assert [u["package"] for u in found["undeclared"]] == ["pydantic"]
    assert [m["package"] for m in found["missing"]] == ["gone-entirely"]
    assert found["unused"] == ["rich"]
    html = Path(r["report"].artifacts[0].path).read_text()
    assert "pydantic" in html
    assert html.count("<svg") >= 2
    assert json.loads(Path(r["report"].artifacts[1].path).read_text())["missing"] == []


def test_churn_and_hotspots_from_a_repository(run, project):
    git = ["git", "-C", str(project), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for i in range(3):
        (project / "src/thing/b.py").write_text(f"def f(x):\n    return {i} if x else 2\n")
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", f"{i}"]):
            subprocess.run([*git, *command], check=True, capture_output=True)
    r = audit(run, project)
    assert r["churn"].data["churn"]["src/thing/b.py"][0] == 3
    top = r["hotspots"].data["hotspots"][0]
    assert (top["file"], top["commits"], top["complexity"], top["score"]) == (
        "src/thing/b.py", 3, 2, 6,
    )  # fmt: skip


@pytest.mark.parametrize("name", PROJECTS)
def test_real_projects(run, name):
    if not (SITE / name).is_dir():
        pytest.skip(f"{name} is not installed here")  # input we did not make; extras bring some
    r = {"files": run("file_lister", path=str(SITE / name), max_files=8)}
    r["project"] = run("project_reader", r)
    r["imports"] = run("imports_ast", r)
    r["hotspots"] = run("hotspots", r | {"churn": run("churn_git", r)})
    assert r["project"].data["kind"] == "installed"
    assert r["hotspots"].data["hotspots"]
    assert run("verify_imports", r).data["scores"][0]["score"] == 1.0
    assert r["files"].data["left_out"] > 0
    assert "left out" in r["files"].text


def test_without_python_the_environment_is_audited(run, tmp_path):
    r = audit(run, tmp_path, else_environment=True, max_files=5)
    assert r["project"].data["kind"] == "environment"
    assert len(r["installed"].data["packages"]) > 10
    with pytest.raises(UsageError, match=r"no \.py file"):
        run("file_lister", path=str(tmp_path))


def test_caps_are_even_and_said(run, tmp_path):
    for i in range(40):
        (tmp_path / f"f{i:02d}.py").write_text("x = 1\n" * 100)
    reply = run("file_lister", path=str(tmp_path), max_files=10)
    assert reply.data["files"] == [f"f{i:02d}.py" for i in range(0, 40, 4)]
    small = run("file_lister", path=str(tmp_path), max_mb=0.003)
    assert 0 < len(small.data["files"]) <= 5
    assert small.data["left_out"] == 40 - len(small.data["files"])


def test_one_large_file_leaves_out_itself_alone(run, tmp_path):
    for i in range(5):
        (tmp_path / f"m{i}.py").write_text("x = 1\n" * (i + 1))
    for name in ("a_tables.py", "z_tables.py"):
        (tmp_path / name).write_bytes(b"#" * 1_000)
        reply = run("file_lister", path=str(tmp_path), max_mb=0.0005)
        assert reply.data["files"] == [f"m{i}.py" for i in range(5)]
        assert (reply.data["left_out"], reply.data["unread"]) == (1, [name])
        assert reply.text.endswith(f"5 files; 1 ({name}) left out by the cap.")
        (tmp_path / name).unlink()


def test_the_largest_files_are_left_out_first(run, tmp_path):
    for name, size in {"a": 600, "b": 100, "c": 500, "d": 50}.items():
        (tmp_path / f"{name}.py").write_bytes(b"#" * size)
    reply = run("file_lister", path=str(tmp_path), max_mb=0.001)
    assert reply.data["files"] == ["b.py", "c.py", "d.py"]
    assert reply.data["unread"] == ["a.py"]
    alone = run("file_lister", path=str(tmp_path / "a.py"), max_mb=0.0001)
    assert (alone.data["files"], alone.data["left_out"]) == (["a.py"], 0)


def test_a_gate_blocks_on_what_was_not_read(run, tmp_path):
    (tmp_path / "small.py").write_text("x = 1\n")
    (tmp_path / "large.py").write_bytes(b"#" * 1_000)
    files = {"files": run("file_lister", path=str(tmp_path), max_mb=0.0005)}
    replies = files | {"defects": run("inspect_ast", files)}

    def blocking(**params):
        return run("findings_ranker", replies, **params).data["blocking"]

    assert (blocking(threshold="high"), blocking(threshold="never")) == (1, 0)
    assert blocking(threshold="high", allow_unread=True) == 0
    ranked = run("findings_ranker", replies, threshold="high")
    assert "files: 1 file left out by the cap: large.py" in ranked.text
    assert "allow_unread" in ranked.text
    assert (ranked.data["failed"], ranked.data["unread"]) == (0, 1)


@pytest.mark.parametrize(("agent", "n"), [("complexity_meter", 2), ("file_lister", 1)])
def test_a_gate_blocks_where_time_ran_out(run, tmp_path, agent, n):
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("x = 1\n")
    replies = {"files": run("file_lister", path=str(tmp_path))}
    if agent == "complexity_meter":
        replies["complexity"] = run(agent, replies, max_s=-1)
    else:
        replies["files"].data["in_time"] = False
    ranked = run("findings_ranker", replies, threshold="high")
    assert ranked.data["blocking"] == n
    assert "time ran out" in ranked.text


def test_odd_files_harm_nobody(run, tmp_path):
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "nul.py").write_bytes(b"x = '\x00'\n")
    (tmp_path / "latin.py").write_bytes(b"# -*- coding: latin-1 -*-\nimport os # \xe9\n")
    (tmp_path / "deep.py").write_text("x = " + "(" * 300 + "1" + ")" * 300)
    (tmp_path / "binary.py").write_bytes(bytes(range(256)))
    files = run("file_lister", path=str(tmp_path))
    inputs = {"files": files}
    for agent in ("imports_ast", "imports_regex", "inspect_ast", "inspect_lines"):
        inputs[agent] = run(agent, inputs)
    for agent in ("complexity_meter", "secret_scanner", "syntax_checker", "project_reader"):
        run(agent, {"files": files})
    assert inputs["imports_ast"].data["imports"]["latin.py"] == [[2, "os"]]
    assert len(run("verify_imports", inputs).data["scores"]) == 2
    assert len(run("verify_findings", inputs).data["scores"]) == 2


FAULTY = """
def f(a=[], *, b={}):
    try:
        return eval(a) == None
    except:
        assert (a, "no")
    subprocess.run("x", shell=True)
from os import *
"eval(x) except: == None"
"""


def test_defects_with_their_lines(run, tmp_path):
    (tmp_path / "m.py").write_text(FAULTY)
    files = {"files": run("file_lister", path=str(tmp_path))}
    found = run("inspect_ast", files)
    rows = {(f["line"], f["rule"]) for f in found.data["findings"]}
    assert rows == {
        (2, "mutable-default"), (4, "eval-call"), (4, "none-equality"), (5, "bare-except"),
        (6, "assert-tuple"), (7, "shell-true"), (8, "star-import"),
    }  # fmt: skip
    rough = run("inspect_lines", files)
    assert {f["line"] for f in rough.data["findings"]} >= {9}
    scores = run("verify_findings", files | {"fine": found, "rough": rough}).data["scores"]
    assert scores[0]["score"] == 1.0
    assert scores[1]["score"] < 0.9


def test_findings_are_ranked_and_counted(run, tmp_path):
    (tmp_path / "m.py").write_text(FAULTY)
    (tmp_path / "bad.py").write_text("def (:\n")
    (tmp_path / "key.py").write_text('api_key = "q8Zx0LmW2pRt7vKs"\npassword = "changeme123"\n')
    files = {"files": run("file_lister", path=str(tmp_path))}
    checks = ("inspect_ast", "syntax_checker", "secret_scanner", "complexity_meter")
    replies = {a: run(a, files) for a in checks}
    ranked = run("findings_ranker", replies, threshold="medium")
    rows = ranked.data["findings"]
    order = [r["severity"] for r in rows]
    assert order == sorted(order, key=["high", "medium", "low"].index)
    assert {"bad.py", "key.py", "m.py"} == {r["file"] for r in rows}
    assert ranked.data["failed"] == order.count("high") + order.count("medium")
    assert run("findings_ranker", replies, threshold="never").data["failed"] == 0
    assert "q8Zx0LmW2pRt7vKs" not in ranked.model_dump_json()
    assert sum(r["file"] == "key.py" for r in rows) == 1
    assert ranked.data["left_out"] == ["inspect_ast: 1 files do not parse and were not seen"]


def test_shipped_fixtures_are_where_they_are_looked_for():
    assert (locate("shipped:pedalworks/code/legacy") / "sync_docks.py").is_file()
