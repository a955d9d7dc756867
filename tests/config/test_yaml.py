"""The only way in for YAML: caps, plain data, line numbers."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from agentroute.config.yaml import load_yaml, parse_yaml, validate
from agentroute.errors import AgentRouteError, ConfigError

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text("abc xyz", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text("klm", min_size=1), plain, max_size=4))
def test_json_reads_as_itself(value):
    import json

    assert (parse_yaml(json.dumps(value)).data or {}) == value


def test_scalars_are_yaml_1_2():
    text = "a: NO\nb: 12:30:45\nc: 0x1f\nd: 1.5e3\ne: 2020-01-01\nf: true\ng: ~\nh: 0o17\n"
    data = parse_yaml(text).data
    assert data == {
        "a": "NO", "b": "12:30:45", "c": 31, "d": 1500.0, "e": "2020-01-01", "f": True, "g": None,
        "h": 15,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\na: 2", "given twice"),
        ("a: &x 1\nb: *x", "anchors"),
        ("a: !!python/object:os.system x", "tags"),
        ("a: [1", "not valid YAML"),
        ("\t a: b", "not valid YAML"),
        ("a: .inf", "not a number"),
        ("a: 1\n---\nb: 2", "more than one document"),
        ("? [1, 2]\n: 3", "key must be plain"),
        ("[" * 5000, "nests deeper"),
    ],
)
def test_refused_in_one_line(text, says):
    start = time.perf_counter()
    with pytest.raises(ConfigError, match=says) as e:
        parse_yaml(text, "f.yaml")
    assert "\n" not in str(e.value)
    assert e.value.line is not None
    assert time.perf_counter() - start < 2


@given(st.text(max_size=200))
def test_any_text_is_accepted_or_refused_with_a_type(text):
    error = None
    try:
        parse_yaml(text)
    except AgentRouteError as e:
        error = str(e)
    assert error is None or "\n" not in error


def test_a_field_knows_its_line(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("a: 1\nb:\n  - {c: 2}\n  - d\n")
    doc = load_yaml(file)
    assert doc.line(("b", 0, "c")) == 3
    assert doc.line(("b", 1, "nowhere")) == 4
    assert doc.line("a") == 1


def test_large_and_missing_and_binary_files(tmp_path):
    big = tmp_path / "big.yaml"
    big.write_text("a: " + "x" * 300_000)
    with pytest.raises(ConfigError, match="larger than 256 KiB"):
        load_yaml(big)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="not UTF-8"):
        parse_yaml(b"a: \xff\xfe")


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    timeout_s: float = 1.0


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    limits: Inner = Inner()


def test_unknown_and_missing_keys_name_line_and_near_word():
    with pytest.raises(ConfigError) as e:
        validate(Outer, parse_yaml("name: x\nlimits:\n  timeouts: 3\n", "c.yaml"))
    assert str(e.value).startswith("c.yaml:3: limits.timeouts")
    assert "timeout_s" in e.value.hint
    with pytest.raises(ConfigError, match="name"):
        validate(Outer, parse_yaml("limits: {}\n", "c.yaml"))
    with pytest.raises(ConfigError, match="mapping"):
        validate(Outer, parse_yaml("- 1", "c.yaml"))
