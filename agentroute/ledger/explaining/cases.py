"""The nearest decisions of before, by the meaning of their tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from agentroute.ledger.explaining.explanation import PastCase
from agentroute.ledger.reader import Reader
from agentroute.ledger.rows.pack import unpack
from agentroute.model.decisions import DecisionRecord

AT_LEAST, LOOK_BACK = 0.6, 1_000
_JUDGED = """
SELECT d.id, d.body, d.packed, d.chosen,
       (SELECT avg(f.score) FROM feedback f WHERE f.target_id IN (d.id, d.run_id) AND f.seq < ?1)
FROM decisions d
WHERE d.kind = 'route' AND d.seq < ?1 AND d.packed IS NOT NULL AND d.chosen != ''
  AND EXISTS (SELECT 1 FROM feedback f WHERE f.target_id IN (d.id, d.run_id) AND f.seq < ?1)
ORDER BY d.seq DESC LIMIT ?2
"""


def past_cases(
    reader: Reader, record: DecisionRecord, *, most: int = 5, at_least: float = AT_LEAST
) -> tuple[tuple[PastCase, ...], int]:
    """Judged decisions before this one whose task is at least so similar, the nearest first.

    Beside them: how many were less similar and left out. Looks back over 1,000 judged decisions;
    similarity is the cosine of the embeddings.
    """
    request = record.request
    if request is None or most < 1:
        return (), 0
    rows = reader.fetch(_JUDGED, (record.decision.seq, LOOK_BACK))
    here = request.embedding
    found = []
    for row in rows:
        there = unpack(row[2]).get("embedding")
        if there is not None and there.shape == here.shape:
            found.append((_cosine(here, there), row))
    found.sort(key=lambda pair: -pair[0])
    near = [(s, row) for s, row in found if s >= at_least]
    return tuple(_case(reader, s, row) for s, row in near[:most]), len(found) - len(near)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else 0.0


def _case(reader: Reader, similarity: float, row: tuple[Any, ...]) -> PastCase:
    decision_id, body, _, chosen, score = row
    text = reader.blob(orjson.loads(body)["task"]["prompt"])
    prompt = "[erased]" if text is None else text.decode("utf-8", "surrogatepass")
    return PastCase(
        decision_id=decision_id,
        similarity=round(min(similarity, 1.0), 4),
        prompt=prompt,
        chosen=tuple(chosen.split(",")),
        score=float(score),
    )
