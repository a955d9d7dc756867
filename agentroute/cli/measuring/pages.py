"""The inspector's application, as ``bench inspector`` asks it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentroute.ledger import Ledger


def application(ledger: Ledger, token: str, port: int) -> Callable[..., Awaitable[None]]:
    """The pages of a ledger with default settings.

    Raises:
        MissingExtraError: the extra ``web`` is not installed.
    """
    from agentroute.config.settings import Settings
    from agentroute.errors import MissingExtraError

    try:
        from agentroute.inspector.web.app import inspector
    except ImportError as e:
        raise MissingExtraError("web", needed_for="agentroute bench inspector") from e
    return inspector(ledger, Settings(), token=token, port=port)
