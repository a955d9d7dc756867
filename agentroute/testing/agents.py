"""The conformance suite of agents: run it on your own.

    from agentroute.testing import check_agent

    def test_my_agent():
        check_agent(my_agent)

Each rule is a function ``rule(bench)`` that raises ``AssertionError`` with what is wrong. A bench
runs the agent on sample calls, each time on a fresh copy in a fresh folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from agentroute.adapters.callables import run_to_end
from agentroute.adapters.replies import as_reply, dump_call, load_call
from agentroute.errors import AgentRouteError
from agentroute.model.calls import AgentCall, AgentReply
from agentroute.model.cards import CapabilityCard
from agentroute.model.tasks import Task
from agentroute.testing.rules import run_rules

Agent = Callable[..., Any]
Ran = tuple[AgentCall, Any]  # a call, and what the agent returned
PROMPTS = ("What is 12 * 7?", "Summarise: all is well. Nobody was hurt.", "x")


class Bench:
    """Runs one agent on sample calls, in folders below ``folder``."""

    def __init__(self, agent: Agent, calls: Sequence[AgentCall], folder: Path) -> None:
        self.agent = agent
        self.folder = folder
        self._calls = [orjson.dumps(dump_call(c), option=orjson.OPT_SERIALIZE_NUMPY) for c in calls]
        self._made = 0

    def calls(self) -> Iterator[AgentCall]:
        """Every sample call anew: nothing that an agent did to one reaches the next."""
        for data in self._calls:
            self._made += 1
            workdir = self.folder / f"call{self._made}"
            workdir.mkdir()
            yield replace(load_call(orjson.loads(data)), workdir=workdir)

    def answered(self) -> Iterator[Ran]:
        """The calls that the agent answered; of those that failed, ``rule_answers`` tells."""
        for call in self.calls():
            try:
                value = run_to_end(self.agent, call)
            except Exception:
                continue
            yield call, value


# -- the rules ----------------------------------------------------------------------------------


def rule_answers(bench: Bench) -> None:
    """It answers at least one sample call, and refuses a call by an AgentRouteError alone."""
    answered, refused = 0, ""
    for call in bench.calls():
        try:
            run_to_end(bench.agent, call)
            answered += 1
        except AgentRouteError as e:
            refused = str(e)
        except Exception as e:
            raise AssertionError(f"{call.task.prompt!r}: {type(e).__name__}: {e}") from e
    assert answered, f"no sample call was answered: {refused}"


def rule_returns_a_reply(bench: Bench) -> None:
    """It returns an AgentReply, a text, or a dict that fits one."""
    for call, value in bench.answered():
        assert isinstance(value, AgentReply | str | dict), f"it returned a {type(value).__name__}"
        if isinstance(value, dict):
            as_reply(value, call.workdir)


def rule_data_is_json(bench: Bench) -> None:
    """What it hands to the next agent is JSON, and not too large for a reply."""
    for call, value in bench.answered():
        if isinstance(value, AgentReply):
            as_reply(AgentReply(text=value.text, data=value.data), call.workdir)


def rule_files_in_own_folder(bench: Bench) -> None:
    """Every artefact is a file that it left in the folder of its call."""
    for call, value in bench.answered():
        if isinstance(value, AgentReply):
            as_reply(AgentReply(artifacts=value.artifacts), call.workdir)


def rule_numbers_are_finite(bench: Bench) -> None:
    """Tokens, seconds, cost and confidence are finite and not negative."""
    for _, value in bench.answered():
        if not isinstance(value, AgentReply):
            continue  # a dict's numbers are checked where it is made a reply
        # A copy with other fields is not validated, so it can carry what a new reply refuses.
        numbers = {**dict(value.usage), "confidence": value.confidence}
        for name, number in numbers.items():
            good = number is None or (math.isfinite(number) and number >= 0)
            assert good, f"{name} is {number}"


def rule_works_twice(bench: Bench) -> None:
    """The calls that it answered once it answers again."""
    first, then = (sum(1 for _ in bench.answered()) for _ in range(2))
    assert first == then, f"it answered {first} calls, then {then}"


def rule_leaves_its_inputs(bench: Bench) -> None:
    """It does not change the task, the inputs or the parameters that it was given."""
    for call in bench.calls():
        before = orjson.dumps(dump_call(call))
        with contextlib.suppress(Exception):
            run_to_end(bench.agent, call)
        try:
            after = orjson.dumps(dump_call(call))
        except TypeError as e:
            raise AssertionError(f"it put into its call what is not JSON: {e}") from e
        assert before == after, f"{call.task.prompt!r}: the call was changed"


def rule_chunks_then_a_reply(bench: Bench) -> None:
    """A generator yields texts and ends with a reply, after which nothing comes."""
    for call in bench.calls():
        try:
            items = _yielded(bench.agent, call)
        except Exception:
            continue  # rule_answers tells of it
        if items is None:
            continue
        assert items, "the generator ended without a text or a reply"
        odd = [type(x).__name__ for x in items[:-1] if not isinstance(x, str)]
        assert not odd, f"it yielded a {odd[0]}, and went on"


RULES: tuple[Callable[[Bench], None], ...] = (
    rule_answers,
    rule_returns_a_reply,
    rule_data_is_json,
    rule_files_in_own_folder,
    rule_numbers_are_finite,
    rule_works_twice,
    rule_leaves_its_inputs,
    rule_chunks_then_a_reply,
)


def check_agent(
    agent: Agent,
    *,
    card: CapabilityCard | None = None,
    calls: Sequence[AgentCall] = (),
    skip: Iterable[str] = (),
) -> tuple[str, ...]:
    """Run every rule on ``agent``; returns the names of those that held.

    Args:
        agent: a function of an ``AgentCall``, plain or async, or a generator of either kind.
        card: its card, whose examples are the sample calls and whose params they carry.
        calls: sample calls of your own instead; their folders are replaced.
        skip: names of rules that do not apply; say why where you use it.

    Raises:
        AssertionError: names every broken rule and what was wrong.
    """
    sample = tuple(calls) or sample_calls(card)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(agent, sample, Path(folder))
        return run_rules(RULES, lambda rule: rule(bench), skip)


def sample_calls(card: CapabilityCard | None = None) -> tuple[AgentCall, ...]:
    """Calls by the examples of a card, or a few general ones; each has one input."""
    said = [e for s in card.skills for e in s.examples] if card else []
    given = {"before": AgentReply(text="All is well.", data={"rows": [1, 2, 3]})}
    params = dict(card.params) if card else {}
    return tuple(
        AgentCall(
            Task(id=f"sample{i}", prompt=prompt, depends_on=("before",)),
            inputs=given,
            params=params,
            call_id=f"run:sample{i}:1:agent",
        )
        for i, prompt in enumerate(said or PROMPTS)
    )


def _yielded(agent: Agent, call: AgentCall) -> list[Any] | None:
    """All that a generator yields, then what it returns; None for an agent that is no generator."""
    result = agent(call)
    if isinstance(result, AsyncGenerator):

        async def collect() -> list[Any]:
            return [item async for item in result]

        return asyncio.run(collect())
    if inspect.iscoroutine(result):
        result.close()
    if not inspect.isgenerator(result):
        return None
    items: list[Any] = []
    while True:
        try:
            items.append(next(result))
        except StopIteration as end:
            return items if end.value is None else [*items, end.value]
