"""Outcome tables: what every arm scored on every task, as arrays.

A folder holds ``outcomes.jsonl`` (or ``.jsonl.gz``), ``arms.json`` and ``meta.json``. Nothing is
defaulted in silence: a value that is not understood is a ``TableError`` that names file, row and
column. The stated rules are: an absent arm of a ``sparse`` table scores 0, one of a ``partial``
table is not known (``propensity`` then says what could have been chosen); an empty prompt is
allowed (its embedding is a row of zeros, its task text is ``NO_TEXT``); of a prompt the first
``features.text.MAX_CHARS`` characters are kept and ``clipped`` counts the prompts that were cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.errors import TableError, did_you_mean
from agentroute.features.text import Embedder
from agentroute.model.arrays import F32, F64, Ints
from agentroute.model.candidates import CardSet, Examples
from agentroute.model.cards import CapabilityCard, Pricing
from agentroute.model.tasks import Task
from agentroute.registry.cardset import build_cardset

NO_TEXT = "-"
SPLITS = ("train", "val", "test")
TYPICAL_TOKENS = 1_000
MAX_WEIGHT = 10.0  # of a label, in 1 / propensity: rarer choices count no more (a little bias)

Objects = NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm of a table. Prices are US dollars per million tokens, None where unknown."""

    name: str
    description: str
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None

    @property
    def expected_usd(self) -> float | None:
        """Price of a typical call: 1,000 tokens in and 1,000 out. None without prices."""
        if self.input_usd_per_mtok is None and self.output_usd_per_mtok is None:
            return None
        per_mtok = (self.input_usd_per_mtok or 0.0) + (self.output_usd_per_mtok or 0.0)
        return per_mtok * TYPICAL_TOKENS / 1e6


@dataclass(frozen=True, eq=False)
class OutcomeTable:
    """m tasks by n arms.

    Shapes: ``scores`` and ``process`` (how well the work was done) (m, n) in [0, 1]; ``cost_usd``,
    ``latency_s``, ``tokens`` (m, n); NaN where not measured, or None where the table has none;
    ``abstain`` (m,) True where nobody should be called; ``ids``, ``split`` (m,) strings.
    ``prompts`` and ``features`` have m entries.

    A partial table knows what was chosen alone: ``scores`` are NaN elsewhere, and ``propensity``
    (m, n) is each candidate's probability to be chosen, NaN for who was none. ``skills`` are the
    required skills of each row; ``own_cards`` the arms' cards, where they say more than ``arms``.
    """

    name: str
    arms: tuple[Arm, ...]
    ids: Objects
    split: Objects
    prompts: tuple[str, ...]
    features: tuple[Mapping[str, str], ...]
    scores: F64
    cost_usd: F64 | None
    latency_s: F64 | None
    abstain: NDArray[np.bool_]
    sparse: bool = False
    clipped: int = 0
    meta: Mapping[str, Any] = field(default_factory=dict)
    propensity: F64 | None = None
    skills: tuple[tuple[str, ...], ...] | None = None
    own_cards: tuple[CapabilityCard, ...] | None = None
    tokens: F64 | None = None
    process: F64 | None = None
    _vectors: dict[str, F32] = field(default_factory=dict, repr=False)
    _cards: dict[str, CardSet] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the known attributes, sorted."""
        return tuple(sorted({k for row in self.features for k in row}))

    @cached_property
    def cards(self) -> tuple[CapabilityCard, ...]:
        """One card an arm, in the order of the arms; names made plain where they are not."""
        if self.own_cards is not None:
            return self.own_cards
        names = _plain_names([a.name for a in self.arms])
        return tuple(_card(a, n) for a, n in zip(self.arms, names, strict=True))

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """One task a row. The id is the row's, an empty prompt becomes ``NO_TEXT``."""
        skills = self.skills or ((),) * len(self)
        rows = zip(self.ids, self.prompts, self.features, skills, strict=True)
        return tuple(
            Task(id=i, prompt=p if p.strip() else NO_TEXT, features=dict(f), skills=s)
            for i, p, f, s in rows
        )

    @property
    def partial(self) -> bool:
        """Whether only the outcomes of what was chosen are known."""
        return self.propensity is not None

    def weights(self, rows: Ints) -> F64 | None:
        """(k, n) of the labels of ``rows``: 1 / propensity up to 10, 0 where there is none.

        None where all labels are known.
        """
        if self.propensity is None:
            return None
        p = np.where(np.isnan(self.scores[rows]), np.nan, self.propensity[rows])
        return np.nan_to_num(np.minimum(1.0 / p, MAX_WEIGHT))

    def column(self, feature: str) -> Objects:
        """(m,) values of one feature, '' where a row does not have it.

        Raises:
            TableError: no row has a feature of that name.
        """
        if feature not in self.feature_names:
            raise TableError(
                f"{self.name}: no feature is called '{feature}'",
                hint=did_you_mean(feature, self.feature_names),
            )
        return np.array([row.get(feature, "") for row in self.features], dtype=object)

    def rows(self, splits: Sequence[str]) -> Ints:
        """Positions of the rows whose split is one of ``splits`` (aliases resolved), in order."""
        wanted = [split_name(s) for s in splits]
        return np.flatnonzero(np.isin(self.split.astype(str), wanted))

    def embedding(self, embedder: Embedder) -> F32:
        """(m, e) embeddings of the prompts; zeros where the prompt is empty. Computed once."""
        if embedder.id not in self._vectors:
            self._vectors[embedder.id] = embedder.encode(self.prompts)
        return self._vectors[embedder.id]

    def cardset(self, embedder: Embedder) -> CardSet:
        """The arms as agents. Costs are the arms' prices, never a mean over the table's rows."""
        if embedder.id not in self._cards:
            self._cards[embedder.id] = build_cardset(self.cards, embedder)
        return self._cards[embedder.id]

    def examples(self, rows: Ints, embedder: Embedder) -> Examples:
        """The labels of ``rows`` (positions), for routers that are fitted."""
        return Examples(
            tasks=tuple(self.tasks[i] for i in rows),
            embedding=self.embedding(embedder)[rows],
            cards=self.cardset(embedder),
            quality=self.scores[rows],
            cost_usd=None if self.cost_usd is None else self.cost_usd[rows],
            latency_s=None if self.latency_s is None else self.latency_s[rows],
            abstain=self.abstain[rows],
            weight=_even(self.weights(rows)),
        )


