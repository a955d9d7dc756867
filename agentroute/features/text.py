"""Text embedding that works offline: static word vectors by default, hashing by choice."""

from __future__ import annotations

import importlib.util
import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from agentroute.errors import ConfigError, MissingExtraError, did_you_mean
from agentroute.model.arrays import F32
from agentroute.model.arrays import Embedder as Embedder

MAX_CHARS = 20_000  # both embedders read this much of a text and no more


def normalise(x: F32) -> F32:
    """Rows scaled to length 1; rows of zeros stay zeros."""
    n = np.linalg.norm(x, axis=-1, keepdims=True)
    return (x / np.where(n > 0, n, 1.0)).astype(np.float32)


class WordLlamaEmbedder:
    """Mean of static 256-d token vectors, then L2 (weights of the installed ``wordllama`` wheel).

    Reads the wheel's files directly: its own loader asks the network for the tokenizer.
    """

    id = "wordllama-l2-supercat-256"
    dim = 256

    def __init__(self) -> None:
        self._tokenizer, self._table = _wordllama_files()

    def encode(self, texts: Sequence[str]) -> F32:
        """See ``Embedder.encode``. About 0.1 ms a short text."""
        out = np.zeros((len(texts), self.dim), np.float32)
        clipped = [t[:MAX_CHARS] for t in texts]
        if len(clipped) == 1:  # a batch of one would wake a pool of threads
            found = [self._tokenizer.encode(clipped[0], add_special_tokens=False)]
        else:
            found = self._tokenizer.encode_batch(clipped, add_special_tokens=False)
        for i, enc in enumerate(found):
            if enc.ids:
                out[i] = self._table[enc.ids].mean(axis=0)
        return normalise(out)


@lru_cache(maxsize=1)
def _wordllama_files() -> tuple[Any, F32]:
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
    return tokenizer, table.astype(np.float32)


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


EMBEDDERS = ("wordllama", "hashing")


@lru_cache(maxsize=4)
def make_embedder(name: str = "wordllama") -> Embedder:
    """The embedder of that name; the same object for the same name.

    Raises:
        ConfigError: an unknown name.
    """
    if name == "wordllama":
        return WordLlamaEmbedder()
    if name == "hashing":
        return HashingEncoder()
    raise ConfigError(f"unknown embedder '{name}'", hint=did_you_mean(name, EMBEDDERS))
