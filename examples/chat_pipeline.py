"""Two chat agents over any OpenAI-compatible endpoint; skips with one line when none is set.

    OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=x OPENAI_MODEL=m \\
        python examples/chat_pipeline.py
"""

import asyncio
import os
import tempfile

from agentroute import CapabilityCard, Orchestrator, Registry, Skill, Task


def chat(name: str, skill: str, prompt: str) -> CapabilityCard:
    """A chat agent is a card and a prompt; the model comes from the card or OPENAI_MODEL."""
    return CapabilityCard(
        name=name,
        description=prompt,
        skills=(Skill(id=skill),),
        entrypoint="chat",
        isolation="inline",
        prompt=prompt,
    )


async def main() -> None:
    """Outline, then draft; each step is a decision in the ledger."""
    if not os.environ.get("OPENAI_BASE_URL"):
        print("skipped: OPENAI_BASE_URL is not set, so there is no chat model to call")
        return
    registry = Registry()
    registry.add(chat("outliner", "outline", "You turn a topic into three short headings."))
    registry.add(chat("drafter", "draft", "You write one paragraph from an outline."))
    tasks = [
        Task(id="outline", prompt="Why agents should keep a ledger", skills=("outline",)),
        Task(id="draft", prompt="Write it", skills=("draft",), depends_on={"outline": 0.7}),
    ]
    with tempfile.TemporaryDirectory() as folder:
        async with Orchestrator(registry, ledger=f"sqlite:///{folder}/agentroute.db") as orc:
            run = await orc.run(tasks)
            print(run.answer)
            print(f"{run.status}: {run.usage.calls} calls, {run.usage.tokens} tokens")


if __name__ == "__main__":
    asyncio.run(main())
