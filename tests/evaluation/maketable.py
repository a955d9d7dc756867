"""Small outcome tables written to disk or built in memory, for tests."""

import gzip
import json

import numpy as np

from agentroute.evaluation.tables.reading import Arm, OutcomeTable


def write(folder, rows, arms=("a", "b"), *, meta=None, zipped=False, priced=False):
    folder.mkdir(parents=True, exist_ok=True)
    listed = [{"name": a, "description": f"agent {a}"} for a in arms]
    if priced:
        for k, arm in enumerate(listed):
            arm |= {"input_usd_per_mtok": 1.0 + k, "output_usd_per_mtok": 2.0 + k}
    (folder / "arms.json").write_text(json.dumps(listed))
    (folder / "meta.json").write_text(json.dumps({"name": "toy"} | (meta or {})))
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
    if zipped:
        (folder / "outcomes.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    else:
        (folder / "outcomes.jsonl").write_text(text)
    return folder


def row(i=0, split="train", **changes):
    base = {
        "id": f"t{i}", "split": split, "prompt": f"task number {i}",
        "features": {"kind": "even" if i % 2 == 0 else "odd"}, "scores": {"a": 1.0, "b": 0.0},
    }  # fmt: skip
    return base | changes


def table(m=60, n=3, *, seed=0, splits=("train", "test"), flip=0.1, name="toy", arms=None):
    """Kind k is solved by arm k; each score is flipped with probability ``flip``."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, n, m)
    scores = (np.arange(n) == kind[:, None]).astype(float)
    scores = np.where(rng.random((m, n)) < flip, 1 - scores, scores)
    words = ["refund my order", "fix this traceback", "translate a letter", "book a flight"]
    return OutcomeTable(
        name=name,
        arms=tuple(Arm(a, f"agent {a}") for a in (arms or "abcdefgh"[:n])),
        ids=np.array([f"{name}-{i}" for i in range(m)], dtype=object),
        split=np.array([splits[i % len(splits)] for i in range(m)], dtype=object),
        prompts=tuple(f"{words[k % 4]} {i}" for i, k in enumerate(kind)),
        features=tuple({"kind": f"k{k}"} for k in kind),
        scores=scores,
        cost_usd=None,
        latency_s=None,
        abstain=np.zeros(m, bool),
    )
