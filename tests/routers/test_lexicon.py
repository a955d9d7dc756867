import numpy as np
import pytest

from agentroute.choosing.prior import CardPrior
from agentroute.routers.linucb.priors.lexicon import (
    CARD,
    CHARS,
    COLUMNS,
    MU,
    SCALE,
    Lexicon,
    text_columns,
)
from agentroute.routers.linucb.priors.prototypes import Prototypes
from agentroute.routers.linucb.router import LinUCB
from agentroute.routers.linucb.single import only
from agentroute.routers.parts.index import ArmIndex
from tests.routers import tools as t

WORDS = [f"word{i}" for i in range(40)]


def says(prompt, cards):
    return t.request(t.candidates(cards), t.unit(np.random.default_rng(0), t.E), prompt=prompt)


def talk(rng):
    return " ".join(rng.choice(WORDS, 6))


def cards_that_say(*descriptions):
    return t.cardset(len(descriptions), seed=1, descriptions=descriptions)


def taught(cards, m, *, seed=0):
    """A lexicon with m successes of random agents, and its arms."""
    lexicon, arms, rng = Lexicon(), ArmIndex(), np.random.default_rng(seed)
    for _ in range(m):
        name = f"a{int(rng.integers(len(cards)))}"
        one, row = only(says(talk(rng), cards), name), arms.add(name)
        lexicon.read(one, row, 1.0)
        lexicon.fold(one, row, float(rng.random()))
    return lexicon, arms


def test_a_success_and_a_card_by_hand():
    cards = cards_that_say("red", "blue")
    lexicon, arms, r = Lexicon(), ArmIndex(), says("red apples", cards)
    one, row = only(r, "a0"), arms.add("a0")
    lexicon.read(only(says("green apples", cards), "a0"), row, 1.0)
    lexicon.read(one, row, 1.0)
    lexicon.fold(one, row, 0.5)
    (apples,), (red,) = text_columns("apples"), text_columns("red")
    at, card, other = (text_columns(s) for s in ("red apples", cards.cards[0].text(),
                                                 cards.cards[1].text()))  # fmt: skip
    read = {c: 2.0 if c == apples else 1.0 for c in at}  # apples twice, the rest once
    b = np.array([(read[c] + 0.5) / (2 * len(at) + 0.5 * COLUMNS) for c in at])
    n = np.array([0.5 + CARD * (c in card) for c in at])
    seen = np.minimum(n, 1.0) * np.log(1.0 / (MU * b)) + np.log(np.maximum(n, 1.0))
    total = CARD * len(card) + 0.5 * len(at)
    got = lexicon.ratios(r, arms)
    assert red in card and not set(other) & set(at)
    assert got[0] == pytest.approx((seen.mean() - np.log((total + MU) / MU)) / SCALE, abs=1e-6)
    assert got[1] == pytest.approx(-np.log((CARD * len(other) + MU) / MU) / SCALE), "nothing shared"


def test_of_whole_successes_it_is_dirichlets_model():
    """ln(n / (mu b)) for ln(n / (mu b) + 1) where n > 0: less, by little where words are rare."""
    cards = cards_that_say("red", "blue")
    lexicon, arms, rng = Lexicon(), ArmIndex(), np.random.default_rng(1)
    for i in range(400):
        name = f"a{i % 2}"
        one, row = (
            only(says(f"{rng.integers(200)} {rng.integers(200)} so", cards), name),
            arms.add(name),
        )
        lexicon.read(one, row, 1.0)
        lexicon.fold(one, row, 1.0)
    at = text_columns("7 8 9")
    b = (lexicon.df[at] + 0.5) / (lexicon.seen + 0.5 * COLUMNS)
    got = lexicon.ratios(says("7 8 9", cards), arms)
    for i in range(2):
        row = arms.get(f"a{i}")
        p = (lexicon.N[at, row] + MU * b) / (lexicon.total[row] + MU)
        assert 0.0 <= np.log(p / b).mean() - got[i] * SCALE <= 0.05


def test_what_is_scored_is_what_is_learned_from():
    cards = t.cardset(7)
    lexicon, arms = taught(cards, 60)
    for prompt in (WORDS[0], " ".join(WORDS), "does it a3", "neverheard"):
        r = says(prompt, cards)
        own = [lexicon.own(only(r, n), arms.get(n)) for n in cards.names]
        ratios = lexicon.ratios(r, arms)
        np.testing.assert_allclose(ratios, own, atol=1e-5)


