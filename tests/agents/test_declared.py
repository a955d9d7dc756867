"""What a project declares and what is installed for it: by the command line, on small projects."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from agentroute.cli.app import app
from agentroute.errors import UsageError
from agentroute.toolbox.declared import declarations, package_of

APP = "import requests\nimport click\nimport yaml\n"
THREE = "requests\nclick\nPyYAML\n"


def project(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def names(root, scripts=()):
    found, notes = declarations(root, scripts)
    return [d.name for d in found if not d.optional], [d.name for d in found if d.optional], notes


SETUP = """
import setuptools
NEEDED = ["requests>=2", "click"]
setuptools.setup(name="demo", install_requires=NEEDED + ["PyYAML"], extras_require={"t": ["tox"]})
"""
DYNAMIC = """
[project]
name = "demo"
dynamic = ["version", "dependencies"]
[tool.setuptools.dynamic]
dependencies = {file = ["deps/base.in"]}
"""
POETRY = """
[tool.poetry.dependencies]
python = "^3.11"
requests = "^2"
click = {version = "8", optional = false}
PyYAML = "*"
tox = {version = "4", optional = true}
[tool.poetry.dev-dependencies]
pytest = "*"
"""
PIPFILE = '[packages]\nrequests = "*"\nclick = "*"\nPyYAML = "*"\n[dev-packages]\ntox = "*"\n'
CFG = "[options]\ninstall_requires =\n  requests\n  click\n  PyYAML\n"


@pytest.mark.parametrize(
    "files",
    [
        {"requirements.txt": THREE.encode("utf-16")},
        {"requirements.txt": b"\xff\xfe" + THREE.encode("utf-16-le")},
        {"requirements.txt": b"\xef\xbb\xbf" + THREE.encode()},
        {"requirements.txt": "# caf\xe9\n".encode("latin-1") + THREE.encode()},
        {"requirements.txt": "-r deps/base.txt\n", "deps/base.txt": "-r more.txt\nclick\nPyYAML\n",
         "deps/more.txt": "requests ; python_version > '3'\n-r base.txt\n"},
        {"requirements.txt": "requests==2.31 \\\n  --hash=sha256:ab\nclick[x] @ https://h/c.whl\n"
         "PyYAML~=6 # why\n--index-url https://i.example\n"},
        {"requirements/base.txt": "", "pyproject.toml":
         '[project]\nname = "x"\ndependencies = ["requests", "click", "PyYAML"]\n'},
        {"pyproject.toml": DYNAMIC, "deps/base.in": THREE},
        {"pyproject.toml": POETRY}, {"Pipfile": PIPFILE}, {"setup.py": SETUP}, {"setup.cfg": CFG},
        {"setup.cfg": "[options]\ninstall_requires = file: deps.txt\n", "deps.txt": THREE},
    ],
    ids=["utf-16", "utf-16-le", "bom", "latin-1", "included", "options", "pep-621", "dynamic",
         "poetry", "pipfile", "setup.py", "setup.cfg", "setup.cfg-file"],
)  # fmt: skip
def test_every_place_that_declares_is_read(tmp_path, files):
    needed, _, notes = names(project(tmp_path, files))
    assert (sorted(needed, key=str.lower), notes) == (["click", "PyYAML", "requests"], [])


def test_what_only_development_needs_is_optional(tmp_path):
    project(tmp_path, {
        "pyproject.toml": '[project]\nname = "x"\noptional-dependencies = {a = ["a1"]}\n'
        '[dependency-groups]\ndev = ["d1", {include-group = "a"}]\n'
        '[build-system]\nrequires = ["hatchling"]\n'
        '[tool.uv]\ndev-dependencies = ["u1"]\n[tool.pdm.dev-dependencies]\nt = ["p1"]\n'
        '[tool.hatch.envs.docs]\ndependencies = ["h1"]\n',
        "script.py": "# /// script\n# dependencies = [\n#   's1>=2',\n# ]\n# ///\nimport s1\n",
    })  # fmt: skip
    needed, optional, notes = names(tmp_path, ["script.py"])
    assert (needed, notes) == ([], [])
    assert sorted(optional) == ["a1", "d1", "h1", "hatchling", "p1", "s1", "u1"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("git+https://git.example/acme/tool.git@v1#egg=tool", "tool"),
        ("https://files.example/other-1.0-py3-none-any.whl", "other"),
        ("tool @ git+https://git.example/acme/tool.git", "tool"),
        ("https://git.example/acme", None), ("./local", None), ("--pre", None), ("", None),
        ("# requests", None), ("a.b_c-d[x,y]>=1,<2 ; x == 'y'", "a.b_c-d"), ("0x0 words", "0x0"),
    ],
)  # fmt: skip
def test_the_package_that_a_line_names(line, name):
    assert package_of(line) == name


@pytest.mark.parametrize(
    ("files", "note"),
    [
        ({"pyproject.toml": '[project]\ndependencies = "requests"\n'}, "is not a list"),
        ({"pyproject.toml": 'tool = "x"\n[project]\nname = 3\n'}, ""),
        ({"pyproject.toml": "[project\n"}, "cannot be read"),
        ({"pyproject.toml": '[project]\ndynamic = ["dependencies"]\n'}, "computes"),
        ({"setup.py": "from setuptools import setup\nsetup(install_requires=open('x').read())"},
         "computes install_requires"),
        ({"setup.py": "print 'two'"}, "does not parse"),
        ({"setup.cfg": "no section\n"}, "setup.cfg cannot be read"),
        ({"environment.yml": "dependencies: [numpy]"}, "environment.yml was not read"),
        ({"requirements.txt": "https://git.example/acme\n"}, "1 lines name no package"),
        ({"requirements.txt": "-r ../../outside.txt\n"}, "outside the project"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_said(tmp_path, files, note):
    needed, _, notes = names(project(tmp_path, files))
    assert needed == [] and note in " ".join(notes) and bool(notes) == bool(note)


def audited(root, tmp_path, *more):
    """The whole graph, by the command line."""
    done = CliRunner().invoke(app, [
        "run", "audit_project", "-i", f"path={root}", *more, "--json",
        "--db", f"sqlite:///{tmp_path}/a.db", "--out", str(tmp_path / "out"),
    ])  # fmt: skip
    return json.loads(done.stdout)["replies"]


def steps(run, root, **params):
    """The graph's steps that this page is about, one after the other."""
    r = {"files": run("file_lister", path=str(root))}
    r["project"] = run("project_reader", r)
    r["imports"] = run("imports_ast", r)
    r["installed"] = run("installed_packages", r, **params)
    r["dependencies"] = run("dependency_check", r)
    r["conflicts"] = run("version_conflicts", r)
    return r | {"licences": run("licence_reporter", r)}


