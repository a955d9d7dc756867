"""What a Python project declares that it needs, in every file that people use for it.

pyproject (PEP 621, dependency groups, Poetry, PDM, uv, Hatch, setuptools' dynamic files),
requirements files with what they include, setup.cfg, setup.py (its syntax tree, never run),
Pipfile, and script blocks (PEP 723). What is there and cannot be read is said in a note.
"""

from __future__ import annotations

import ast
import codecs
import configparser
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

MAX_FILE = 1_000_000
_ABSENT = "it is not there"
_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?=$|[\[(<>=!~;@,\s])")
_EGG = re.compile(r"[#&]egg=([A-Za-z0-9._-]+)")
_BUILT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._]*)-\d[^/]*\.(?:whl|tar\.gz|zip)(?:[#?]|$)")
_SCRIPT = re.compile(r"^# /// script\s*$\n((?:^#(?: .*)?$\n?)+?)^# ///\s*$", re.MULTILINE)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")
)  # fmt: skip


class Declared(NamedTuple):
    """One declaration: the package's name, the words of the file, the file, and if it is a must."""

    name: str
    spec: str
    source: str
    optional: bool = False


def declarations(root: Path, scripts: Iterable[str] = ()) -> tuple[list[Declared], list[str]]:
    """What the project in ``root`` declares, and notes on what could not be read.

    ``scripts`` are files (relative) whose script blocks count too. Nothing is executed, and no
    file outside ``root`` is opened.
    """
    reader = _Reader(root)
    found = [
        *_pyproject(reader), *_requirements(reader), *_setup_cfg(reader), *_setup_py(reader),
        *_pipfile(reader), *_scripts(reader, scripts),
    ]  # fmt: skip
    for name in ("environment.yml", "environment.yaml", "meta.yaml", "conda.yaml"):
        if (root / name).is_file():
            reader.notes.append(f"{name} was not read: conda's names are not those of the index")
    return list(dict.fromkeys(found)), list(dict.fromkeys(reader.notes))


def project_name(root: Path) -> str:
    """The name that the project gives itself, else the folder's."""
    table = _Reader(root).toml("pyproject.toml")
    for *path, last in (("project", "name"), ("tool", "poetry", "name")):
        name = _at(table, *path).get(last)
        if isinstance(name, str) and name:
            return name
    return root.name


def package_of(line: str) -> str | None:
    """The package that a requirement names; None where it names none (an option, a bare URL)."""
    line = re.split(r"(?:^|\s)#", line.strip(), maxsplit=1)[0].strip()
    if "://" in line.partition("@")[0] or line.startswith((".", "/")):
        named = _EGG.search(line) or _BUILT.search(line.rpartition("/")[2])
        return named[1] if named else None
    found = _NAME.match(line)
    return found[1] if found else None


class _Reader:
    """Reads text files below one folder, and notes what is wrong with them."""

    def __init__(self, root: Path) -> None:
        self.root, self.notes = root.resolve(), list[str]()

    def text(self, name: str, *, named: bool = False) -> str:
        """A file's text in whatever encoding it was saved; '' where there is none.

        ``named``: another file names it, so that it is missed where it is not there.
        """
        path = (self.root / name).resolve()
        try:
            fault = self._fault(path)
            if fault:
                if named or fault != _ABSENT:
                    self.notes.append(f"{name} was not read: {fault}")
                return ""
            raw = path.read_bytes()
            code = next((code for bom, code in _BOMS if raw.startswith(bom)), "utf-8")
            return raw.decode(code)
        except UnicodeDecodeError:
            return raw.decode("latin-1")
        except OSError as e:
            self.notes.append(f"{name} cannot be read: {e.strerror}")
            return ""

    def _fault(self, path: Path) -> str:
        if not path.is_relative_to(self.root):
            return "it is outside the project"
        if not path.is_file():
            return _ABSENT
        return "it is over a megabyte" if path.stat().st_size > MAX_FILE else ""

    def toml(self, name: str) -> dict[str, Any]:
        """A file as TOML; nothing and a note where it is broken."""
        try:
            return tomllib.loads(self.text(name))
        except (ValueError, RecursionError) as e:
            self.notes.append(f"{name} cannot be read: {' '.join(str(e).split())}")
            return {}

    def listed(self, specs: Any, source: str, where: str, optional: bool) -> Iterator[Declared]:
        """The requirements of a list; a note where it is no list of texts."""
        if specs is not None and not isinstance(specs, list):
            self.notes.append(f"{source}: {where} is not a list, and was not read")
            return
        for spec in specs or ():
            if isinstance(spec, str) and (name := package_of(spec)):
                yield Declared(name, spec.strip(), source, optional)

    def keyed(self, table: Any, source: str, optional: bool) -> Iterator[Declared]:
        """Poetry's and Pipenv's form: a table from names to versions."""
        for name, spec in table.items() if isinstance(table, Mapping) else ():
            if name == "python" or not package_of(name):
                continue
            extra = isinstance(spec, Mapping) and spec.get("optional") is True
            version = spec.get("version", "") if isinstance(spec, Mapping) else spec
            yield Declared(name, f"{name} {version}".strip(), source, optional or extra)


def _at(table: Any, *path: str) -> dict[str, Any]:
    """The table at a path; an empty one where something else stands there."""
    for key in path:
        table = table.get(key) if isinstance(table, Mapping) else None
    return table if isinstance(table, dict) else {}


def _pyproject(reader: _Reader) -> Iterator[Declared]:
    table = reader.toml("pyproject.toml")
    project, tool = _at(table, "project"), _at(table, "tool")
    build = _at(table, "build-system").get("requires")
    yield from reader.listed(
        project.get("dependencies"), "pyproject", "project.dependencies", False
    )
    groups = {
        **_at(project, "optional-dependencies"), **_at(table, "dependency-groups"),
        **_at(tool, "pdm", "dev-dependencies"), "uv": _at(tool, "uv").get("dev-dependencies"),
        "build-system": build,
    }  # fmt: skip
    for env in _at(tool, "hatch", "envs").values():
        groups |= {f"hatch {k}": _at(env).get(k) for k in ("dependencies", "extra-dependencies")}
    for name, group in groups.items():
        yield from reader.listed(group, "pyproject", f"the group {name}", True)
    poetry = _at(tool, "poetry")
    yield from reader.keyed(poetry.get("dependencies"), "poetry", False)
    dev = [poetry.get("dev-dependencies"), *(_at(poetry, "group", g).get("dependencies")
                                             for g in _at(poetry, "group"))]  # fmt: skip
    for group in dev:
        yield from reader.keyed(group, "poetry", True)
    yield from _dynamic(reader, project.get("dynamic"), _at(tool, "setuptools", "dynamic"))


def _dynamic(reader: _Reader, dynamic: Any, table: dict[str, Any]) -> Iterator[Declared]:
    """What setuptools reads from files."""
    wanted = dynamic if isinstance(dynamic, list) else []
    needed = table.get("dependencies")
    for optional, part in ((False, needed), *((True, p) for p in
                           _at(table, "optional-dependencies").values())):  # fmt: skip
        files = part.get("file") if isinstance(part, Mapping) else None
        for name in [files] if isinstance(files, str) else files or ():
            yield from _requirements_file(reader, str(name), optional, set())
    computed = not needed and not (reader.root / "setup.py").is_file()
    if "dependencies" in wanted and computed and not (reader.root / "setup.cfg").is_file():
        reader.notes.append("pyproject.toml computes its dependencies: they were not read")


def _requirements(reader: _Reader) -> Iterator[Declared]:
    seen: set[str] = set()
    places = ("requirements*.txt", "requirements*.in", "requirements/*.txt", "requirements/*.in")
    names = sorted({p.relative_to(reader.root).as_posix() for g in places
                    for p in reader.root.glob(g)})  # fmt: skip
    for name in sorted(names, key=lambda n: n != "requirements.txt"):  # what it includes is needed
        needed = name in ("requirements.txt", "requirements.in")
        yield from _requirements_file(reader, name, not needed, seen)


def _requirements_file(
    reader: _Reader, name: str, optional: bool, seen: set[str]
) -> Iterator[Declared]:
    """A requirements file and those that it includes, each once."""
    path = Path(name).as_posix()
    if path in seen:
        return
    seen.add(path)
    unnamed = []
    for line in (
        reader.text(path, named=True).replace("\\\r\n", " ").replace("\\\n", " ").splitlines()
    ):
        line = line.strip()
        option, _, rest = line.replace("=", " ", 1).partition(" ")
        if option in ("-r", "--requirement") or line.startswith("-r"):
            inside = rest.strip() or line[2:].strip()
            yield from _requirements_file(
                reader, (Path(path).parent / inside).as_posix(), optional, seen
            )
        elif option in ("-e", "--editable"):
            if found := package_of(line.partition(" ")[2] or rest):
                yield Declared(found, line, path, optional)
        elif line and not line.startswith(("#", "-")):
            if found := package_of(line):
                spec = line.split(";")[0].split(" #")[0].split(" --")[0].strip()
                yield Declared(found, spec, path, optional)
            else:
                unnamed.append(line)
    if unnamed:
        shown = ", ".join(unnamed[:3])
        reader.notes.append(f"{path}: {len(unnamed)} lines name no package: {shown[:200]}")


def _setup_cfg(reader: _Reader) -> Iterator[Declared]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(reader.text("setup.cfg"))
    except configparser.Error as e:
        reader.notes.append(f"setup.cfg cannot be read: {' '.join(str(e).split())[:200]}")
        return
    parts = [(False, parser.get("options", "install_requires", fallback=""))]
    parts += [(True, parser.get("options", k, fallback="")) for k in
              ("setup_requires", "tests_require")]  # fmt: skip
    if parser.has_section("options.extras_require"):
        parts += [(True, v) for v in dict(parser.items("options.extras_require")).values()]
    for optional, value in parts:
        if value.strip().startswith("file:"):
            for name in value.strip().removeprefix("file:").split(","):
                yield from _requirements_file(reader, name.strip(), optional, set())
            continue
        yield from reader.listed(
            [v for v in re.split(r"[\n]", value) if v.strip()], "setup.cfg", "", optional
        )


def _setup_py(reader: _Reader) -> Iterator[Declared]:
    """``install_requires`` and its like, where they are written out or a name of the module."""
    text = reader.text("setup.py")
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        reader.notes.append("setup.py does not parse, and was not read")
        return
    known = {
        t.id: n.value for n in tree.body if isinstance(n, ast.Assign)
        for t in n.targets if isinstance(t, ast.Name)
    }  # fmt: skip
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    for call in (c for c in calls if ast.unparse(c.func).rpartition(".")[2] == "setup"):
        yield Declared("setuptools", "setuptools", "setup.py", True)
        for k in call.keywords:
            if k.arg not in ("install_requires", "extras_require", "tests_require",
                             "setup_requires"):  # fmt: skip
                continue
            try:
                value = _literal(k.value, known)
            except RecursionError:
                value = None
            if value is None:
                reader.notes.append(f"setup.py computes {k.arg}: it was not read")
                continue
            lists = value.values() if isinstance(value, dict) else [value]
            for specs in lists:
                specs = specs.splitlines() if isinstance(specs, str) else list(specs or ())
                yield from reader.listed(specs, "setup.py", k.arg, k.arg != "install_requires")


def _literal(node: ast.expr, known: Mapping[str, ast.expr]) -> Any:
    """A value that is written out, with names of the module put in; None where it is computed."""
    if isinstance(node, ast.Name) and node.id in known:
        node = known[node.id]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _literal(node.left, known), _literal(node.right, known)
        both = isinstance(left, list) and isinstance(right, list)
        return [*left, *right] if both else None
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return None
    return list(value) if isinstance(value, (tuple, set)) else value


def _pipfile(reader: _Reader) -> Iterator[Declared]:
    table = reader.toml("Pipfile")
    yield from reader.keyed(table.get("packages"), "Pipfile", False)
    yield from reader.keyed(table.get("dev-packages"), "Pipfile", True)


def _scripts(reader: _Reader, names: Iterable[str]) -> Iterator[Declared]:
    for name in names:
        if "# /// script" not in (text := reader.text(name)) or not (m := _SCRIPT.search(text)):
            continue
        body = "\n".join(line[2:] for line in m[1].splitlines())
        try:
            specs = tomllib.loads(body).get("dependencies")
        except ValueError:
            reader.notes.append(f"{name}: its script block is not TOML")
            continue
        yield from reader.listed(specs, name, "dependencies", True)
