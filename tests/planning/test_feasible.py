"""A plan is refused before anybody is called where it is known that it cannot be carried out."""

import pytest

from agentroute.errors import ConfigError, PlanError, UnknownAgentError
from agentroute.model.cards import CapabilityCard
from agentroute.model.tasks import Task
from agentroute.orchestrator import Orchestrator
from agentroute.planning.feasible import as_written, problems
from agentroute.planning.graphfile import parse_graph
from agentroute.registry.registry import Registry


def registry():
    made = Registry()
    for name, skill, more in (
        ("lister", "list", {"provides": ["root", "files"]}),
        ("vague", "guess", {}),
        ("reader", "read", {"requires": ["root", "files"], "provides": ["terms"]}),
        ("joiner", "join", {"requires": ["inputs"]}),
    ):
        card = {"name": name, "description": name, "entrypoint": "x.py:agent", **more}
        made.add(CapabilityCard.model_validate({**card, "skills": [{"id": skill}]}))
    return made


def wrong(text):
    spec = parse_graph(text)
    return [str(p) for p in problems(as_written(spec), registry(), chat_ready=False)]


TASKS = "tasks:\n- {id: a, prompt: x, skills: [list]}\n"


def test_a_task_that_nobody_gets_inputs_for_is_named_with_what_is_missing():
    said = "task 'r': nobody could get what he needs (reader: files, root)"
    alone = "tasks:\n- {id: r, prompt: x, skills: [read]}\n"
    assert wrong(alone) == [said]
    assert wrong(TASKS + "- {id: r, prompt: x, skills: [read], depends_on: [a]}") == []
    given = "tasks:\n- {id: r, prompt: x, skills: [read], params: {root: ., files: []}}\n"
    assert wrong(given) == []
    unsaid = "tasks:\n- {id: g, prompt: x, skills: [guess]}\n"
    assert wrong(unsaid + "- {id: r, prompt: x, skills: [read], depends_on: [g]}") == []
    deaf = TASKS + "- {id: r, prompt: x, skills: [read], depends_on: [a]}\n"
    deaf += "- {id: s, prompt: x, skills: [read], depends_on: [r]}\ntopology: parallel"
    assert wrong(deaf) == ["task 's': nobody could get what he needs (reader: files, root)"]
    assert wrong("tasks:\n- {id: j, prompt: x, skills: [join]}") == [
        "task 'j': nobody could get what he needs (joiner: inputs)"
    ]
    assert wrong("tasks:\n- {id: p, prompt: x, agent: reader}\n") == [said.replace("'r'", "'p'")]
    assert wrong("tasks:\n- {id: n, prompt: x, skills: [unheard]}\n") == [], "a run says that"


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("router: linucbb", "router: unknown router 'linucbb'"),
        (
            "router: 'os:getcwd'",
            "router: 'os:getcwd' names code, which only your own configuration may do",
        ),
        ("verifier: nobody_v", "no agent is called 'nobody_v'"),
        ("refine: nobody_r", "no agent is called 'nobody_r'"),
        ("depth: deepest", "depth: unknown depth policy 'deepest'"),
        ("verifier: reader\ntasks:\n- {id: g, prompt: x, skills: [join], params: {inputs: 1}}", ""),
    ],
)
def test_unknown_parts_are_named(part, said):
    head = "" if "tasks" in part else TASKS
    assert [p.split(" (")[0] for p in wrong(head + part)] == ([said] if said else [])


async def test_the_front_door_refuses_before_anything_is_called(tmp_path):
    orc = Orchestrator(registry(), ledger=f"sqlite:///{tmp_path}/l.db", out=tmp_path)
    with pytest.raises(UnknownAgentError, match="'readr'"):
        orc.plan(Task(prompt="x", agent="readr"))
    with pytest.raises(ConfigError, match="linucbb"):
        orc.plan(parse_graph(TASKS + "router: linucbb"))
    async with orc:
        with pytest.raises(PlanError, match="nobody could get what he needs"):
            await orc.run(Task(prompt="x", skills=("read",)))
        assert orc.ledger.head()[0] == 0
