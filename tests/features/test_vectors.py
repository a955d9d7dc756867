import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentroute.errors import ConfigError, RouterStateError
from agentroute.features.text import make_embedder
from agentroute.features.threads import _pools, one_thread
from agentroute.features.vectors import CHUNK, MAX_SLOTS, ContextVector
from agentroute.model.tasks import Task


def embedding(seed, e=32):
    x = np.random.default_rng(seed).standard_normal(e)
    return (x / np.linalg.norm(x)).astype(np.float32)


@pytest.mark.checklist("SC2")
@given(
    features=st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=5),
    seed=st.integers(0, 999),
    width=st.sampled_from([None, 1, 4, 48]),
    scale=st.sampled_from([0.0, 1.0, 100.0]),
)
def test_short_bounded_and_deterministic(features, seed, width, scale):
    context, task = ContextVector(width), Task(prompt="x", features=features)
    context.observe(task)
    e = scale * embedding(seed)
    x = context.vector(task, e)
    assert x.shape == (context.dim(32),)
    assert np.linalg.norm(x) <= 1 + 1e-9
    assert np.abs(x).max() <= 1
    np.testing.assert_array_equal(x, context.vector(task, e))
    again = ContextVector(width)
    again.load(context.meta())
    np.testing.assert_array_equal(x, again.vector(task, e))


@pytest.mark.checklist("SC2")
def test_golden_vector():
    context = ContextVector(None)
    task = Task(prompt="x", features={"lang": "py", "kind": "fix"})
    context.observe(task)
    x = context.vector(task, np.array([0.6, 0.8], np.float32))
    expected = np.zeros(3 + CHUNK)
    expected[:3] = [0.2**0.5, 0.6 * 0.4**0.5, 0.8 * 0.4**0.5]
    expected[3:5] = 0.2**0.5
    np.testing.assert_allclose(x, expected, atol=1e-7)


def test_the_text_has_the_share_it_is_given_and_all_of_an_idle_block():
    context, e = ContextVector(None, bias=0.02, fill=True, text=0.1), embedding(0)
    e /= np.linalg.norm(e)
    both, bare = Task(prompt="x", features={"kind": "0"}), Task(prompt="x")
    context.observe(both)
    x = context.vector(both, e)
    assert (x[1:33] ** 2).sum() == pytest.approx(0.098, abs=1e-6)
    assert (x[33:] ** 2).sum() == pytest.approx(0.882, abs=1e-6)
    assert (context.vector(bare, e)[1:33] ** 2).sum() == pytest.approx(0.98, abs=1e-6)
    assert (context.vector(both, 0 * e)[33:] ** 2).sum() == pytest.approx(0.98, abs=1e-6)
    with pytest.raises(ConfigError, match="text"):
        ContextVector(None, text=1.5)


def test_a_text_alone_may_be_told_to_leave_x_shorter():
    context, e = ContextVector(None, bias=0.02, fill=True, alone=0.6), embedding(0)
    x = context.vector(Task(prompt="x"), e)
    assert x @ x == pytest.approx(0.02 + 0.6 * 0.98, abs=1e-6)
    with_features = Task(prompt="x", features={"kind": "0"})
    context.observe(with_features)
    assert context.vector(with_features, e) @ context.vector(with_features, e) == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="alone"):
        ContextVector(None, alone=-0.1)


def test_an_unseen_value_adds_nothing_and_a_new_one_goes_to_the_end():
    context = ContextVector(4)
    known = Task(prompt="x", features={"kind": "0"})
    context.observe(known)
    before = context.vector(known, embedding(0))
    unseen = context.vector(Task(prompt="x", features={"kind": "?"}), embedding(0))
    assert not unseen[5:].any()
    for i in range(CHUNK + 1):
        context.observe(Task(prompt="x", features={"kind": str(i)}))
    after = context.vector(known, embedding(0))
    assert len(after) == len(before) + CHUNK
    np.testing.assert_array_equal(after[: len(before)], before)
    assert not after[len(before) :].any()


def test_a_large_vocabulary_is_hashed():
    context = ContextVector(4)
    for i in range(MAX_SLOTS + 50):
        context.observe(Task(prompt="x", features={"id": str(i)}))
    assert context.slots == MAX_SLOTS
    x = context.vector(Task(prompt="x", features={"id": "new"}), embedding(0))
    assert np.count_nonzero(x[5:]) == 1


def test_projection_keeps_lengths_on_average():
    context = ContextVector(16)
    none = Task(prompt="x")
    squares = [np.sum(context.vector(none, embedding(i, 256))[1:17] ** 2) for i in range(300)]
    assert np.mean(squares) == pytest.approx(0.4, abs=0.04)


def test_errors():
    with pytest.raises(ConfigError):
        ContextVector(0)
    with pytest.raises(RouterStateError):
        ContextVector(4).load(ContextVector(5).meta())


def test_one_thread_limits_and_restores():
    from threadpoolctl import threadpool_info, threadpool_limits

    def threads():
        return [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]

    _pools.cache_clear()  # another test may have looked before SciPy brought a pool of its own
    with threadpool_limits(2, user_api="blas"):
        before = threads()
        with one_thread():
            assert set(threads()) == {1}
            with one_thread():
                pass  # leaving an inner one must not restore the outer one's threads
            assert set(threads()) == {1}
        assert threads() == before


@pytest.mark.parametrize(
    ("text", "features"), [(True, {}), (False, {"a": "b"}), (True, {"a": "b"})]
)
def test_an_idle_block_gives_its_share_to_the_other(text, features):
    context, task = ContextVector(None, bias=0.02, fill=True), Task(prompt="x", features=features)
    context.observe(task)
    x = context.vector(task, embedding(0) if text else 0.0 * embedding(0))
    assert x @ x == pytest.approx(1.0, abs=1e-6)
    assert x[1:33] @ x[1:33] == pytest.approx(0.98 * text / (1 + bool(features) * text), abs=1e-6)


def test_a_text_alone_is_encoded_as_in_a_batch():
    embedder, texts = make_embedder(), ["I was charged twice", "", "Überweisung 5 €", "x" * 30_000]
    together = embedder.encode(texts)
    alone = np.concatenate([embedder.encode([t]) for t in texts])
    assert alone.tobytes() == together.tobytes()
