"""Who may look: this machine's own browser, with the token of the printed link, and GET alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_FIXED = [(k.encode(), v.encode()) for k, v in HEADERS.items()]


class Guard:
    """ASGI: lets through what bears the token, and puts the same headers on every answer.

    A foreign ``Host`` is 400 (a name that was made to point here), another method 405, no token
    403. The token of the link becomes a cookie, and the link without it is asked for again.
    """

    def __init__(self, app: App, *, token: str, port: int) -> None:
        self._app, self._token = app, token
        self._hosts = {f"{h}:{port}" for h in ("127.0.0.1", "localhost", "[::1]")}
        # A cookie belongs to a host and not to a port: two inspectors must not share one.
        self._cookie = f"agentroute_inspect_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks over a web socket
            return
        headers: dict[str, list[str]] = {}
        for k, v in scope["headers"]:
            headers.setdefault(k.decode("latin-1"), []).append(v.decode("latin-1"))
        if len(host := headers.get("host", [])) != 1 or host[0].lower() not in self._hosts:
            await _say(send, 400, "this host is not served")
        elif scope["method"] not in ("GET", "HEAD"):
            await _say(send, 405, "pages are read, and nothing else", ("allow", "GET, HEAD"))
        elif (rest := self._without_token(scope)) is not None:
            cookie = f"{self._cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/"
            await _say(send, 303, "", ("location", rest), ("set-cookie", cookie))
        elif not self._known(headers.get("cookie", [])):
            await _say(send, 403, "open the link that agentroute inspect printed")
        else:
            await self._app(scope, receive, _sealed(send))

    def _without_token(self, scope: Scope) -> str | None:
        """The address without a token that is right; None where there is none."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if not any(k == "token" and self._same(v) for k, v in query):
            return None
        rest = urlencode([(k, v) for k, v in query if k != "token"])
        path = "/" + scope["path"].lstrip("/")  # '//x' would be another host
        path = path if path.isascii() and path.isprintable() and "\\" not in path else "/"
        return f"{path}?{rest}" if rest else path

    def _known(self, cookies: list[str]) -> bool:
        for header in cookies:
            try:
                found = SimpleCookie(header).get(self._cookie)
            except CookieError:
                continue
            if found is not None and self._same(found.value):
                return True
        return False

    def _same(self, given: str) -> bool:
        return compare_digest(given.encode("utf-8", "replace"), self._token.encode())


def _sealed(send: Send) -> Send:
    async def sealed(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(k, v) for k, v in message.get("headers", []) if k.decode() not in HEADERS]
            message = {**message, "headers": [*own, *_FIXED]}
        await send(message)

    return sealed


async def _say(send: Send, status: int, words: str, *more: tuple[str, str]) -> None:
    headers = [("content-type", "text/plain; charset=utf-8"), *more]
    raw = [(k.encode(), v.encode("latin-1")) for k, v in headers]
    start = {"type": "http.response.start", "status": status, "headers": [*raw, *_FIXED]}
    await send(start)
    await send({"type": "http.response.body", "body": words.encode()})
