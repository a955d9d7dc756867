"""The context vector x of a task: what a linear router sees of it."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from agentroute.errors import ConfigError, RouterStateError
from agentroute.model.arrays import F32, F64
from agentroute.model.candidates import Candidates
from agentroute.model.tasks import Task

BIAS = 0.2  # the constant's share of the squared length; the blocks have the rest, so |x| <= 1
CHUNK = 15
MAX_SLOTS = 240

AGENT = ("one", "similarity", "prior", "load", "latency", "success")
LATENCY_S = 2.0


def silent(embedding: F32) -> bool:
    """Whether ``embedding`` (e,) is that of an empty text: all zeros."""
    return not embedding[0] and not embedding.any()  # the first entry of a text is hardly ever 0


def agent_vectors(candidates: Candidates, cosine: F64) -> F64:
    """Z (n, 6): what is known of each agent, in the order of ``AGENT`` (arXiv 2602.00966).

    [1, (cos + 1) / 2, prior quality, load, latency / 2 s, share of calls without error], each
    clipped to [0, 1], a row divided by its length where that is above 1. Unknown latency is 0.5.
    """
    c = candidates
    z = np.empty((len(c), len(AGENT)))
    z[:, 0], z[:, 1], z[:, 2], z[:, 3] = 1.0, (cosine + 1.0) / 2.0, c.prior, c.load
    z[:, 4], z[:, 5] = np.nan_to_num(c.latency_s / LATENCY_S, nan=0.5), c.success
    np.clip(z, 0.0, 1.0, out=z)
    return np.asarray(z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1.0))


class ContextVector:
    """x = [sqrt(bias), sqrt(s) R'e, sqrt(t) f / sqrt(#f)], s + t + bias = 1, so that |x| <= 1.

    ``e`` is the prompt's embedding, ``R`` a fixed-seed matrix with ``width`` orthonormal columns
    (scaled to keep lengths; Johnson and Lindenstrauss 1984), or the identity where ``width`` is
    None or not smaller than the embedding. ``f`` is 1 at the slots of the task's feature values.

    ``bias`` is the constant's share of the squared length, ``text`` the embedding's share of the
    rest, s = text (1 - bias). With ``fill`` a task without text gives the idle share to its
    features; a task without features gives its text the share ``alone`` of the rest, and x is
    shorter by what is left: a stronger ridge where there are hundreds of columns.

    The vocabulary grows by ``observe`` alone. New slots come at the end, so a matrix over the
    old x is padded exactly. A value that was never observed has no slot: it adds nothing. Beyond
    240 values, new ones share the slots by their hash.
    """

    def __init__(
        self,
        width: int | None = 48,
        *,
        seed: int = 0,
        bias: float = BIAS,
        fill: bool = False,
        text: float = 0.5,
        alone: float = 1.0,
    ) -> None:
        if width is not None and width < 1:
            raise ConfigError(f"width is {width}", field="width", hint="at least 1, or null")
        for name, share in (("text", text), ("alone", alone)):
            if not 0.0 <= share <= 1.0:
                raise ConfigError(f"{name} is {share}", field=name, hint="a share, 0 to 1")
        self.width, self.seed = width, seed
        self.bias, self.fill, self.text, self.alone = bias, fill, text, alone
        self.vocabulary: dict[str, int] = {}
        self.slots = CHUNK
        self._matrices: dict[int, F32 | None] = {}

    def dim(self, e: int) -> int:
        """Length of x for embeddings of length ``e``."""
        return 1 + self._projected(e) + self.slots

    def vector(self, task: Task, embedding: F32) -> F64:
        """The vector x (d,) of a task with ``embedding`` (e,); changes nothing."""
        e = len(embedding)
        p = self._projected(e)
        x = np.zeros(1 + p + self.slots)
        x[0] = self.bias**0.5
        text, features = self._shares(task, embedding)
        if text:
            r = self._matrix(e)
            np.multiply(embedding if r is None else embedding @ r, text**0.5, out=x[1 : 1 + p])
        self._write_features(task, x[1 + p :], features)
        square = float(x.dot(x))  # at most 1 also bounds every entry
        return x if square <= 1.0 else x / square**0.5

    def observe(self, task: Task) -> bool:
        """Give unseen feature values a slot; True when x has become longer."""
        before = self.slots
        for item in task.features.items():
            key = "=".join(item)
            if key not in self.vocabulary and len(self.vocabulary) < MAX_SLOTS:
                self.vocabulary[key] = len(self.vocabulary)
        while self.slots < len(self.vocabulary):
            self.slots += CHUNK
        return self.slots > before

    def meta(self) -> dict[str, Any]:
        """The vocabulary and the projection's parameters, as JSON."""
        return {"width": self.width, "seed": self.seed, "vocabulary": list(self.vocabulary)}

    def load(self, meta: dict[str, Any]) -> None:
        """Continue with a saved vocabulary.

        Raises:
            RouterStateError: it was made with another projection.
        """
        if (meta["width"], meta["seed"]) != (self.width, self.seed):
            raise RouterStateError(
                f"the state was learned with width {meta['width']} and seed {meta['seed']}",
                hint=f"this router has width {self.width} and seed {self.seed}",
            )
        self.vocabulary = {key: i for i, key in enumerate(meta["vocabulary"])}
        self.slots = max(CHUNK, -(-len(self.vocabulary) // CHUNK) * CHUNK)

    def _shares(self, task: Task, embedding: F32) -> tuple[float, float]:
        """Squared lengths of the embedding and of the features."""
        rest = 1.0 - self.bias
        if not self.fill or (task.features and not silent(embedding)):
            return self.text * rest, (1.0 - self.text) * rest
        return (0.0, rest) if task.features else (self.alone * rest, 0.0)

    def _write_features(self, task: Task, f: F64, share: float) -> None:
        if not task.features:
            return
        value = (share / len(task.features)) ** 0.5
        for item in task.features.items():
            key = "=".join(item)
            slot = self.vocabulary.get(key)
            if slot is not None:
                f[slot] += value
            elif len(self.vocabulary) >= MAX_SLOTS:
                f[zlib.crc32(key.encode()) % self.slots] += value

    def _projected(self, e: int) -> int:
        return e if self.width is None else min(e, self.width)

    def _matrix(self, e: int) -> F32 | None:
        if e not in self._matrices:
            self._matrices[e] = self._make_matrix(e)
        return self._matrices[e]

    def _make_matrix(self, e: int) -> F32 | None:
        p = self._projected(e)
        if p == e:
            return None
        q, _ = np.linalg.qr(np.random.default_rng([self.seed, e]).standard_normal((e, p)))
        return np.ascontiguousarray(q * (e / p) ** 0.5, np.float32)
