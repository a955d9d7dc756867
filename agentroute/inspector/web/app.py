"""The pages as an ASGI application: a table of addresses, and errors in our words."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from agentroute.config.settings import Settings
from agentroute.errors import (
    AgentRouteError,
    LedgerBusyError,
    UnknownDecisionError,
    UnknownRunError,
    UsageError,
)
from agentroute.inspector.page import Section, templates
from agentroute.inspector.web.desk import Desk, Page, Query
from agentroute.inspector.web.guard import Guard
from agentroute.inspector.web.pages import (
    agents,
    compare,
    decision,
    learning,
    pheromones,
    run,
    runs,
    topology,
)
from agentroute.inspector.web.pages import (
    ledger as rows,
)
from agentroute.ledger import Ledger

log = logging.getLogger(__name__)
Work = Callable[[Desk, Query], Page]
PAGES: dict[str, Work] = {
    "/": runs.page,
    "/run": run.page,
    "/decision": decision.page,
    "/learning": learning.page,
    "/learning/helps": learning.helps_page,
    "/agents": agents.page,
    "/topology": topology.page,
    "/pheromones": pheromones.page,
    "/compare": compare.page,
    "/ledger": rows.page,
    "/ledger/verify": rows.verify_page,
    "/row": rows.row_page,
}
# What stands at the top of every page, and the addresses that belong to it.
PLACES = {
    "Runs": ("/", "/run", "/decision"),
    "Learning": ("/learning", "/learning/helps"),
    "Agents": ("/agents",),
    "Topology": ("/topology",),
    "Pheromones": ("/pheromones",),
    "Compare": ("/compare",),
    "Ledger": ("/ledger", "/ledger/verify", "/row"),
}


def inspector(ledger: Ledger, settings: Settings, *, token: str, port: int) -> Guard:
    """The application; ``ledger`` is opened read only, ``port`` is the one it is served on."""
    desk = Desk(ledger, settings)
    routes = [Route(path, _page(desk, path, work)) for path, work in PAGES.items()]
    routes.append(Route("/style.css", _style))
    handlers: dict[Any, Any] = {404: _nowhere(desk), 500: _broken(desk)}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), token=token, port=port)


def _page(desk: Desk, path: str, work: Work) -> Callable[[Request], Response]:
    """A function of its own for each address: Starlette runs it in a thread."""

    def endpoint(request: Request) -> Response:
        try:
            page = work(desk, request.query_params)
        except AgentRouteError as e:
            page = _refused(e)
        return _html(desk, page, path)

    return endpoint


def _html(desk: Desk, page: Page, path: str) -> HTMLResponse:
    words = (
        templates()
        .get_template("web.html")
        .render(page=page, here=path, places=PLACES, ledger=desk.ledger.path.name)
    )
    return HTMLResponse(words.encode("utf-8", "replace"), page.status)


def _refused(e: AgentRouteError) -> Page:
    missing = isinstance(e, UnknownRunError | UnknownDecisionError | UsageError)
    status = 404 if missing else 503 if isinstance(e, LedgerBusyError) else 500
    return Page("Nothing to show", [Section(str(e), e.hint)], status=status)


def _nowhere(desk: Desk) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def nowhere(request: Request, error: Exception) -> Response:
        return _html(desk, Page("No such page", [Section("Nothing is here")], status=404), "")

    return nowhere


def _broken(desk: Desk) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def broken(request: Request, error: Exception) -> Response:
        log.error("%s: %s", request.url.path, error, exc_info=error)
        said = Section(f"{type(error).__name__}: {error}", "A bug of agentroute's own.")
        return _html(desk, Page("This page failed", [said], status=500), "")

    return broken


def _style(request: Request) -> Response:
    names = ("style.css", "web.css")
    words = "".join(templates().get_template(name).render() for name in names)
    return Response(words, media_type="text/css")
