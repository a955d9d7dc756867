"""The reasoning router over 150 agents of real queries (CLINC150): prefilter, sets, newcomers."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from agentroute.choosing.sets import recall_at, set_metrics
from agentroute.evaluation.stream import Stream
from agentroute.evaluation.tables.reading import load_table
from agentroute.features.text import make_embedder
from agentroute.model.objective import Objective
from agentroute.registry.cardset import build_cardset
from agentroute.routers.reasoning.router import ReasoningRouter

DATA = Path(__file__).parents[2] / "examples" / "data" / "clinc150"
EMBEDDER = make_embedder()


@lru_cache(maxsize=1)
def table():
    return load_table(DATA)


def rows_of(split, rng, m):
    return rng.permutation(table().rows([split]))[:m]


@pytest.mark.checklist("TC10")
def test_the_prefilter_keeps_the_right_card_in_a_wide_registry():
    t, router = table(), ReasoningRouter(embedder=EMBEDDER, use_model=False, max_cards=40)
    stream = Stream(t, EMBEDDER, Objective())
    rows = [i for i in rows_of("val", np.random.default_rng(0), 260) if not t.abstain[i]]
    opinions = [router.offline.judge(stream.request(i)) for i in rows]
    assert all(len(router.prefilter(o)) == 40 for o in opinions)
    quality = np.array([o.quality for o in opinions])
    recall = {m: recall_at(quality, t.scores[rows], m) for m in (1, 10, 40, 150)}
    print("recall@M by cards alone:", {m: round(r, 3) for m, r in recall.items()})
    assert recall[40] >= 0.88 and recall[10] >= 0.75 and recall[150] == 1.0


@pytest.mark.slow
@pytest.mark.checklist("TC8")
async def test_metrics_on_real_queries_and_agents_that_training_never_saw():
    t, rng = table(), np.random.default_rng(0)
    held = rng.choice(len(t.arms), 15, replace=False)
    kept = np.setdiff1d(np.arange(len(t.arms)), held)
    label = np.where(t.abstain, -1, t.scores.argmax(axis=1))
    train = [i for i in rows_of("train", rng, 5000) if label[i] not in held]
    examples = t.examples(np.array(train), EMBEDDER)
    cards = build_cardset([t.cards[i] for i in kept], EMBEDDER)
    router = ReasoningRouter(embedder=EMBEDDER, use_model=False)
    router.fit(replace(examples, cards=cards, quality=examples.quality[:, kept]))
    stream = Stream(t, EMBEDDER, Objective())
    names, before = stream.candidates.names, stream.candidates.take(kept)
    chosen, wanted, alone = [], [], []
    for i in rows_of("val", rng, 1500):
        request = stream.request(i)
        scores = await router.score(request)
        chosen.append({str(names[j]) for j in router.choose_set(scores)})
        wanted.append(set() if label[i] < 0 else {str(names[label[i]])})
        if label[i] in kept:
            old = await router.score(replace(request, candidates=before))
            best = int(scores.mean.argmax())
            alone.append((best == label[i], kept[old.mean.argmax()] == label[i]))
    m = set_metrics(chosen, wanted, unseen=[str(names[j]) for j in held])
    with_new, without = np.mean(alone, axis=0)
    print({k: round(v, 3) for k, v in m.items()}, "old agents:", with_new, "before:", without)
    assert m["hit"] >= 0.78 and m["exact"] >= 0.7 and m["mean_size"] <= 1.5
    assert m["onboarding"] >= 0.5 and without - with_new < 0.03
