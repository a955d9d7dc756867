import asyncio
import importlib.util
import sys

import pytest

from agentroute.config.paths import bundled
from agentroute.config.yaml import load_yaml
from agentroute.errors import AgentFailedError
from agentroute.model.calls import AgentCall, AgentReply, Artifact, Usage
from agentroute.model.cards import CapabilityCard
from agentroute.model.tasks import Task
from agentroute.testing import check_agent, embedders, routers
from agentroute.testing.agents import RULES
from agentroute.testing.rules import sentence


def bundled_agent(name):
    """The function and the card of a catalogue agent."""
    folder = bundled("agents")
    card = CapabilityCard(**load_yaml(folder / f"{name}.yaml").data)
    file, _, attribute = card.entrypoint.partition(":")
    spec = importlib.util.spec_from_file_location(f"checked_{name}", folder / file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return getattr(module, attribute), card


@pytest.mark.parametrize("name", ["calculator", "unit_converter", "installed_packages", "refiner"])
def test_catalogue_agents_conform(name):
    agent, card = bundled_agent(name)
    assert len(check_agent(agent, card=card)) == len(RULES)


def says_text(call):
    return f"you said {call.task.prompt}"


def says_data(call):
    return {"length": len(call.task.prompt)}


async def says_later(call):
    await asyncio.sleep(0)
    return AgentReply(text="later", usage=Usage(input_tokens=3))


def streams(call):
    yield "one "
    yield "two"
    yield AgentReply(text="one two")


def streams_and_returns(call):
    yield "one"
    return AgentReply(text="one")


async def streams_later(call):
    yield "one "
    yield "two"


def leaves_a_file(call):
    (call.workdir / "out.txt").write_text("done")
    return AgentReply(text="see the file", artifacts=(Artifact(name="out.txt", path="out.txt"),))


def refuses_some(call):
    if call.task.prompt == "x":
        raise AgentFailedError("that is no question")
    return "fine"


@pytest.mark.parametrize(
    "agent",
    [
        says_text,
        says_data,
        says_later,
        streams,
        streams_and_returns,
        streams_later,
        leaves_a_file,
        refuses_some,
    ],
)
def test_every_kind_of_function_conforms(agent):
    assert len(check_agent(agent)) == len(RULES)


def raises(call):
    return 1 / 0


def returns_nothing(call):
    return None


def returns_objects(call):
    return AgentReply(text="x", data={"object": object()})


def points_elsewhere(call):
    return AgentReply(artifacts=(Artifact(name="passwd", path="/etc/hostname"),))


def costs_nan(call):
    return AgentReply(usage=Usage().model_copy(update={"cost_usd": float("nan")}))


def answers_once():
    left = [3 * 6]  # three calls, in each of the five rules before and once in its own

    def agent(call):
        left[0] -= 1
        if left[0] < 0:
            raise AgentFailedError("no more")
        return "x"

    return agent


def changes_its_inputs(call):
    call.inputs["before"].data["rows"].append(4)
    return "x"


def goes_on(call):
    yield AgentReply(text="done")
    yield "or not"


BROKEN = {
    "rule_answers": raises,
    "rule_returns_a_reply": returns_nothing,
    "rule_data_is_json": returns_objects,
    "rule_files_in_own_folder": points_elsewhere,
    "rule_numbers_are_finite": costs_nan,
    "rule_works_twice": answers_once(),
    "rule_leaves_its_inputs": changes_its_inputs,
    "rule_chunks_then_a_reply": goes_on,
}


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.__name__)
def test_each_rule_goes_red_and_says_itself(rule):
    with pytest.raises(AssertionError, match=r"^1 rule is broken") as told:
        check_agent(BROKEN[rule.__name__])
    assert f"{rule.__name__}: {sentence(rule)}" in str(told.value)


def test_an_agent_that_refuses_everything_is_told():
    def refuses(call):
        raise AgentFailedError("never")

    with pytest.raises(AssertionError, match="no sample call was answered: never"):
        check_agent(refuses)


def test_calls_of_your_own_are_used():
    seen = []

    def agent(call):
        seen.append((call.task.prompt, call.params))
        return "x"

    check_agent(agent, calls=[AgentCall(Task(id="t", prompt="mine"), params={"k": 1})])
    assert set(map(repr, seen)) == {repr(("mine", {"k": 1}))}


@pytest.mark.parametrize("rule", [*RULES, *routers.RULES, *embedders.RULES])
def test_every_rule_is_a_named_function_with_one_sentence(rule):
    assert rule.__name__.startswith("rule_")
    assert sentence(rule) == rule.__doc__.strip(), "the sentence is one line"
    assert sentence(rule).endswith(".")
