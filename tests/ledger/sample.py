"""Decision records of any size, by seed; shared by the tests of ledger and learning."""

from __future__ import annotations

import numpy as np

from agentroute.model.candidates import Candidates, CardSet, Request
from agentroute.model.cards import CapabilityCard, Skill
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.events import Note
from agentroute.model.ids import sha256
from agentroute.model.objective import Bounds, Objective
from agentroute.model.outcomes import Feedback, Outcome
from agentroute.model.scores import Scores
from agentroute.model.tasks import Message, Task


def cardset(n=6, e=8, seed=0):
    rng = np.random.default_rng(seed)
    cards = tuple(
        CapabilityCard(
            name=f"agent-{i:03d}",
            description=f"does thing {i}",
            skills=(Skill(id=f"s{i % 3}"),),
            prior_quality=round(rng.random(), 3),
            params={"depth": i},
        )
        for i in range(n)
    )
    x = rng.normal(size=(n, e)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    names = np.array([c.name for c in cards], dtype=object)
    sha = sha256(x.tobytes() + repr(cards).encode())
    return CardSet(cards, names, x, sha, "test-8", {c.name: i for i, c in enumerate(cards)})


def candidates(cards, rng):
    n = len(cards)
    rows = np.sort(rng.permutation(n)[: max(1, n - n // 4)]).astype(np.int64)
    m = len(rows)
    cost = np.where(rng.random(m) < 0.2, np.nan, rng.random(m))
    return Candidates(
        cards, rows, cards.names[rows], cards.embedding[rows], rng.random(m), rng.random(m),
        rng.random(m), cost, rng.random(m), np.floor(rng.random(m) * 3), rng.random(m) < 0.9,
        rng.random(m) < 0.1,
    )  # fmt: skip


def record(i=0, *, run="r1", cards=None, seed=0, k=1, kind="route", attempt=1, task=None, at=""):
    rng = np.random.default_rng([seed, i])
    cards = cards if cards is not None else cardset()
    c = candidates(cards, rng)
    n = len(c)
    task = task or Task(
        id=f"t{i}",
        prompt=f"do thing {i}",
        features={"lang": "py"},
        history=(Message(role="user", text=f"earlier {i}"),),
        skills=("s1",),
        depends_on={"t": 0.7},
        params={"x": [1, {"y": 2.5}]},
    )
    embedding = rng.normal(size=cards.embedding.shape[1]).astype(np.float32)
    request = Request(
        task,
        embedding,
        c,
        Objective(1.0, 0.3, 0.1, Bounds(0.0, rng.random(), 0.0, 2.0)),
        ("agent-000",),
        2,
        b'{"reply": 1}',
    )
    quality, clip = rng.random(n), rng.normal(size=n)
    mean = quality + clip
    mean[rng.random(n) < 0.2] = np.nan
    scores = Scores(
        mean, rng.random(n), {"quality": quality, "clip": clip}, "because", 0.25, b"\x00\xffmodel"
    )
    p = rng.dirichlet(np.ones(n))
    picked = rng.choice(n, size=min(k, n), replace=False)
    out = np.setdiff1d(np.arange(len(cards)), c.rows)
    decision = Decision(
        id=f"{run}-d{i}",
        run_id=run,
        task_id=task.id,
        kind=kind,
        attempt=attempt,
        policy="linucb",
        policy_version="@0",
        chosen=tuple(c.names[picked].tolist()),
        propensity=float(p[picked[0]]),
        reason="highest",
        seed=7,
        at=at,
    )
    return DecisionRecord(
        decision,
        request,
        scores,
        p,
        {"note": "x", "n": 3},
        out.astype(np.int64),
        (out % 2).astype(np.uint8),
        ("no skill", "over budget"),
    )


def same_array(a, b):
    if a is None or b is None:
        return a is b
    return (
        a.dtype == b.dtype
        and a.shape == b.shape
        and (a.tolist() == b.tolist() if a.dtype == object else a.tobytes() == b.tobytes())
    )


def same_request(a, b):
    ca, cb = a.candidates, b.candidates
    fields = ("rows", "names", "embedding", "prior", "load", "latency_s", "cost_usd", "success",
              "inflight", "explorable", "canary")  # fmt: skip
    return (
        a.task == b.task
        and same_array(a.embedding, b.embedding)
        and all(same_array(getattr(ca, f), getattr(cb, f)) for f in fields)
        and (a.objective, a.upstream, a.stage, a.recorded)
        == (b.objective, b.upstream, b.stage, b.recorded)
        and same_cards(ca.cards, cb.cards)
    )


def same_cards(a, b):
    return (
        a.cards == b.cards
        and same_array(a.names, b.names)
        and same_array(a.embedding, b.embedding)
        and (a.sha256, a.embedder_id, dict(a.index)) == (b.sha256, b.embedder_id, dict(b.index))
    )


def fill_mixed(ledger, rounds):
    """``rounds`` times a decision, its outcome, a feedback and a note: seq 1 to 4 * rounds."""
    cards = cardset()
    for i in range(rounds):
        ledger.append(record(i, cards=cards))
        ledger.append(Outcome(decision_id=f"r1-d{i}", agent="agent-001", cost_usd=0.1 * i))
        ledger.append(Feedback(id=f"f{i}", target="decision", target_id=f"r1-d{i}", score=0.5))
        ledger.append(Note(id=f"n{i}", run_id="r1", type="x", data={"i": i}))
