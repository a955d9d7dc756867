"""Embedding models that run here, from libraries that a user installs: one function a library.

Each takes ``model``, a folder or the id under which the library finds it. A folder's weights are
part of the embedder's id, so state that was learned with other weights is not taken for its own.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agentroute.errors import ConfigError, MissingExtraError
from agentroute.model.arrays import F32, MAX_CHARS, normalise

WEIGHTS = (".safetensors", ".bin", ".onnx", ".pt")


class LocalModel:
    """Any function from texts to rows of numbers, as an embedder."""

    def __init__(self, id: str, encode: Callable[[list[str]], Any], dim: int | None = None) -> None:
        self.id, self._encode = id, encode
        self.dim = int(dim) if dim else int(np.asarray(encode(["dim"])).shape[-1])

    def encode(self, texts: Sequence[str]) -> F32:
        """See ``Embedder.encode``. One text at a time, so that a row does not depend on others."""
        out = np.zeros((len(texts), self.dim), np.float32)
        for i, text in enumerate(texts):
            if text.strip():
                out[i] = np.asarray(self._encode([text[:MAX_CHARS]]), np.float32).reshape(-1)
        return normalise(out)


def sentence_transformers(model: str) -> LocalModel:
    """A model of ``sentence-transformers``.

    Raises:
        MissingExtraError: the library is not installed.
        ConfigError: the library cannot load the model.
    """
    library = _library("sentence-transformers", "sentence_transformers")
    loaded = _loaded("sentence-transformers", model, lambda: library.SentenceTransformer(model))

    def encode(texts: list[str]) -> Any:
        return loaded.encode(texts, convert_to_numpy=True, show_progress_bar=False)

    return LocalModel(_id("sentence-transformers", model), encode)


def model2vec(model: str) -> LocalModel:
    """A static model of ``model2vec``.

    Raises:
        MissingExtraError: the library is not installed.
        ConfigError: the library cannot load the model.
    """
    library = _library("model2vec", "model2vec")
    loaded = _loaded("model2vec", model, lambda: library.StaticModel.from_pretrained(model))
    return LocalModel(_id("model2vec", model), loaded.encode)


def fastembed(model: str, path: str | None = None) -> LocalModel:
    """A model of ``fastembed`` by its id; ``path`` is a folder that already holds its files.

    Raises:
        MissingExtraError: the library is not installed.
        ConfigError: the library cannot load the model.
    """
    library = _library("fastembed", "fastembed")
    where = {} if path is None else {"specific_model_path": path}
    loaded = _loaded("fastembed", model, lambda: library.TextEmbedding(model_name=model, **where))

    def encode(texts: list[str]) -> Any:
        return np.stack(list(loaded.embed(texts)))

    return LocalModel(_id("fastembed", model, path), encode)


def _library(extra: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as e:
        raise MissingExtraError(extra, needed_for=f"the embedder '{extra}'") from e


def _loaded(library: str, model: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as e:  # each library raises what it likes
        raise ConfigError(
            f"{library} cannot load the model '{model}': {type(e).__name__}: {str(e)[:200]}",
            field="embedder", hint="model: a folder that is there, or an id that the library knows",
        ) from e  # fmt: skip


def _id(library: str, model: str, path: str | None = None) -> str:
    """The library, the model's name, and the SHA-256 of its weights where they are in a folder."""
    folder = Path(path or model)
    if not folder.is_dir():
        return f"{library}-{model}"
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.suffix in WEIGHTS):
        with file.open("rb") as f:
            while block := f.read(1 << 20):
                digest.update(block)
    return f"{library}-{folder.resolve().name}-{digest.hexdigest()[:12]}"
