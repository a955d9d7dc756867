"""Tokens, passages and charts: what verifiers and reports stand on."""

import dis
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentroute.errors import UsageError
from agentroute.toolbox.charts import draw, number
from agentroute.toolbox.handover import locate
from agentroute.toolbox.lexer import imported, statements, tokens
from agentroute.toolbox.passages import document_files, passages_of, read, sentences, split, terms

SOURCE = '''
"""import not_this"""
import a, b.c as d; import e
from f.g import (h,
    i)
from . import j
if True: import k
try: import l
except ImportError: pass
x = "import m"  # import n
print "still", read
import o as p, \\
    q
'''


def test_imports_by_tokens():
    names = {name for _, name in imported(SOURCE)}
    assert names == {"a", "b", "e", "f", "k", "l", "o", "q"}


def test_tokens_agree_with_bytecode_on_this_project():
    for path in sorted(Path(dis.__file__).parent.glob("[a-b]*.py")):
        text = path.read_text(encoding="utf-8")
        code = compile(text, path.name, "exec")
        top = {
            i.argval.split(".")[0] for i in dis.get_instructions(code) if i.opname == "IMPORT_NAME"
        }
        assert top <= {name for _, name in imported(text)} | {"__future__", ""}, path.name


@given(st.text(alphabet="ab()[]'\"\\\n#:=;, ", max_size=120))
def test_any_text_has_tokens(text):
    assert all(t.depth >= 0 and t.line >= 1 for t in tokens(text))
    assert all(statements(text))


TECHNICAL = """# Tool

[![build](https://x.org/b.svg)](https://x.org) ![stars](https://x.org/s.svg)

<!-- This comment is long enough to look like a sentence of its own. -->
The tool reads a table and writes a report.

**Getting started**

```python
import tool  # This line is long enough to look like a sentence of its own.

tool.run("a table that is long enough to look like a sentence")
```

    $ tool --help  shows a long enough line of options that are code

| option | what it does when it is given to the tool |
|---|---|

~~~
# not a heading
~~~

Last words of the text."""


def test_code_badges_titles_and_tables_are_no_prose():
    found = list(split("f", TECHNICAL))
    prose = [p.text for p in found if p.prose]
    assert prose == ["The tool reads a table and writes a report.", "Last words of the text."]
    assert {p.heading for p in found} == {"Tool"}
    code = next(p for p in found if "import tool" in p.text)
    assert (code.line, code.prose) == (10, False)
    assert [p.line for p in found if p.prose] == [6, 25]


def test_passages_know_their_place():
    text = "# One\n\nFirst line.\nGoes on.\n\n- item\n- other\n\nTwo\n===\n\nLast."
    rows = [(p.line, p.heading, p.text) for p in split("f", text)]
    assert rows == [
        (3, "One", "First line. Goes on."),
        (6, "One", "- item"),
        (7, "One", "- other"),
        (12, "Two", "Last."),
    ]


def test_documents_in_any_encoding(tmp_path):
    (tmp_path / "a.txt").write_bytes("Äpfel".encode("utf-16"))
    (tmp_path / "b.md").write_bytes(b"caf\xe9")
    (tmp_path / "c.txt").write_bytes(b"\x00\x01" * 100)
    (tmp_path / "d.html").write_text("<style>no</style><p>yes &amp; no</p><script>x</script>")
    (tmp_path / "e.txt").write_text("")
    files, left = document_files(tmp_path)
    assert (files, left) == (["a.txt", "b.md", "c.txt", "d.html", "e.txt"], 0)
    texts = [p.text for p in passages_of(tmp_path, files)]
    assert texts == ["Äpfel", "café", "yes & no"]
    assert read(tmp_path / "c.txt") == ""


def test_terms_keep_identifiers_whole_and_in_parts():
    assert terms("What is MAX_RETRY-2?") == ["max_retry-2", "max", "retry"]
    assert sentences("It is 3.5 m. Then? Yes.") == ["It is 3.5 m.", "Then?", "Yes."]


CHARTS = [
    {"kind": "bars", "title": "<b>", "items": [["<i>", 1], ["x", -2.5]]},
    {"kind": "bars", "title": "empty", "items": []},
    {"kind": "histogram", "title": "h", "edges": [0, 1, 2], "counts": [3, 0]},
    {"kind": "heat", "title": "m", "rows": ["a"], "columns": ["b", "c"], "values": [[0.5, None]]},
    {"kind": "network", "title": "n", "nodes": ["a", "&"], "edges": [["a", "&"]], "marks": ["a"]},
    {"kind": "points", "title": "p", "points": [[1, 2, "<x>"]], "x": "<", "y": "&"},
]


@pytest.mark.parametrize("chart", CHARTS, ids=lambda c: c["kind"])
def test_charts_are_well_formed_and_escaped(chart):
    svg = str(draw(chart))
    root = ET.fromstring(svg)
    assert root.tag.endswith("svg")
    assert root.attrib["aria-label"] == chart["title"]
    assert not {e.tag.rpartition("}")[2] for e in root.iter()} & {"b", "i", "x", "script"}


def test_an_unknown_chart_is_refused():
    with pytest.raises(UsageError, match="unknown chart"):
        draw({"kind": "pie"})


@pytest.mark.parametrize(
    ("x", "text"), [(1234567, "1,234,567"), (0.12345, "0.1235"), (None, "–"), (12345.6, "12,346")]
)
def test_numbers_for_people(x, text):
    assert number(x) == text


def test_a_path_that_is_not_there():
    with pytest.raises(UsageError, match="there is no table"):
        locate("nowhere.csv", "table")
