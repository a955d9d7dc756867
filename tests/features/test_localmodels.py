"""Embedding models that run here: each library by its own call, its id, and what is missing."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from agentroute import Orchestrator, Registry
from agentroute.errors import ConfigError, MissingExtraError
from agentroute.features.text import HashingEncoder, make_embedder
from agentroute.testing import check_embedder

WORDS = HashingEncoder(32)


class SentenceTransformer:
    def __init__(self, model):
        if "nothere" in model:
            raise OSError(f"{model} is no folder and no id")

    def encode(self, texts, *, convert_to_numpy, show_progress_bar):
        assert convert_to_numpy and not show_progress_bar
        return 3 * WORDS.encode(texts)


class StaticModel:
    @classmethod
    def from_pretrained(cls, model):
        SentenceTransformer(model)
        return cls()

    def encode(self, texts):
        return WORDS.encode(texts).astype(np.float64)


class TextEmbedding:
    def __init__(self, model_name, specific_model_path=None):
        SentenceTransformer(model_name)

    def embed(self, texts):
        yield from WORDS.encode(texts)


LIBRARIES = {
    "sentence-transformers": ("sentence_transformers", SentenceTransformer),
    "model2vec": ("model2vec", StaticModel),
    "fastembed": ("fastembed", TextEmbedding),
}


@pytest.fixture(params=sorted(LIBRARIES))
def library(request, monkeypatch):
    module, cls = LIBRARIES[request.param]
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(**{cls.__name__: cls}))
    return request.param


def test_each_keeps_the_protocol_and_names_library_and_model(library):
    mine = make_embedder({"name": library, "model": "some-model"})
    assert (mine.id, mine.dim) == (f"{library}-some-model", 32)
    check_embedder(lambda: mine)


def test_the_weights_of_a_folder_are_part_of_its_id(library, tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    key = "path" if library == "fastembed" else "model"
    spec = {"name": library, "model": "some-model", key: str(folder)}

    def id_of(weights):
        (folder / "model.safetensors").write_bytes(weights)
        (folder / "README.md").write_text(str(weights))
        from agentroute.features import localmodels

        made = getattr(localmodels, library.replace("-", "_"))
        return made(**{k: v for k, v in spec.items() if k != "name"}).id

    one, two = id_of(b"one"), id_of(b"two")
    assert one != two and one.startswith(f"{library}-weights-") and id_of(b"one") == one


def test_a_model_that_is_not_there_is_one_line(library):
    with pytest.raises(ConfigError, match="cannot load the model 'nothere'"):
        make_embedder({"name": library, "model": "nothere"})


@pytest.mark.parametrize("name", sorted(LIBRARIES))
def test_a_library_that_is_missing_is_one_line_that_names_its_extra(name, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, LIBRARIES[name][0], None)
    with pytest.raises(MissingExtraError) as e:
        Orchestrator(
            Registry(), embedder={"name": name, "model": "m"}, ledger=f"sqlite:///{tmp_path}/a.db"
        )
    assert f"the extra '{name}'" in str(e.value)
    assert e.value.hint == f"pip install 'agentroute-router[{name}]'"