def test_a_loaded_lexicon_goes_on_bit_equal_and_a_reset_forgets():
    cards = t.cardset(5)
    lexicon, arms = taught(cards, 40)
    again, r = Lexicon(), says(" ".join(WORDS[:9]), cards)
    again.load(lexicon.arrays())
    for one in (lexicon, again):
        own = only(r, "a2")
        one.read(own, arms.get("a2"), 0.5)
        one.fold(own, arms.get("a2"), 0.5)
    np.testing.assert_array_equal(lexicon.ratios(r, arms), again.ratios(r, arms))
    for name, value in lexicon.arrays().items():
        np.testing.assert_array_equal(value, again.arrays()[name])
    lexicon.reset(arms.get("a2"))
    told, untold = says("word1 word2", cards), Lexicon()
    untold.read(only(told, "a0"), 1, 1.0)
    untold.df, untold.seen = lexicon.df, lexicon.seen
    assert lexicon.ratios(told, arms)[2] == untold.ratios(told, arms)[2], "its card speaks alone"
    assert lexicon.ratios(told, arms)[0] != untold.ratios(told, arms)[0]


def test_the_order_and_the_number_of_candidates_change_nothing():
    cards = t.cardset(9)
    lexicon, arms = taught(cards, 50)
    r = says("word1 word2 word3", cards)
    whole = lexicon.ratios(r, arms)
    keep = np.random.default_rng(1).permutation(9)[:4]
    few = t.request(r.candidates.take(keep), r.embedding, prompt=r.task.prompt)
    np.testing.assert_array_equal(lexicon.ratios(few, arms), whole[keep])


def test_what_is_derived_is_of_what_was_counted():
    cards = cards_that_say("word1 word2", "word3", "other things")
    lexicon, arms, rng = Lexicon(), ArmIndex(), np.random.default_rng(2)
    for name in ("a0", "a2", "a0", "a1", "a0"):
        one, row = only(says(talk(rng), cards), name), arms.add(name)
        lexicon.read(one, row, 1.0)
        lexicon.fold(one, row, 0.25)
    np.testing.assert_allclose(lexicon.total, lexicon.N.sum(axis=0))
    np.testing.assert_array_equal(lexicon._logs, np.log(np.maximum(lexicon.N, np.float32(1))))
    assert lexicon.seen == lexicon.df.sum()


def test_the_start_of_a_long_text_is_read_and_an_odd_one_says_nothing():
    cards = t.cardset(3)
    lexicon, arms = taught(cards, 20)
    start = ("word1 " * CHARS)[:CHARS]
    long, short = says(start + " word9", cards), says(start, cards)
    np.testing.assert_array_equal(lexicon.ratios(long, arms), lexicon.ratios(short, arms))
    for odd in (says("?!", cards), only(says("word1", cards), "nobody")):
        assert not lexicon.ratios(odd, ArmIndex()).any()
        assert lexicon.own(odd, 99) == 0.0
    silent = Lexicon()
    assert not silent.ratios(short, arms).any(), "nothing was read yet"
    assert sum(v.nbytes for v in silent.arrays().values()) < 100


def test_words_tell_apart_what_the_embedding_cannot():
    """All tasks and cards have one embedding; the word names the agent that is right."""
    e = t.unit(np.random.default_rng(3), t.E)
    cards = t.cardset(6, embedding=np.tile(e, (6, 1)))
    router, rng, right = LinUCB(alpha=0.5), np.random.default_rng(4), 0
    for seq in range(1, 601):
        i = int(rng.integers(6))
        r = t.request(t.candidates(cards), e, prompt=f"please could you {WORDS[i]} this")
        s = t.score(router, r)
        pick = int((s.mean + s.bonus).argmax()) if rng.random() > 0.1 else int(rng.integers(6))
        right += seq > 500 and int(s.mean.argmax()) == i
        router.update(t.observe(seq, r, f"a{pick}", float(pick == i)))
    assert router.prior.t > 0.2
    assert right >= 70, "without words, 17"


def test_words_that_say_nothing_get_no_say():
    """Quality follows the embedding alone, then the reverse of the words: t stays at 0."""
    cards, rng = t.cardset(4), np.random.default_rng(5)
    p, arms = Prototypes(CardPrior(1.0, 0.5)), ArmIndex()
    for _ in range(400):
        r, name = says(talk(rng), cards), f"a{int(rng.integers(4))}"
        one, row = only(r, name), arms.add(name)
        p.fold(one, row, float(np.clip(1.0 - 2.0 * p.lexicon.own(one, row), 0.0, 1.0)), 1.0)
        assert p.t >= 0.0 and p.slope >= 0.0
    assert p.t == 0.0
    left = np.linalg.solve(p.G[:2, :2], p.g[:2])
    np.testing.assert_allclose([p.delta, p.slope], left if left[1] > 0 else [p.delta, 0.0])
