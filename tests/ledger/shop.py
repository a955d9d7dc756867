"""Three agents of a shop whose runs fill a ledger; shared by the tests that count its rows."""

from __future__ import annotations

from agentroute import Registry


def registry():
    """billing and helpdesk are rivals for refunds, and helpdesk fails on a seven."""
    made = Registry()

    @made.agent(skills=["refunds"], cost_usd=0.0021)
    async def billing(call):
        """Refunds orders."""
        return "done"

    @made.agent(skills=["refunds"], cost_usd=0.0013)
    async def helpdesk(call):
        """Refunds orders."""
        if "7" in call.task.prompt:
            raise ValueError("no seven")
        return "done"

    @made.agent(skills=["mail"])
    async def writer(call):
        """Writes mails."""
        return "Dear customer"

    return made
