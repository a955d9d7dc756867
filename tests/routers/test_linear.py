"""The supervised router: contract, both heads, newcomers, learning, state, speed."""

import asyncio
import builtins
import time
from dataclasses import replace

import numpy as np
import pytest

from agentroute.errors import ConfigError, MissingExtraError, NotFittedError, RouterStateError
from agentroute.features.text import HashingEncoder
from agentroute.model.candidates import Candidates, Examples, Request
from agentroute.model.cards import CapabilityCard
from agentroute.model.outcomes import Observation
from agentroute.model.tasks import Task
from agentroute.registry.cardset import build_cardset
from agentroute.routers.linear.router import LinearRouter, belongs
from agentroute.testing.routers import check_router

EMBEDDER = HashingEncoder(64)
TOPICS = ("weather forecast", "train ticket", "pasta recipe", "tax return", "guitar chord",
          "flu symptom", "stock price", "garden plant", "phone battery", "movie review",
          "chess opening", "car insurance")  # fmt: skip
FRAMES = ("what about {}", "please help with {}", "{} question", "tell me of a {} now", "my {}")


def cards_of(names):
    return build_cardset([CapabilityCard(name=n, description=n) for n in names], EMBEDDER)


def request_of(cards, prompt, features=None):
    task = Task(prompt=prompt, features=features or {})
    return Request(task, EMBEDDER.encode([prompt])[0], Candidates.idle(cards))


def examples_of(cards, prompts, quality, features=None, abstain=None):
    features = features or [{}] * len(prompts)
    texts = [p or "(no text)" for p in prompts]
    tasks = [Task(prompt=p, features=f) for p, f in zip(texts, features, strict=True)]
    away = np.zeros(len(prompts), bool) if abstain is None else np.asarray(abstain)
    x = EMBEDDER.encode(prompts)
    return Examples(tuple(tasks), x, cards, np.asarray(quality, float), None, None, away)


def intents(topics=TOPICS, copies=8, nobody=0, seed=0):
    rng = np.random.default_rng(seed)
    cards = cards_of(topics)
    pairs = [(f, k) for k in range(len(topics)) for f in FRAMES for _ in range(copies)]
    prompts = [f"{f.format(topics[k])} {rng.integers(1000)}" for f, k in pairs]
    quality = np.eye(len(topics))[[k for _, k in pairs]]
    odd = [f"zorg blip {rng.integers(9999)} qux" for _ in range(nobody)]
    away = np.arange(len(prompts) + nobody) >= len(prompts)
    quality = np.vstack([quality, np.zeros((nobody, len(topics)))])
    return examples_of(cards, prompts + odd, quality, abstain=away)


def score(router, request):
    return asyncio.run(router.score(request))


def best(router, request):
    return str(request.candidates.names[score(router, request).mean.argmax()])


def state_equal(a, b):
    return a.meta == b.meta and all(np.array_equal(a.arrays[k], b.arrays[k]) for k in b.arrays)


@pytest.fixture(scope="module")
def classifier():
    router = LinearRouter()
    router.fit(intents(nobody=60), seed=3)
    return router


def test_conformance():
    assert len(check_router(LinearRouter)) >= 15


def test_asked_before_fit():
    cards = cards_of(TOPICS)
    with pytest.raises(NotFittedError):
        score(LinearRouter(), request_of(cards, "hello"))
    o = Observation(1, "d", request_of(cards, "hello"), TOPICS[0], quality=1.0)
    with pytest.raises(NotFittedError):
        LinearRouter().update(o)


def test_fit_without_labels_is_refused():
    cards = cards_of(TOPICS[:2])
    with pytest.raises(ConfigError):
        LinearRouter().fit(examples_of(cards, ["a", "b"], np.full((2, 2), np.nan)))


def test_bad_trust_is_refused():
    with pytest.raises(ConfigError):
        LinearRouter(trust=0)


def test_missing_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "sklearn":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match="'fit'"):
        LinearRouter().fit(intents(copies=1))


