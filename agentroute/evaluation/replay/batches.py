"""Batches whose items were given to agents together, dealt again as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from agentroute.choosing.exploration import Epsilon
from agentroute.choosing.policy import Policy
from agentroute.choosing.together import Batching, Given, deal_out
from agentroute.errors import RouterStateError, UsageError
from agentroute.model.candidates import Request
from agentroute.model.decisions import DecisionRecord

Key = tuple[str, str, str]


class Batched:
    """The items of ``records`` by batch; what each batch's items get is worked out once."""

    def __init__(self, records: Iterable[DecisionRecord]) -> None:
        self._of: dict[Key, list[DecisionRecord]] = {}
        self._dealt: dict[Key, dict[str, Given]] = {}
        for record in records:
            if (said := record.context.get("assign")) is not None:
                self._of.setdefault(_key(record, said), []).append(record)

    async def again(
        self, policy: Policy, record: DecisionRecord, request_of: Callable[..., Request]
    ) -> Given:
        """What the item of ``record`` gets when its batch is dealt by ``policy`` as it is.

        Raises:
            RouterStateError: rows of the batch are missing.
            UsageError: the policy draws no share epsilon first.
        """
        said = record.context["assign"]
        key = _key(record, said)
        if key not in self._dealt:
            self._dealt[key] = await self._deal(policy, key, said, request_of)
        return self._dealt[key][record.decision.id]

    async def _deal(
        self, policy: Policy, key: Key, said: dict[str, Any], request_of: Callable[..., Request]
    ) -> dict[str, Given]:
        records = sorted(self._of[key], key=lambda r: r.decision.seq)
        if len(records) != said["of"]:
            raise RouterStateError("rows of a batch are missing: it cannot be dealt again")
        if not isinstance(policy.exploration, Epsilon):
            raise UsageError("a batch is dealt by a policy that explores by epsilon")
        batching = Batching(
            batch=said["batch"], first=said["first"], of=said["of"], wait=said["wait"],
            taken=dict(said["taken"]), probed=tuple(said["probed"]),
            least=said.get("least", 0.0),  # rows of an older release have none
        )  # fmt: skip
        requests = [request_of(r) for r in records]
        scores = await policy.scores_many(requests)
        given = deal_out(
            requests, scores, batching, exploration=policy.exploration,
            seed=records[0].decision.seed, run_id=key[0],
        )  # fmt: skip
        return {r.decision.id: g for r, g in zip(records, given, strict=True)}


def _key(record: DecisionRecord, said: dict[str, Any]) -> Key:
    return record.decision.run_id, said["batch"], said["first"]
