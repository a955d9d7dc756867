"""Text embedding that works offline: static word vectors by default, hashing by choice."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import orjson

from agentroute.config.plugins import PartKind, is_object
from agentroute.config.settings import Settings
from agentroute.errors import ConfigError, MissingExtraError
from agentroute.features.pieces import Pieces
from agentroute.model.arrays import F32
from agentroute.model.arrays import MAX_CHARS as MAX_CHARS
from agentroute.model.arrays import Embedder as Embedder
from agentroute.model.arrays import normalise as normalise
from agentroute.model.plans import AgentUse, Spec


class WordLlamaEmbedder:
    """Mean of static 256-d token vectors, then L2 (weights of the installed ``wordllama`` wheel).

    Reads the wheel's files directly: its own loader asks the network for the tokenizer.
    """

    id = "wordllama-l2-supercat-256"
    dim = 256

    def __init__(self) -> None:
        self._pieces, self._table = _wordllama_files()

    def encode(self, texts: Sequence[str]) -> F32:
        """See ``Embedder.encode``."""
        out = np.zeros((len(texts), self.dim), np.float32)
        for i, text in enumerate(texts):
            if ids := self._pieces.ids(text[:MAX_CHARS]):
                out[i] = np.add.reduce(self._table.take(ids, axis=0), axis=0) / np.float32(len(ids))
        return normalise(out)


@lru_cache(maxsize=1)
def _wordllama_files() -> tuple[Pieces, F32]:
    spec = importlib.util.find_spec("wordllama")
    if spec is None or spec.origin is None:
        raise MissingExtraError("all", needed_for="the embedder 'wordllama'")
    root = Path(spec.origin).parent
    weights = next(root.rglob("l2_supercat_256.safetensors"), None)
    config = next(root.rglob("l2_supercat_tokenizer_config.json"), None)
    if weights is None or config is None:
        raise ConfigError(
            "the installed wordllama has no 256-d weights", hint="use embedder: hashing"
        )
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(config))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    table = next(iter(load_file(str(weights)).values()))
    return Pieces(tokenizer), table.astype(np.float32)


_WORD = re.compile(r"[^\W_]+", re.UNICODE)


class HashingEncoder:
    """Hashed words and character 3- to 5-grams inside word bounds, signed, then L2.

    Needs no file at all. Features whose hash is equal add up (Weinberger et al. 2009).
    """

    def __init__(self, dim: int = 1024) -> None:
        if dim < 16:
            raise ConfigError("the hashing encoder needs dim >= 16", field="dim")
        self.dim = dim
        self.id = f"hashing-{dim}"

    def encode(self, texts: Sequence[str]) -> F32:
        """See ``Embedder.encode``."""
        out = np.zeros((len(texts), self.dim), np.float32)
        for i, text in enumerate(texts):
            for gram in _grams(text[:MAX_CHARS].lower()):
                h = zlib.crc32(gram.encode())
                out[i, h % self.dim] += 1.0 if h & 0x8000_0000 else -1.0
        return normalise(np.sign(out) * np.sqrt(np.abs(out)))


def _grams(text: str) -> list[str]:
    grams: list[str] = []
    for word in _WORD.findall(text):
        padded = f" {word} "
        grams.append(f"w:{word}")
        for n in (3, 4, 5):
            grams += [padded[i : i + n] for i in range(len(padded) - n + 1)]
    return grams


EMBEDDERS = PartKind(
    "embedder", "embedder", "agentroute.embedders",
    own={
        "wordllama": WordLlamaEmbedder,
        "hashing": HashingEncoder,
        "openai": "agentroute.adapters.vectors.endpoint:OpenAIEmbedder",
        "sentence-transformers": "agentroute.features.localmodels:sentence_transformers",
        "model2vec": "agentroute.features.localmodels:model2vec",
        "fastembed": "agentroute.features.localmodels:fastembed",
    },
)  # fmt: skip


def make_embedder(
    spec: Spec | Embedder = "wordllama", *, trusted: bool = False, state: Path | None = None
) -> Embedder:
    """The embedder that ``spec`` names, with its parameters, or ``spec`` itself where it is one.

    The same spec gives the same object. ``state`` is where one that is paid for keeps its vectors.
    Only a ``trusted`` spec, from the user's own settings or Python, may name ``module:Class``.

    Raises:
        ConfigError: an unknown name or parameter, code from an untrusted spec, or no embedder.
        MissingExtraError: it needs a library that is not installed.
    """
    if is_object(spec):
        return _checked(spec)
    use = AgentUse.of(spec, field="embedder")
    if ":" in use.name and not trusted:
        EMBEDDERS.find(use.name)  # says why not
    return _made(orjson.dumps(use.written(), option=orjson.OPT_SORT_KEYS), state)


def embedder_of(settings: Settings) -> Embedder:
    """The embedder that a user's own settings name.

    Raises:
        ConfigError, MissingExtraError: see ``make_embedder``.
    """
    return make_embedder(settings.embedder, trusted=True, state=Path(settings.state))


@lru_cache(maxsize=8)
def _made(written: bytes, state: Path | None) -> Embedder:
    use = AgentUse.of(orjson.loads(written), field="embedder")
    make = EMBEDDERS.find(use.name, trusted=True)
    return _checked(EMBEDDERS.make(use.name, make, use.params, offered={"state": state}), use.name)


def _checked(embedder: object, name: str = "") -> Embedder:
    hint = "agentroute.testing.check_embedder says what an embedder must do"
    made: Embedder = EMBEDDERS.checked(
        embedder, Embedder, name=name, lacks="id, dim or encode", hint=hint
    )
    return made


async def encoded(embedder: Embedder, texts: Sequence[str]) -> F32:
    """``embedder.encode(texts)``; one that waits for a network (``remote``) waits in a thread."""
    if getattr(embedder, "remote", False):
        return await asyncio.to_thread(embedder.encode, texts)
    return embedder.encode(texts)
