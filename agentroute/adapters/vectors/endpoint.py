"""Vectors from an OpenAI-compatible ``/v1/embeddings``: in batches, each text paid for once."""

from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agentroute.adapters.vectors.cache import VectorCache
from agentroute.adapters.wire import typed_errors
from agentroute.errors import ConfigError, ModelReplyError
from agentroute.model.arrays import F32, MAX_CHARS, normalise
from agentroute.model.calls import Usage
from agentroute.model.ids import sha256

if TYPE_CHECKING:
    from openai import OpenAI

BATCH = 128


class OpenAIEmbedder:
    """An embedding model behind an endpoint.

    ``dimensions`` is asked of the endpoint and checked; without it the endpoint is asked once, when
    this is built, how many numbers it gives. ``base_url`` None means ``OPENAI_BASE_URL``; the key
    is ``OPENAI_API_KEY``. ``input_mtok_usd`` is the price of a million tokens. ``state`` is a
    folder where vectors are kept under their text's SHA-256. A text is read up to 20,000
    characters. ``remote`` says that ``encode`` waits for a network.

    Raises:
        ConfigError: no model, no endpoint, or a number out of its range.
    """

    remote = True

    def __init__(
        self,
        model: str,
        *,
        dimensions: int | None = None,
        base_url: str | None = None,
        input_mtok_usd: float | None = None,
        batch: int = BATCH,
        timeout_s: float = 30.0,
        state: Path | None = None,
        env: Mapping[str, str] = os.environ,
    ) -> None:
        _check(model, dimensions, batch, input_mtok_usd, timeout_s)
        self.model, self._dimensions, self._price = model, dimensions, input_mtok_usd
        self._batch, self._timeout_s, self._env = batch, timeout_s, env
        self._base_url = base_url
        self._lock, self._used = threading.Lock(), Usage()
        self._endpoint()
        self.dim = dimensions or self._ask(["dimensions"]).shape[1]
        self.id = f"openai-{model}-{self.dim}"
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", self.id)[:80] + f"-{sha256(self.id.encode())[:8]}.db"
        self._kept = VectorCache(state / "embeddings" / name if state else None, self.dim)

    def encode(self, texts: Sequence[str]) -> F32:
        """See ``Embedder.encode``. Waits for the endpoint where a text is new.

        Raises:
            AgentTimeoutError, AgentFailedError: the endpoint did not answer, or refused.
            ModelReplyError: its answer is not one vector of ``dim`` finite numbers a text.
        """
        clipped = [t[:MAX_CHARS] for t in texts]
        keys = {t: sha256(t.encode("utf-8", "replace")) for t in clipped if t.strip()}
        found = self._kept.get(list(keys.values()))
        new = [t for t, key in keys.items() if key not in found]
        for at in range(0, len(new), self._batch):
            part = new[at : at + self._batch]
            got = {keys[t]: row for t, row in zip(part, self._ask(part), strict=True)}
            self._kept.put(got)
            found |= got
        out = np.zeros((len(texts), self.dim), np.float32)
        for i, t in enumerate(clipped):
            if t in keys:
                out[i] = found[keys[t]]
        return out

    def take_usage(self) -> Usage:
        """What was used since this was asked last; dollars where a price is known."""
        with self._lock:
            used, self._used = self._used, Usage()
        return used

    def _ask(self, texts: Sequence[str]) -> F32:
        body: dict[str, Any] = {
            "model": self.model, "input": list(texts), "encoding_format": "float",
        }  # fmt: skip
        if self._dimensions:
            body["dimensions"] = self._dimensions
        with typed_errors(self.model, self._timeout_s), self._connect() as client:
            raw = client.embeddings.create(timeout=self._timeout_s, **body)
        self._book(raw, texts)
        return normalise(self._rows(raw, len(texts)))

    def _rows(self, raw: Any, n: int) -> F32:
        said = sorted(getattr(raw, "data", None) or (), key=lambda d: d.index or 0)
        try:
            rows = np.array([d.embedding for d in said], np.float32)
        except (TypeError, ValueError):
            rows = np.zeros(0, np.float32)
        wanted = self._dimensions or (rows.shape[1] if rows.ndim == 2 else 0)
        if rows.shape != (n, wanted) or not wanted or not np.isfinite(rows).all():
            shape = " x ".join(map(str, rows.shape))
            raise ModelReplyError(
                f"model '{self.model}' sent {shape} numbers for {n} texts of {wanted} dimensions",
                hint="embedder: {name: openai, model: M, dimensions: what the model gives}",
            )
        return rows

    def _book(self, raw: Any, texts: Sequence[str]) -> None:
        """Tokens as the endpoint counts them, else four characters a token."""
        said = getattr(getattr(raw, "usage", None), "prompt_tokens", None)
        tokens = said if isinstance(said, int) and said >= 0 else sum(map(len, texts)) // 4
        with self._lock:
            total = min(self._used.input_tokens + tokens, 10**12)
            usd = None if self._price is None else total * self._price / 1e6
            self._used = Usage(input_tokens=total, cost_usd=usd)

    def _endpoint(self) -> tuple[str, str]:
        url = self._base_url or self._env.get("OPENAI_BASE_URL") or ""
        key = self._env.get("OPENAI_API_KEY") or ""
        if not (key or url):
            raise ConfigError(
                "the embedder 'openai' has no endpoint", field="embedder",
                hint="set OPENAI_BASE_URL or OPENAI_API_KEY",
            )  # fmt: skip
        return url or "https://api.openai.com/v1", key or "none"

    def _connect(self) -> OpenAI:
        """A client of its own for each question: a rotated key holds, nothing is left open."""
        from openai import DefaultHttpxClient, OpenAI

        url, key = self._endpoint()
        # A redirect would take the texts to somebody else.
        plain = DefaultHttpxClient(follow_redirects=False, timeout=self._timeout_s)
        return OpenAI(base_url=url, api_key=key, max_retries=2, http_client=plain)


def _check(
    model: str, dimensions: int | None, batch: int, price: float | None, timeout_s: float
) -> None:
    if not isinstance(model, str) or not model.strip():
        raise ConfigError("needs a model", field="embedder.model", hint="model: NAME")
    whole = {"dimensions": dimensions if dimensions is not None else 1, "batch": batch}
    for name, value in whole.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError("must be a whole number from 1 up", field=f"embedder.{name}")
    for name, number in {"input_mtok_usd": price or 0.0, "timeout_s": timeout_s}.items():
        if not isinstance(number, (int, float)) or not math.isfinite(number) or number < 0:
            raise ConfigError("must be a number from 0 up", field=f"embedder.{name}")
