"""Graph files: strict, with file, line and field; inputs, foreach, and the plan they give."""

from __future__ import annotations

import pytest

from agentroute.errors import GraphError, PlanError, UsageError
from agentroute.model.plans import Plan, Topology
from agentroute.planning.graphfile import load_graph, make_plan, parse_graph, plan_of_text

FULL = """
name: demo
description: shows everything
inputs:
  folder: {type: folder, default: .}
  questions: {type: list, default: [who, what]}
  limit: {type: int, default: 3, help: how many}
tasks:
  - id: parse
    prompt: parse ${inputs.folder} at most ${inputs.limit}
    params: {root: "${inputs.folder}", n: "${inputs.limit}"}
  - id: q
    prompt: answer ${item}
    foreach: ${inputs.questions}
    depends_on: {parse: 0.7}
  - id: end
    prompt: reconcile
    depends_on: {q: 1.0}
router: {name: linucb, alpha: 0.5}
refine: refiner
verifier: {name: checker, strict: "${inputs.limit}"}
exploration: 0
artifact: out.html
fail_when: {field: findings.high, above: "${inputs.limit}"}
"""


def test_a_full_file_becomes_a_plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = make_plan(parse_graph(FULL), {"questions": "a, b,c", "limit": "7"})
    assert [t.id for t in plan.tasks] == ["parse", "q[0]", "q[1]", "q[2]", "end"]
    assert plan.tasks[0].params == {"root": str(tmp_path), "n": 7}
    assert plan.tasks[0].prompt == f"parse {tmp_path} at most 7"
    assert plan.tasks[2].prompt == "answer b"
    assert plan.tasks[2].params == {"item": "b", "index": 1}
    assert plan.tasks[2].depends_on == {"parse": 0.7}
    assert plan.tasks[4].depends_on == {"q[0]": 1.0, "q[1]": 1.0, "q[2]": 1.0}
    assert (plan.router.name, plan.router.params) == ("linucb", {"alpha": 0.5})
    assert plan.verifiers[0].params == {"strict": 7}
    assert (plan.exploration, plan.artifact) == (0.0, "out.html")
    assert plan.fail_when.above == 7.0
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_the_name_defaults_to_the_files(tmp_path):
    file = tmp_path / "audit.yaml"
    file.write_text("tasks:\n  - {id: a, prompt: look}\n")
    assert load_graph(file).name == "audit"


@pytest.mark.checklist("AO1")
@pytest.mark.parametrize(
    ("text", "line", "field", "said"),
    [
        ("tasks:\n- {id: a, prompt: x, dependson: [b]}", 2, "tasks[0].dependson", "not a known"),
        ("tasks:\n- id: a\n  prompt: x\n  depends_on: [b]", 4, "tasks[0].depends_on", "'b'"),
        ("tasks:\n- {id: a, prompt: x, depends_on: [a]}", 2, "tasks[0].depends_on", "a -> a"),
        ("tasks:\n- id: a\n  prompt: x\n  depends_on: {b: 2}\n- {id: b, prompt: x}", 4,
         "tasks[0].depends_on.b", "less than or equal to 1"),
        ("tasks:\n- id: a\n  prompt: say ${inputs.nam}\ninputs: {name: {}}", 3, "tasks[0].prompt",
         "inputs.nam"),
        ("tasks:\n- id: a\n  prompt: x\n  foreach: ${inputs.n}\ninputs: {n: {type: int}}", 4,
         "tasks[0].foreach", "list"),
        ("tasks: []", 1, "tasks", "at least 1"),
        ("topology: star\ntasks: [{id: a, prompt: x}]", 1, "topology", "auto, single, parallel"),
        ("tasks:\n- {id: 'q[0]', prompt: x}", 2, "tasks[0].id", "pattern"),
        ("inputs: {a: {type: integer}}\ntasks: [{id: a, prompt: x}]", 1, "inputs.a.type", "str"),
    ],
)  # fmt: skip
def test_errors_name_line_and_field(text, line, field, said):
    with pytest.raises(GraphError) as caught:
        parse_graph(text)
    e = caught.value
    assert e.line == line
    assert e.field is not None
    assert e.field.startswith(field)
    assert said in str(e)


def test_item_is_known_only_inside_foreach():
    with pytest.raises(GraphError, match=r"\$\{item\}"):
        parse_graph("tasks: [{id: a, prompt: 'x ${item}'}]")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"limit": "many"}, "not a whole number"),
        ({"limit": 2.5}, "not a whole number"),
        ({"folder": "/does/not/exist"}, "no folder"),
        ({"limits": 3}, "no input 'limits'"),
    ],
)
def test_bad_inputs_are_one_line_errors(given, said):
    with pytest.raises(UsageError, match=said):
        make_plan(parse_graph(FULL), given)


def test_a_missing_input_and_an_empty_list():
    spec = parse_graph(
        "inputs: {xs: {type: list}}\ntasks: [{id: a, prompt: 'p ${item}', foreach: '${inputs.xs}'}]"
    )
    with pytest.raises(UsageError, match="'xs' is missing"):
        make_plan(spec)
    with pytest.raises(PlanError, match="empty list"):
        make_plan(spec, {"xs": []})


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        ("str", 5, "5"), ("int", "7", 7), ("float", "0.5", 0.5), ("bool", "yes", True),
        ("bool", "off", False), ("list", "a,b", ["a", "b"]), ("list", [1, 2], [1, 2]),
    ],
)  # fmt: skip
def test_input_types(kind, raw, value):
    spec = parse_graph(
        f"inputs: {{x: {{type: {kind}}}}}\n"
        "tasks: [{id: a, prompt: p, params: {x: '${inputs.x}'}}]"
    )
    assert make_plan(spec, {"x": raw}).tasks[0].params["x"] == value


def test_yaml_list_reads_a_file(tmp_path):
    file = tmp_path / "questions.yaml"
    file.write_text("questions:\n  - {q: who, expect: me}\n  - {q: when}\n")
    spec = parse_graph(
        "inputs: {qs: {type: yaml-list}}\n"
        "tasks: [{id: a, prompt: 'answer ${item.q}', foreach: '${inputs.qs}'}]"
    )
    plan = make_plan(spec, {"qs": str(file)})
    assert [t.prompt for t in plan.tasks] == ["answer who", "answer when"]
    assert plan.tasks[0].params["item"] == {"q": "who", "expect": "me"}


def test_optional_input_is_empty_in_text_and_null_in_params():
    spec = parse_graph(
        "inputs: {x: {type: file, default: null}}\n"
        "tasks: [{id: a, prompt: 'see ${inputs.x}.', params: {x: '${inputs.x}'}}]"
    )
    task = make_plan(spec).tasks[0]
    assert (task.prompt, task.params) == ("see .", {"x": None})


def test_words_become_one_task():
    plan = plan_of_text("refund order 7")
    assert (plan.topology, plan.choice.branch) == (Topology.SINGLE, "A0")
    with pytest.raises(UsageError, match="empty"):
        plan_of_text("   ")
