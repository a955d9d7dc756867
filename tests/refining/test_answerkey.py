"""Answers of one kind that say the same are one class."""

import pytest

from agentroute.refining.agreement import modal_share, sigma
from agentroute.refining.answerkey import answer_key

F = "def total(xs):\n    s = 0\n    for x in xs:\n        s += x\n    return s\n"
G = (
    "def total(values):\n    '''Adds.'''\n    out = 0  # start\n"
    "    for v in values:\n        out += v\n    return out\n"
)


@pytest.mark.checklist("AC3")
@pytest.mark.parametrize(
    "same",
    [
        ("42", "42.0", "The answer is 42", "The answer is 42.", "Some steps.\nAnswer: **42**"),
        ("B", "(B)", "b) is wrong.\nThe answer is (B).", "Answer: B", "B) the second one"),
        ('{"a": 1, "b": [2.0]}', '```json\n{"b": [2], "a": 1.0}\n```'),
        (F, G, f"Here it is:\n```python\n{G}```\nIt adds."),
        ("Paris", "paris.", "The answer is Paris."),
    ],
)
def test_equal_answers_are_one_class(same):
    assert len({answer_key(t) for t in same}) == 1
    assert sigma(same, key=answer_key) == 0.0


@pytest.mark.checklist("AC3")
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("42", "43"), ("A", "B"), ('{"a": 1}', '{"a": 2}'), (F, F.replace("+=", "-=")),
        (F, F.replace("total", "other")), ("Paris", "London"), ("x = 1", "x = 2"),
        ("def f(a, b):\n    return a - b", "def f(a, b):\n    return b - a"),
        ("-5", "5"), ("42", "42 apples or 43"),
    ],
)  # fmt: skip
def test_different_answers_are_not(a, b):
    assert answer_key(a) != answer_key(b)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{" * 100_000,
        "(" * 5_000,
        "\x00",
        "x=" * 9_000,
        "[" * 999,
        "x = " + "-" * 9_000 + "1",
        "x = " + "+".join("1" * 4_000),
        "x = a" + ".b" * 4_000,
        "if a:\n    x = 1\n" + "elif b:\n    x = 2\n" * 900,
        "x = " + "f" + "()" * 4_000,
    ],
)
def test_whatever_is_written_has_a_class(text):
    assert isinstance(answer_key(text), str)
    assert answer_key(F).startswith("code:")  # and the parser is none the worse


@pytest.mark.checklist("AC1")
@pytest.mark.parametrize(
    ("answers", "expected", "share"),
    [
        ("a", 0.0, 1.0), ("aa", 0.0, 1.0), ("ab", 1.0, 0.5), ("aaa", 0.0, 1.0),
        ("aab", 0.5, 2 / 3), ("aba", 0.5, 2 / 3), ("baa", 0.5, 2 / 3), ("abc", 1.0, 1 / 3),
        ("aabb", 1 / 3, 0.5), ("abcc", 2 / 3, 0.5), ("abcde", 1.0, 0.2),
    ],
)  # fmt: skip
def test_sigma_is_exact_for_every_pattern(answers, expected, share):
    assert sigma(list(answers), key=answer_key) == pytest.approx(expected)
    assert modal_share(list(answers), key=answer_key) == pytest.approx(share)
