"""Live state after a restart is what it was before: the card's own breaker, each outcome once."""

import time

import pytest

from agentroute import Orchestrator, Registry, Task

TASK = Task(id="t", prompt="do it", skills=("work",))


def registry_with(failures, cooldown_s):
    registry = Registry()

    @registry.agent(
        skills=["work"],
        limits={"max_attempts": 1, "cooldown_failures": failures, "cooldown_s": cooldown_s},
    )
    def fails(call):
        """Does the work, badly."""
        raise RuntimeError("no")

    return registry


def is_open(registry):
    return registry.live.shut_for_s("fails", time.time()) > 0


def opened(registry, tmp_path):
    return Orchestrator(registry, ledger=f"sqlite:///{tmp_path}/a.db", embedder="hashing")


@pytest.mark.parametrize(
    ("failures", "cooldown_s", "times", "shut"),
    [(1, 600, 1, True), (10, 60, 5, False), (3, 0, 3, False), (3, 60, 3, True)],
)
def test_a_restart_keeps_the_cards_own_breaker(failures, cooldown_s, times, shut, tmp_path):
    registry = registry_with(failures, cooldown_s)
    for _ in range(times):
        opened(registry, tmp_path).run_sync(TASK)
    assert is_open(registry) is shut
    again = registry_with(failures, cooldown_s)
    opened(again, tmp_path).run_sync(TASK)
    assert is_open(again) is shut


def test_opening_again_counts_no_outcome_twice(tmp_path):
    registry = registry_with(3, 60)
    for n in (1, 2):
        opened(registry, tmp_path).run_sync(TASK)
        assert registry.live.failures[registry.live.slot("fails")] == n


def test_a_registry_made_in_code_embeds_its_cards_once(tmp_path):
    registry = registry_with(3, 60)
    orc = opened(registry, tmp_path)
    first = registry.cardset(orc._session.embedder)
    assert registry.refresh() is False
    assert registry.cardset(orc._session.embedder) is first


def test_a_mended_card_is_asked_again(tmp_path):
    card = tmp_path / "fails.yaml"
    words = "name: fails\ndescription: {}\nskills: [{{id: work}}]\nentrypoint: fails.py:agent\n"
    card.write_text(words.format("Does the work."))
    registry = Registry.from_folder(tmp_path)
    for _ in range(3):
        registry.live.observe("fails", cost_usd=0, latency_s=0, error=True, at_s=time.time())
    assert is_open(registry)
    card.write_text(words.format("Does the work, mended."))
    assert registry.refresh() and not is_open(registry)
