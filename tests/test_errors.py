"""The tree at the top of errors.py is the tree of classes."""

import inspect

from agentroute import errors


def drawn() -> dict[str, str]:
    """Class name to parent name, as the docstring draws it."""
    parents: dict[str, str] = {}
    stack: list[str] = []
    for line in errors.__doc__.splitlines():
        name = line.strip("│├└─ ")
        if not name.endswith("Error") or " " in name:
            continue
        depth = (len(line) - len(line.lstrip("│├└─ "))) // 4 - 1
        stack[depth:] = [name]
        if depth:
            parents[name] = stack[depth - 1]
    return parents


def test_the_drawing_is_true():
    classes = {
        name: cls
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, errors.AgentRouteError)
    }
    tree = drawn()
    assert set(tree) | {"AgentRouteError"} == set(classes)
    for name, parent in tree.items():
        assert classes[name].__bases__[0].__name__ == parent, name


def test_a_message_is_one_line_and_keeps_its_hint():
    e = errors.ConfigError("is\nwrong", path="a.yaml", line=3, field="x.y", hint="do\nthis")
    assert str(e) == "a.yaml:3: x.y: is wrong"
    assert e.hint == "do this"
    assert e.exit_code == 3


def test_near_names_are_offered():
    e = errors.UnknownAgentError("biling", ["billing", "support"])
    assert "'billing'" in e.hint
    assert "biling" in str(e)
    assert isinstance(e, KeyError)
