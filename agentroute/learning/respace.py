"""What was recorded with another embedder, embedded anew: the ledger holds the texts."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import lru_cache

from agentroute.errors import RouterStateError
from agentroute.ledger.rows.decode import ERASED
from agentroute.model.arrays import Embedder
from agentroute.model.candidates import CardSet, Request
from agentroute.registry.cardset import build_cardset

log = logging.getLogger(__name__)


class Respace:
    """Requests in the space of one embedder, whatever they were recorded with.

    So a change of the embedder loses nothing that was learned but what was learned from texts that
    were erased. Each embedder met is logged once.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._met: set[str] = set()
        self._anew = lru_cache(maxsize=256)(self._embed)
        self._cards = lru_cache(maxsize=16)(self._embed_cards)

    def of(self, request: Request) -> Request:
        """The request itself where it is of this space, else one with embeddings made anew.

        Raises:
            RouterStateError: it is of another space and its prompt was erased.
        """
        recorded = request.candidates.cards.embedder_id
        if recorded == self._embedder.id:
            return request
        if recorded not in self._met:
            self._met.add(recorded)
            log.warning(
                "rows recorded with the embedder '%s' are learned again with '%s'",
                recorded, self._embedder.id,
            )  # fmt: skip
        return self._anew(request)

    def _embed(self, request: Request) -> Request:
        if request.task.prompt == ERASED:
            raise RouterStateError(
                "its prompt was erased, and it was recorded with another embedder",
                hint="nothing can be done: what is erased is not learned from again",
            )
        c = request.candidates
        cards = self._cards(c.cards)
        return replace(
            request,
            embedding=self._embedder.encode([request.task.prompt])[0],
            candidates=replace(c, cards=cards, embedding=cards.embedding[c.rows]),
        )

    def _embed_cards(self, cards: CardSet) -> CardSet:
        return build_cardset(cards.cards, self._embedder)
