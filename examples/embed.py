"""agentroute inside an app: three functions as agents, a run, and feedback that is learned from.

python examples/embed.py
"""

import asyncio
import tempfile

from agentroute import AgentCall, AgentReply, Orchestrator, Registry, Task

registry = Registry()


@registry.agent(skills=["refunds"], cost_usd=0.002)
async def billing(call: AgentCall) -> AgentReply:
    """Refunds orders and explains invoices; careful and exact."""
    return AgentReply(text=f"billing: refund noted ({call.task.prompt})", confidence=0.9)


@registry.agent(skills=["refunds"], cost_usd=0.0005)
async def helpdesk(call: AgentCall) -> str:
    """Answers any customer question quickly; no access to the order system."""
    return f"helpdesk: somebody will look at it ({call.task.prompt})"


@registry.agent(skills=["mail"])
def writer(call: AgentCall) -> str:
    """Writes a friendly mail to the customer about what was done."""
    done = "; ".join(reply.text for reply in call.inputs.values())
    return f"Dear customer, {done}"


async def main() -> None:
    """Two dependent tasks, run thirty times; the user likes what billing does."""
    tasks = [
        Task(id="refund", prompt="Refund order 7", skills=("refunds",)),
        Task(id="mail", prompt="Tell the customer", skills=("mail",), depends_on={"refund": 0.7}),
    ]
    with tempfile.TemporaryDirectory() as folder:
        ledger = f"sqlite:///{folder}/agentroute.db"
        async with Orchestrator(registry, router="linucb", ledger=ledger) as orc:
            picks = []
            for n in range(30):  # a run's id and the seed key its draws; left out, an id is made
                run = await orc.run(tasks, run_id=f"refund-{n}")
                refund = next(d for d in run.decisions if d.task_id == "refund")
                picks.append(refund.chosen[0])
                good = refund.chosen[0] == "billing"
                await orc.feedback(refund.id, score=0.95 if good else 0.2, source="user")
            print(run.answer)
            print(run.status, run.topology, [d.chosen for d in run.decisions if d.kind == "route"])
            for part in (picks[:10], picks[20:]):
                print(f"billing was asked in {part.count('billing')} of {len(part)} runs")


if __name__ == "__main__":
    asyncio.run(main())