def _even(weight: F64 | None) -> F64 | None:
    """Scaled to a mean of 1 for each arm over what is known of it."""
    if weight is None:
        return None
    known = (weight > 0).sum(axis=0)
    return np.asarray(weight * known / np.maximum(weight.sum(axis=0), 1e-12))


def split_name(word: str) -> str:
    """The split that a word means: ``valid``, ``validation`` and ``dev`` mean ``val``.

    Raises:
        TableError: not the name of a split.
    """
    name = {"valid": "val", "validation": "val", "dev": "val"}.get(word, word)
    if name not in SPLITS:
        raise TableError(f"'{word}' is not a split", hint="splits are train, val and test")
    return name


def _card(arm: Arm, name: str) -> CapabilityCard:
    pricing = Pricing(
        input_mtok_usd=arm.input_usd_per_mtok or 0.0,
        output_mtok_usd=arm.output_usd_per_mtok or 0.0,
        expected_usd=arm.expected_usd,
    )
    return CapabilityCard(name=name, description=arm.description[:4_000], pricing=pricing)


def _plain_names(names: Sequence[str]) -> list[str]:
    """Arm names as card names: other characters become '_', a clash gets a number."""
    taken: set[str] = set()
    return [_plain(n, taken) for n in names]


def _plain(name: str, taken: set[str]) -> str:
    base = re.sub(r"[^A-Za-z0-9_.\- ]", "_", name)[:110]
    if not base[:1].isalnum() or not base[:1].isascii():
        base = f"a{base}"
    plain = next(c for c in _numbered(base) if c not in taken)
    taken.add(plain)
    return plain


def _numbered(base: str) -> Iterator[str]:
    yield base
    k = 2
    while True:
        yield f"{base}-{k}"
        k += 1
