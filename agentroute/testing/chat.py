"""A server on loopback that speaks the OpenAI protocol and says what a script tells it.

Real sockets and real HTTP, standard library only: the true client is what a test drives.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from agentroute.features.text import HashingEncoder

Json = dict[str, Any]
FORMATS = frozenset({"text", "json_object", "json_schema"})


@dataclass(frozen=True)
class Say:
    """One scripted answer.

    ``text`` is the assistant's content (a mapping is sent as JSON). ``status`` other than 200 is an
    error with ``headers``. ``delay_s`` waits before the first byte; ``hang`` never answers;
    ``drip_s`` waits between streamed chunks; ``cut`` sends only that many bytes of the body (half a
    JSON); ``finish`` is the finish reason; ``refusal`` replaces the content. ``raw`` is sent as the
    whole body, whatever it is, of a stream too (``headers`` then say its ``Content-Type``).
    """

    text: str | Mapping[str, Any] = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    drip_s: float = 0.0
    hang: bool = False
    cut: int | None = None
    finish: str = "stop"
    refusal: str | None = None
    raw: bytes | None = None

    @property
    def content(self) -> str:
        """The text, or the mapping as JSON."""
        return self.text if isinstance(self.text, str) else json.dumps(dict(self.text))


Vectors = Callable[[list[str], int | None], Any]
Line = Say | str | Mapping[str, Any]
Script = Iterable[Line] | Callable[[Json], Line]


def hashed(texts: list[str], dimensions: int | None) -> list[list[float]]:
    """Rows of hashed words: like texts get like rows, and no file is needed."""
    return [[float(x) for x in row] for row in HashingEncoder(dimensions or 64).encode(texts)]


class ScriptedChatServer:
    """``with ScriptedChatServer(["hello", Say(status=429)]) as server: ... server.base_url``.

    ``script`` is a list of answers, used up one a request (then the server answers 500), or a
    function of the request body. ``formats`` are the response formats it knows; another is refused
    with 400, and a strict schema must be strict, as the real service demands. ``vectors(texts,
    dimensions)`` gives the rows of an ``/embeddings`` request, or a ``Say``; hashed words by
    default. ``requests`` holds every body received and ``keys`` every bearer token, in order.
    """

    def __init__(
        self, script: Script = (), *, formats: Iterable[str] = FORMATS,
        vectors: Vectors = hashed,
    ) -> None:  # fmt: skip
        self._vectors = vectors
        self.formats = frozenset(formats)
        self.requests: list[Json] = []
        self.keys: list[str] = []
        self._script: Callable[[Json], Line] = script if callable(script) else _in_turn(script)
        self._lock = threading.Lock()
        self.closing = threading.Event()

    def __enter__(self) -> ScriptedChatServer:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.scripted = self  # type: ignore[attr-defined]
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def base_url(self) -> str:
        """What ``OPENAI_BASE_URL`` is to be set to."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def env(self) -> dict[str, str]:
        """The variables a client reads: URL, a key and a model."""
        return {
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_API_KEY": "sk-scripted",
            "OPENAI_MODEL": "scripted",
        }

    def embed(self, body: Json, key: str) -> Say:
        """The answer to a request for embeddings; records both."""
        with self._lock:
            self.requests.append(body)
            self.keys.append(key)
        texts = body.get("input", [])
        texts = [texts] if isinstance(texts, str) else texts
        if not body.get("model") or not texts or not all(texts):
            return Say(status=400, text="model and texts that are not empty are required")
        rows = self._vectors(texts, body.get("dimensions"))
        return rows if isinstance(rows, Say) else Say(text=_embeddings(rows, texts, body))

    def answer(self, body: Json, key: str) -> Say:
        """The next answer to ``body``; records both."""
        with self._lock:
            self.requests.append(body)
            self.keys.append(key)
            if (fault := self._fault(body)) is not None:
                return Say(status=400, text=fault)
            line = self._script(body)
        return line if isinstance(line, Say) else Say(text=line)

    def _fault(self, body: Json) -> str | None:
        if not body.get("model") or not body.get("messages"):
            return "model and messages are required"
        asked = body.get("response_format", {"type": "text"})
        if asked.get("type") not in self.formats:
            return f"response_format {asked.get('type')} is not supported"
        if asked["type"] == "json_schema":
            spec = asked.get("json_schema", {})
            if not spec.get("name") or spec.get("strict") is not True:
                return "json_schema needs a name and strict: true"
            return next(_loose(spec.get("schema", {}), "$"), None)
        return None


