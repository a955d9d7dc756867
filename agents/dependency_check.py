"""Compares what is imported with what is declared: undeclared, unused, and not installed."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with

# Import names that share no word with the package that has them; the rest is guessed by word.
KNOWN = {
    "attr": "attrs", "bs4": "beautifulsoup4", "cv2": "opencv-python", "Crypto": "pycryptodome",
    "fitz": "pymupdf", "git": "gitpython", "github": "pygithub", "jose": "python-jose",
    "jwt": "pyjwt", "MySQLdb": "mysqlclient", "nacl": "pynacl", "OpenSSL": "pyopenssl",
    "PIL": "pillow", "pkg_resources": "setuptools", "psycopg2": "psycopg2-binary",
    "serial": "pyserial", "skimage": "scikit-image", "sklearn": "scikit-learn", "slugify":
    "python-slugify", "socks": "pysocks", "usb": "pyusb", "win32api": "pywin32", "wx": "wxpython",
    "yaml": "pyyaml", "zmq": "pyzmq", "faiss": "faiss-cpu", "dns": "dnspython", "ldap":
    "python-ldap", "magic": "python-magic", "docx": "python-docx", "pptx": "python-pptx",
    "telegram": "python-telegram-bot", "discord": "discord-py", "Levenshtein": "levenshtein",
    "umap": "umap-learn", "mpl_toolkits": "matplotlib", "flask_sqlalchemy": "flask-sqlalchemy",
}  # fmt: skip
TYPING = {"_typeshed"}  # in no package: type checkers alone know it
ROUND = re.compile(r"^(?:python-|py)|(?:-python|-py|-binary|-headless|py)$")
INDIRECT = re.compile(r"^(types-|pytest|mypy|ruff|black|flake8|sphinx|tox|coverage|build|wheel)")


def agent(call: AgentCall) -> AgentReply:
    """``data``: undeclared [{package, modules, files}], unused [name], missing [...].

    Which package has a module is known from metadata, else by its usual name, else guessed among
    the declared ones by word. ``missing`` needs an environment that could be looked into.
    """
    project = data_with(call, "declared", "own")
    known = data_with(call, "packages")
    packages, provider = known["packages"], known.get("provides", {})
    used = users(data_with(call, "imports")["imports"], set(project["own"]))
    declared: dict[str, Any] = {}
    for d in project["declared"]:  # declared twice, as a must and as an option: a must
        if not d["optional"] or canonical(d["name"]) not in declared:
            declared[canonical(d["name"])] = d
    by_package: dict[str, list[str]] = defaultdict(list)
    for module in used:
        by_package[provided(module, provider, set(declared))].append(module)
    looked = known.get("installed", True)
    missing = {p: m for p, m in by_package.items() if p not in packages and p not in declared}
    missing = missing if looked else {}
    undeclared = {p: m for p, m in by_package.items() if p not in declared and p not in missing}
    undeclared.pop(canonical(project["name"]), None)
    if project["kind"] in ("environment", "folder"):
        undeclared = {}
    unused = [d for n, d in declared.items() if n not in by_package and not d["optional"]]
    unused = [d["name"] for d in unused if not INDIRECT.match(d["name"].lower())]
    return reply(rows(undeclared, used), rows(missing, used), unused, len(by_package))


def provided(module: str, provider: dict[str, str], declared: set[str]) -> str:
    """The package that a module belongs to, in canonical form."""
    plain = canonical(module)
    known = provider.get(module) or KNOWN.get(module)
    if known in declared or plain in declared:
        return known if known in declared else plain
    near = [d for d in declared if ROUND.sub("", d) == plain or ROUND.sub("", plain) == d]
    near += [d for d in declared if KNOWN.get(module) == ROUND.sub("", d)]
    return near[0] if len(set(near)) == 1 else known or plain


def canonical(name: str) -> str:
    """A package's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def users(imports: dict[str, list[list[Any]]], own: set[str]) -> dict[str, set[str]]:
    """Third-party module -> the files that import it."""
    out: dict[str, set[str]] = defaultdict(set)
    for file, found in imports.items():
        for _, module in found:
            if module not in TYPING and module not in sys.stdlib_module_names and module not in own:
                out[module].add(file)
    return out


def rows(packages: dict[str, list[str]], used: dict[str, set[str]]) -> list[dict[str, Any]]:
    """Packages with their modules and the files that need them, the most used first."""
    out: list[dict[str, Any]] = []
    for package, modules in packages.items():
        files = sorted(set().union(*(used[m] for m in modules)))
        out.append({"package": package, "modules": sorted(modules), "files": files[:20]})
        out[-1]["n_files"] = len(files)
    return sorted(out, key=lambda r: (-r["n_files"], r["package"]))


def reply(
    undeclared: list[dict[str, Any]], missing: list[dict[str, Any]], unused: list[str], used: int
) -> AgentReply:
    """The three lists and how a report shows them."""
    figures = [
        ["packages used", used], ["undeclared", len(undeclared)], ["unused", len(unused)],
        ["not installed", len(missing)],
    ]  # fmt: skip
    blocks: list[dict[str, Any]] = [{"kind": "figures", "items": figures}]
    blocks += table("Used but not declared", undeclared)
    blocks += table("Imported but neither installed nor declared", missing)
    if unused:
        blocks.append({"kind": "notes", "title": "Declared but never imported", "items": unused})
    text = f"{len(undeclared)} undeclared, {len(unused)} unused, {len(missing)} not installed."
    data = {"undeclared": undeclared, "missing": missing, "unused": unused, "blocks": blocks}
    return AgentReply(text=text, data=data)


def table(title: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A table block, or none."""
    if not found:
        return []
    body = [[r["package"], r["modules"], r["n_files"], r["files"][:3]] for r in found[:50]]
    columns = ["package", "modules", "files", "for example"]
    return [{"kind": "table", "title": title, "columns": columns, "rows": body}]