def environment(root, **packages):
    """A virtual environment as far as it is looked into: metadata in its site-packages."""
    site = root / ".venv" / "lib" / "python3.12" / "site-packages"
    for name, (version, modules, more) in packages.items():
        project(site / f"{name}-{version}.dist-info", {
            "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}",
            "top_level.txt": modules,
        })  # fmt: skip


def test_an_audit_reads_files_as_pip_does(tmp_path):
    root = project(tmp_path / "p", {"requirements.txt": THREE.encode("utf-16"), "app.py": APP})
    replies = audited(root, tmp_path)
    assert [d["name"] for d in replies["project"]["data"]["declared"]] == THREE.split()
    assert replies["dependencies"]["text"] == "0 undeclared, 0 unused, 0 not installed."


def test_an_import_name_is_matched_with_the_package_that_was_declared(run, tmp_path):
    """python-dotenv gives dotenv, also where it is installed nowhere here."""
    pairs = {"python-dotenv": "dotenv", "PyYAML": "yaml", "opencv-python-headless": "cv2",
             "scikit-learn": "sklearn", "Pillow": "PIL", "psycopg2-binary": "psycopg2",
             "beautifulsoup4": "bs4", "python-dateutil": "dateutil", "PyJWT": "jwt"}  # fmt: skip
    lines = "".join(f"import {m}\n" for m in pairs.values()) + "import undeclared_thing\n"
    root = project(tmp_path / "p", {"requirements.txt": "\n".join(pairs), "app.py": lines})
    data = steps(run, root)["dependencies"].data
    assert [u["package"] for u in data["undeclared"]] == ["undeclared-thing"]
    assert (data["unused"], data["missing"]) == ([], [])


PROSE = '"""Loads what is needed\nfrom the file, or\nimport a name\nfrom here.\n"""\nimport click\n'


@pytest.mark.parametrize("agent", ["imports_ast", "imports_regex"])
def test_prose_is_no_import(run, tmp_path, agent):
    root = project(tmp_path / "p", {"app.py": PROSE})
    r = {"files": run("file_lister", path=str(root))}
    assert run(agent, r).data["imports"] == {"app.py": [[6, "click"]]}