def test_classifier_tells_topics_apart_and_refuses_what_nobody_knows(classifier):
    cards = cards_of(TOPICS)
    for topic in TOPICS:
        request = request_of(cards, f"could you do a {topic} for me")
        assert best(classifier, request) == topic
        assert score(classifier, request).out_of_scope < 0.5
    assert score(classifier, request_of(cards, "zorg blip 17 qux")).out_of_scope >= 0.5


def test_terms_add_up_and_mean_is_a_share(classifier):
    s = score(classifier, request_of(cards_of(TOPICS), "train ticket 4"))
    np.testing.assert_allclose(sum(s.terms.values()), s.mean, atol=1e-9)
    assert s.mean.sum() <= 1.0 + 1e-6


def test_a_newcomer_is_found_by_its_card_and_harms_nobody(classifier):
    cards = cards_of((*TOPICS, "opera house"))
    assert best(classifier, request_of(cards, "opera house question 12")) == "opera house"
    hits = [best(classifier, request_of(cards, f"please help with {t}")) == t for t in TOPICS]
    assert all(hits)


def test_a_subset_of_agents_is_scored_alike(classifier):
    request = request_of(cards_of(TOPICS), "garden plant question")
    keep = np.array([7, 2, 9])
    part = replace(request, candidates=request.candidates.take(keep))
    np.testing.assert_allclose(score(classifier, part).mean, score(classifier, request).mean[keep])


def test_state_round_trip_of_the_classifier(classifier):
    other = LinearRouter()
    other.load_state_dict(classifier.state_dict())
    request = request_of(cards_of((*TOPICS, "opera house")), "movie review of an opera")
    a, b = score(classifier, request), score(other, request)
    assert np.array_equal(a.mean, b.mean)
    assert a.out_of_scope == b.out_of_scope
    assert state_equal(classifier.state_dict(), other.state_dict())


def test_fit_is_deterministic():
    a, b = LinearRouter(), LinearRouter()
    for router in (a, b):
        router.fit(intents(copies=2), seed=5)
    assert state_equal(a.state_dict(), b.state_dict())


def test_another_embedder_is_refused(classifier):
    other = HashingEncoder(32)
    cards = build_cardset([CapabilityCard(name="a", description="a")], other)
    request = Request(Task(prompt="x"), other.encode(["x"])[0], Candidates.idle(cards))
    with pytest.raises(RouterStateError):
        score(classifier, request)


def test_truncated_state_is_refused(classifier):
    state = classifier.state_dict()
    state.meta.pop("arms")
    with pytest.raises(RouterStateError):
        LinearRouter().load_state_dict(state)


def graded(m=240, seed=0, text=True):
    """Three agents: which is best depends on the feature, and for 'b' on the text."""
    rng = np.random.default_rng(seed)
    cards = cards_of(("one", "two", "three"))
    kind = np.array(["a", "b"])[rng.integers(2, size=m)]
    sums = rng.random(m) < 0.5
    p = np.tile([0.8, 0.3, 0.3], (m, 1))
    p[kind == "b"] = [0.2, 0.5, 0.4]
    p[(kind == "b") & sums] = [0.2, 0.1, 0.9]
    words = np.where(sums, "compute 12 plus 30 and 55", "tell a story about the sea")
    prompts = [f"{w} {i}" for i, w in enumerate(words)] if text else [""] * m
    quality = (rng.random((m, 3)) < p).astype(float)
    return examples_of(cards, prompts, quality, features=[{"kind": k} for k in kind])


def test_graded_outcomes_use_features_and_then_text():
    router = LinearRouter()
    router.fit(graded(600))
    cards = cards_of(("one", "two", "three"))
    for prompt, kind, agent in (
        ("tell a story about the sea 9", "a", "one"),
        ("tell a story about the sea 9", "b", "two"),
        ("compute 12 plus 30 and 55 7", "b", "three"),
    ):
        assert best(router, request_of(cards, prompt, {"kind": kind})) == agent


