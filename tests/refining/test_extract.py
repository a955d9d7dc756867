import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentroute.refining.extract import canonical, choice, json_value, number, numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("The answer is 42.", 42),
        ("I first got 41, but the final answer is 42", 42),
        ("12 + 30 = 42", 42),
        ("about 1,234.5 euros", 1234.5),
        ("-7", -7),
        ("1e3", 1000),
        ("rose by 12%", 12),
        ("version 3, then 4", 4),
        ("none here", None),
        ("", None),
        ("the code is E-4107", None),
        ("5-7 days", 7),
    ],
)
def test_number(text, value):
    assert number(text) == value


@given(st.floats(-1e9, 1e9).map(lambda x: round(x, 4)))
def test_a_written_number_is_read_back(x):
    assert number(f"the answer is {x!r}") == pytest.approx(x)


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text):
    assert all(isinstance(x, float) for x in numbers(text))
    canonical(text)
    choice(text, ["yes", "no"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The answer is Paris.", "Paris"),
        ("Paris or Rome? I say: the answer is Rome", "Rome"),
        ("(B)", "Rome"),
        ("B", "Rome"),
        ("New Paris it is", "New Paris"),
        ("perhaps Oslo", None),
        ("Paris and Rome", None),
    ],
)
def test_choice(text, found):
    assert choice(text, ["Paris", "Rome", "New Paris"]) == found


def test_json_in_prose_and_fences():
    assert json_value('Sure {thing}: ```json\n{"a": [1, 2]}\n```') == {"a": [1, 2]}
    with pytest.raises(ValueError, match="no JSON"):
        json_value("nothing { here")


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("42", "The answer: 42.0", True),
        ("1,000 euros", "1000", True),
        ("Central Station", "central station!", True),
        ("42", "43", False),
        ("yes", "no", False),
    ],
)
def test_classes_of_answers(a, b, same):
    assert (canonical(a) == canonical(b)) is same