def _in_turn(script: Iterable[Line]) -> Callable[[Json], Line]:
    left = iter(script)
    return lambda _: next(left, Say(status=500, text="the script has no answer left"))


def _loose(schema: Json, where: str) -> Iterator[str]:
    """What strict mode refuses: an object that is open, or with a property that is optional."""
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            yield f"{where}: additionalProperties must be false"
        if set(schema.get("required", ())) != set(schema.get("properties", {})):
            yield f"{where}: every property must be required"
        for name, part in schema.get("properties", {}).items():
            yield from _loose(part, f"{where}.{name}")
    if isinstance(schema.get("items"), dict):
        yield from _loose(schema["items"], f"{where}[]")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def handle(self) -> None:
        """Serve, and take a client that hangs up for what it is."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def do_POST(self) -> None:
        """``POST /v1/chat/completions`` and ``/v1/embeddings``."""
        server: ScriptedChatServer = self.server.scripted  # type: ignore[attr-defined]
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.path.endswith("/embeddings"):
            say = server.embed(body, key)
            if say.status == 200:
                return self._send(200, say.content.encode()[: say.cut], say.headers)
            return self._send(say.status, _error(say.content), say.headers)
        if not self.path.endswith("/chat/completions"):
            return self._send(404, _error("no such path"), {})
        say = server.answer(body, key)
        if server.closing.wait(3600.0 if say.hang else say.delay_s):
            self.close_connection = True
            return None
        if say.status != 200:
            return self._send(say.status, _error(say.content), say.headers)
        if body.get("stream") and say.raw is None:
            return self._stream(say, body, server.closing)
        payload = json.dumps(_completion(say, body)).encode() if say.raw is None else say.raw
        return self._send(200, payload[: say.cut], say.headers)

    def _send(self, status: int, payload: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _stream(self, say: Say, body: Json, closing: threading.Event) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        sent = 0
        for event in _events(say, body):
            if say.cut is not None and sent >= say.cut:
                return
            self.wfile.write(f"data: {event}\n\n".encode())
            self.wfile.flush()
            sent += len(event)
            if closing.wait(say.drip_s):
                return


def _error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "scripted", "code": None}}).encode()


def _usage(say: Say, body: Json) -> Json:
    """Counted tokens: a token is four characters here, as a rule of thumb has it."""
    sent = sum(len(str(m.get("content", ""))) for m in body["messages"]) // 4
    got = len(say.content) // 4
    return {"prompt_tokens": sent, "completion_tokens": got, "total_tokens": sent + got}


def _embeddings(rows: Any, texts: list[str], body: Json) -> Json:
    data = [
        {"object": "embedding", "index": i, "embedding": [float(x) for x in row]}
        for i, row in enumerate(rows)
    ]
    tokens = sum(map(len, texts)) // 4
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": body["model"], "data": data, "usage": usage}


def _head(body: Json, kind: str) -> Json:
    return {"id": "chatcmpl-scripted", "object": kind, "created": 0, "model": body["model"]}


def _completion(say: Say, body: Json) -> Json:
    content = None if say.refusal else say.content
    message = {"role": "assistant", "content": content, "refusal": say.refusal}
    choice = {"index": 0, "message": message, "finish_reason": say.finish, "logprobs": None}
    return {**_head(body, "chat.completion"), "choices": [choice], "usage": _usage(say, body)}


def _events(say: Say, body: Json) -> Iterator[str]:
    """Server-sent events: the words, the finish reason, the usage if asked for, and the end."""
    head = _head(body, "chat.completion.chunk")
    words = say.content.split(" ")
    for i, word in enumerate(words):
        delta = {"content": word if i == 0 else f" {word}"}
        yield json.dumps({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    last = {"index": 0, "delta": {}, "finish_reason": say.finish}
    yield json.dumps({**head, "choices": [last]})
    if body.get("stream_options", {}).get("include_usage"):
        yield json.dumps({**head, "choices": [], "usage": _usage(say, body)})
    yield "[DONE]"