def test_what_is_an_import_is_still_found_line_by_line(run, tmp_path):
    lines = "import a|import b.c as d|import e, f|from g.h import (|    i,|)|    import j  # why"
    lines = f"{lines}|import k; x = 1|from . import l|from m import n".split("|")
    root = project(tmp_path / "p", {"app.py": "\n".join(lines)})
    r = {"files": run("file_lister", path=str(root))}
    found = run("imports_regex", r).data["imports"]["app.py"]
    assert found == [[1, "a"], [2, "b"], [3, "e"], [4, "g"], [7, "j"], [8, "k"], [10, "m"]]


def test_an_invented_package_costs_more_than_its_line(run, tmp_path):
    files = {f"m{i:02d}.py": "import os\nimport click\nimport json\n" for i in range(60)}
    root = project(tmp_path / "p", files | {"m33.py": "import os\n"})
    r = {"files": run("file_lister", path=str(root))}
    r["imports"] = run("imports_ast", r)
    assert run("verify_imports", r).data["scores"][0]["score"] == 1.0
    r["imports"].data["imports"]["m33.py"].append([9, "the"])
    assert run("verify_imports", r).data["scores"][0]["score"] == pytest.approx(2 / 3)


def test_versions_and_licences_are_those_of_the_projects_environment(run, tmp_path):
    root = project(tmp_path / "p", {"requirements.txt": "alpha\nbeta\n", "app.py": "import alp\n"})
    environment(
        root,
        alpha=("1.0", "alp", "License-Expression: MIT\nRequires-Dist: beta>=2\n"),
        beta=("1.5", "beta", "License-Expression: GPL-3.0-only\n"),
    )
    r = steps(run, root)
    assert sorted(r["installed"].data["packages"]) == ["alpha", "beta"]
    assert r["installed"].text == "2 packages in .venv."
    assert [x["family"] for x in r["licences"].data["licences"]] == ["copyleft", "permissive"]
    conflicts = r["conflicts"].data["conflicts"]
    assert conflicts == [{"package": "alpha", "needs": "beta>=2", "found": "1.5"}]
    assert r["dependencies"].data["unused"] == ["beta"]
    assert r["dependencies"].data["undeclared"] == []


UV = """
[[package]]
name = "alpha"
version = "1.0"
dependencies = [{ name = "beta" }]
[[package]]
name = "beta"
version = "2.0"
"""
POETRY_LOCK = UV.replace('dependencies = [{ name = "beta" }]', "dependencies = {beta = '>=1'}")
PIPENV = '{"default": {"alpha": {"version": "==1.0"}}, "develop": {"beta": {"version": "==2"}}}'


@pytest.mark.parametrize(
    ("name", "text"),
    [("uv.lock", UV), ("poetry.lock", POETRY_LOCK), ("Pipfile.lock", PIPENV)],
)
def test_a_lock_file_says_which_versions(run, tmp_path, name, text):
    root = project(tmp_path / "p", {name: text, "app.py": "import alpha\n"})
    r = steps(run, root)
    assert r["installed"].text == f"2 packages in {name}."
    assert r["installed"].data["packages"]["alpha"]["version"] == "1.0"
    assert "not checked" in r["licences"].text


def test_where_nothing_is_known_that_is_said_and_ours_is_not_shown(tmp_path):
    root = project(tmp_path / "p", {"requirements.txt": THREE, "app.py": APP})
    r = audited(root, tmp_path)
    assert r["installed"]["data"]["packages"] == {}
    for part in ("conflicts", "licences"):
        assert r[part]["text"].startswith("not checked"), part
    report = next((tmp_path / "out").rglob("*.html")).read_text()
    assert "no environment of the project" in report and "pydantic" not in report


def test_the_running_environment_is_read_where_it_is_asked_for(run, tmp_path):
    root = project(tmp_path / "p", {"requirements.txt": THREE, "app.py": APP})
    r = steps(run, root, environment="running")
    assert "pydantic" in r["installed"].data["packages"]
    assert "in the running environment" in r["installed"].text
    with pytest.raises(UsageError, match="holds no environment"):
        steps(run, root, environment=str(tmp_path / "nowhere"))


@pytest.mark.slow
def test_a_true_virtual_environment_is_found(run, tmp_path):
    root = project(tmp_path / "p", {"requirements.txt": THREE, "app.py": APP})
    subprocess.run([sys.executable, "-m", "venv", str(root / ".venv")], check=True)
    assert "pip" in steps(run, root)["installed"].data["packages"]