def test_state_round_trip_of_the_graded_head_and_its_reason():
    router, other = LinearRouter(), LinearRouter()
    router.fit(graded(600), seed=1)
    other.load_state_dict(router.state_dict())
    request = request_of(cards_of(("one", "two", "three")), "compute 12 plus 30", {"kind": "b"})
    a, b = score(router, request), score(other, request)
    assert np.array_equal(a.mean, b.mean)
    assert state_equal(router.state_dict(), other.state_dict())
    assert "text" in a.reason


def fastest(router, request):
    """Seconds of CPU of the quickest of thirty decisions."""

    async def one():
        start = time.process_time()
        await router.score(request)
        return time.process_time() - start

    return min(asyncio.run(one()) for _ in range(30))


def test_a_graded_decision_with_text_is_fast():
    router = LinearRouter()
    router.fit(graded(600))
    request = request_of(cards_of(("one", "two", "three")), "compute 12 plus 30", {"kind": "b"})

    assert fastest(router, request) < 0.001


def test_without_text_the_features_decide():
    router = LinearRouter()
    router.fit(graded(text=False))
    cards = cards_of(("one", "two", "three"))
    request = request_of(cards, "(no text)", {"kind": "a"})
    request = replace(request, embedding=np.zeros(64, np.float32))
    s = score(router, request)
    assert s.mean.argmax() == 0
    assert abs(s.mean[0] - 0.8) < 0.15


@pytest.mark.parametrize("m", [1, 2, 10])
def test_few_rows(m):
    router = LinearRouter()
    router.fit(graded(m))
    s = score(router, request_of(cards_of(("one", "two", "three")), "a", {"kind": "never seen"}))
    assert np.isfinite(s.mean).all()


def test_constant_arms_and_partly_observed_rows():
    e = graded(80)
    q = np.full((80, 3), 0.5)
    q[:, 2] = np.nan
    q[:3] = np.nan
    router = LinearRouter()
    router.fit(replace(e, quality=q))
    s = score(router, request_of(e.cards, "a", {"kind": "a"}))
    np.testing.assert_allclose(s.mean[:2], 0.5, atol=1e-6)


def test_abstain_rows_of_a_graded_table_are_refused_by_feature():
    e = graded(300)
    away = np.arange(300) % 5 == 0
    tasks = [
        t.model_copy(update={"features": {"kind": "spam"}}) if w else t
        for t, w in zip(e.tasks, away, strict=True)
    ]
    router = LinearRouter()
    router.fit(replace(e, tasks=tuple(tasks), abstain=away))
    prompt = "tell a story about the sea"
    assert score(router, request_of(e.cards, prompt, {"kind": "spam"})).out_of_scope >= 0.5
    assert score(router, request_of(e.cards, prompt, {"kind": "a"})).out_of_scope < 0.5


def test_folded_outcomes_move_an_agent_by_its_shrunken_residual():
    router = LinearRouter(trust=20.0)
    router.fit(graded())
    request = request_of(cards_of(("one", "two", "three")), "a story", {"kind": "a"})
    before = score(router, request).mean
    for seq in range(20):
        router.update(Observation(seq, f"d{seq}", request, "one", quality=0.0))
    after = score(router, request).mean
    assert after[0] == pytest.approx(before[0] / 2, abs=1e-6)  # 20 rows against trust 20
    np.testing.assert_array_equal(after[1:], before[1:])


def test_who_belongs():
    assert belongs(intents(copies=1))
    assert not belongs(graded(50))


def test_score_is_fast_with_150_agents():
    names = [f"agent {i} topic{i}" for i in range(150)]
    prompts = [f"about topic{i} please" for i in range(150) for _ in range(2)]
    cards = cards_of(names)
    router = LinearRouter()
    router.fit(examples_of(cards, prompts, np.repeat(np.eye(150), 2, axis=0)))
    request = request_of(cards, "about topic42 please, and soon, as in the last week")

    assert fastest(router, request) < 0.002
