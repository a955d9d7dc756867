"""Whatever is handed over as work is one plan, or one line that says what it could be."""

from __future__ import annotations

import pytest

from agentroute import AgentReply, Orchestrator, Registry, Task
from agentroute.errors import CardError, UsageError
from agentroute.planning.work import plan_of


def test_a_task_is_called_by_its_id():
    assert plan_of(Task(id="refund", prompt="p"), {}, ()).name == "refund"
    assert plan_of([Task(id="a", prompt="p"), Task(id="b", prompt="q")], {}, ()).name == "tasks"


def test_a_mapping_is_a_task():
    plan = plan_of({"prompt": "say hi", "skills": ["s"]}, {}, ())
    assert (plan.tasks[0].prompt, plan.tasks[0].skills) == ("say hi", ("s",))
    several = plan_of(
        [{"id": "a", "prompt": "p"}, Task(id="b", prompt="q", depends_on=["a"])], {}, ()
    )
    assert [t.id for t in several.tasks] == ["a", "b"]


@pytest.mark.parametrize(
    ("work", "says", "hint"),
    [
        ({"promt": "x"}, "'prompt' is missing", "prompt"),
        ({"prompt": "x", "skill": ["s"]}, "a task has no 'skill'", "skills"),
        ({"prompt": " "}, "the prompt is empty", ""),
        ({}, "'prompt' is missing", "prompt"),
        (7, "a int is no work", "a Task"),
        (b"x", "a bytes is no work", "words"),
        ([3], "a int is no task", "Task(prompt=...)"),
        (object(), "a object is no work", "a graph"),
    ],
)
async def test_what_is_no_work_is_a_typed_error(tmp_path, work, says, hint):
    async with Orchestrator(Registry(), ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path) as orc:
        with pytest.raises(UsageError, match=says) as e:
            await orc.run(work)
        assert hint in e.value.hint
        assert orc.ledger.head()[0] == 0


def test_the_decorator_bare_and_with_words():
    registry = Registry()

    @registry.agent
    async def billing(call):
        """Refunds orders."""
        return AgentReply(text="done")

    @registry.agent(skills=["ship"])
    def shipping(call):
        return "done"

    assert registry.card("billing").description == "Refunds orders."
    assert registry.card("billing").skills == ()
    assert [s.id for s in registry.card("shipping").skills] == ["ship"]
    assert shipping(None) == "done"


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ({"descripton": "x"}, "descripton"),
        ({"latency_s": -1}, "latency_s"),
        ({"name": "/"}, "name"),
    ],
)
def test_a_card_that_the_decorator_cannot_make_is_one_line(card, says):
    with pytest.raises(CardError, match=says) as e:
        Registry().agent(**{"name": "one", **card})(lambda call: "x")
    assert "\n" not in str(e.value)


def test_something_without_a_name_needs_one():
    class Callable:
        def __call__(self, call):
            return "x"

    registry = Registry()
    with pytest.raises(CardError, match="a Callable has no name"):
        registry.agent(Callable())
    registry.agent(name="named")(Callable())
    assert "named" in registry
