"""The nearest decisions of before, by the meaning of their tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from agentroute.ledger.explaining.explanation import PastCase
from agentroute.ledger.reader import Reader
from agentroute.ledger.rows.pack import unpack
from agentroute.model.arrays import F32, F64
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
    here, held = request.embedding, frozenset({"embedding"})
    there = [(unpack(row[2], held).get("embedding"), row) for row in rows]
    alike = [(e, row) for e, row in there if e is not None and e.shape == here.shape]
    if not alike:
        return (), 0
    similar = _cosines(here, np.stack([e for e, _ in alike]))
    found = sorted(zip(similar.tolist(), (r for _, r in alike), strict=True), key=lambda p: -p[0])
    near = [(s, row) for s, row in found if s >= at_least]
    return tuple(_case(reader, s, row) for s, row in near[:most]), len(found) - len(near)


def _cosines(a: F32, others: F32) -> F64:
    """(m,) of a (e,) with each row of (m, e); 0 where one has no length."""
    size = np.linalg.norm(others, axis=1) * np.linalg.norm(a)
    dots = others.astype(np.float64) @ a.astype(np.float64)
    return np.asarray(np.where(size > 0, dots / np.maximum(size, 1e-30), 0.0))


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
