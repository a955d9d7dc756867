"""Serving on this machine alone, until it is stopped."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from contextlib import suppress

from agentroute.config.settings import Settings
from agentroute.errors import MissingExtraError, UsageError
from agentroute.inspector.links import address
from agentroute.ledger import Ledger

HOST = "127.0.0.1"


def serve(
    ledger: Ledger, settings: Settings, *, port: int = 0, ready: Callable[[str], None]
) -> None:
    """Serve the pages of a ledger until Ctrl-C; ``ready`` is told the link with its token.

    ``port`` 0 is one that is free.

    Raises:
        MissingExtraError: Starlette or uvicorn is not installed.
        UsageError: the port is taken.
    """
    try:
        import uvicorn

        from agentroute.inspector.web.app import inspector
    except ImportError as e:
        raise MissingExtraError("web", needed_for="agentroute inspect") from e
    with _listening(port) as sock:
        number: int = sock.getsockname()[1]
        token = secrets.token_urlsafe(24)
        app = inspector(ledger, settings, token=token, port=number)
        config = uvicorn.Config(
            app, log_level="error", access_log=False, lifespan="off", server_header=False
        )
        ready(f"http://{HOST}:{number}" + address("/", token=token))
        with suppress(KeyboardInterrupt):  # how it is meant to end
            uvicorn.Server(config).run(sockets=[sock])


def _listening(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
        sock.listen(128)
    except (OSError, OverflowError) as e:
        sock.close()
        raise UsageError(f"port {port}: {e}", hint="another with --port, or none") from None
    return sock
