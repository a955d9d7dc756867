import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentroute.refining.extract import canonical, numbers


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text):
    assert all(isinstance(x, float) for x in numbers(text))
    canonical(text)


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
