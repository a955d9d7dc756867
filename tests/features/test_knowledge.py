import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentroute.features.entities import Vocabulary, find_mentions, text_of
from agentroute.features.knowledge import (
    REVERSE,
    STATIC,
    build_graph,
    co_occurrence,
    edge_arrays,
    history,
    learn_knowledge,
)
from agentroute.features.text import HashingEncoder
from agentroute.model.cards import CapabilityCard, Skill
from agentroute.model.tasks import Task
from agentroute.registry.cardset import build_cardset

EMBEDDER = HashingEncoder(64)


def keys(prompt, **features):
    return [m.key for m in find_mentions(Task(prompt=prompt, features=features))]


@pytest.mark.parametrize(
    ("prompt", "key"),
    [
        ("Who runs Acme Corp today?", "name:Acme Corp"),
        ('He said "move fast" twice', "quote:move fast"),
        ("It cost 1,250.50 then", "number:1,250.50"),
        ("up by 12% since", "number:12%"),
        ("on 2024-05-06 it rained", "date:2024-05-06"),
        ("born March 4, 1999 there", "date:march 4, 1999"),
        ("call read_file now", "identifier:read_file"),
        ("the parseJson bug", "identifier:parseJson"),
        ("in os.path.join it fails", "identifier:os.path.join"),
        ("the refund policy applies", "term:refund policy"),
        ("```\nx\n```", "shape:code"),
        ("Traceback (most recent call last)", "shape:error"),
    ],
)
def test_finds_what_a_text_talks_about(prompt, key):
    assert key in keys(prompt)


def test_features_come_first_and_a_date_is_not_a_number_again():
    found = keys("in 1999", repo="a/b", lang="py")
    assert found[:2] == ["feature:lang=py", "feature:repo=a/b"]
    assert "number:1999" not in found
    assert "date:1999" in found


def test_stop_words_and_adverbs_are_no_terms():
    assert not [k for k in keys("it is very quickly done by them") if k.startswith("term:")]


@given(st.text(max_size=400).filter(str.strip))
def test_any_text_is_read_without_failing_and_the_same_way_twice(prompt):
    task = Task(prompt=prompt)
    assert find_mentions(task) == find_mentions(task)


def test_a_million_characters_cost_no_more_than_the_first_four_thousand():
    head = "The refund policy of Acme Corp. " * 125
    assert find_mentions(Task(prompt=head + "x" * 990_000)) == find_mentions(Task(prompt=head))


def test_vocabulary_keeps_what_is_frequent_enough_but_not_everywhere():
    tasks = [
        Task(prompt=f"the {w} report", features={"k": w}) for w in ["ant", "ant", "bee", "cow"]
    ]
    v = Vocabulary.learn([find_mentions(t) for t in tasks], min_tasks=2, max_share=0.9)
    assert "term:ant" in v.index
    assert "term:bee" not in v.index  # too rare
    assert "term:report" not in v.index  # in every task
    assert "feature:k=cow" in v.index  # attributes are always nodes


def test_history_is_a_mean_shrunken_to_zero():
    r = np.array([[0.4, np.nan], [0.2, -0.5], [1.0, 1.0]])
    h = history([[0], [0, 1], []], r, 3, kappa=10.0)
    np.testing.assert_allclose(h, [[0.6 / 12, -0.5 / 11], [0.2 / 11, -0.5 / 11], [0, 0]], rtol=1e-6)


def test_co_occurrence_is_symmetric_and_needs_two_sentences():
    tasks = [Task(prompt="refund policy applies. galaxy shines.")] * 2 + [
        Task(prompt="refund galaxy")
    ]
    mentions = [find_mentions(t) for t in tasks]
    v = Vocabulary.of(["term:refund", "term:policy", "term:galaxy"])
    e = co_occurrence(mentions, v)
    found = dict(zip(zip(e.source.tolist(), e.target.tolist(), strict=True), e.weight, strict=True))
    assert found.keys() == {(0, 1), (1, 0)}  # refund and galaxy met only once
    assert found[0, 1] == pytest.approx(2 / np.sqrt(3 * 2))


CARDS = build_cardset(
    [
        CapabilityCard(name="books", description="refund policy", skills=(Skill(id="money"),)),
        CapabilityCard(name="stars", description="galaxy", skills=(Skill(id="sky"),)),
    ],
    EMBEDDER,
)


def knowledge():
    tasks = [Task(prompt="the refund policy")] * 3 + [Task(prompt="a galaxy")] * 3
    mentions = [find_mentions(t) for t in tasks]
    v = Vocabulary.of(["term:refund", "term:policy", "term:galaxy"])
    residual = np.array([[0.4, -0.4]] * 3 + [[-0.4, 0.4]] * 3)
    return learn_knowledge(mentions, residual, ["books", "stars"], EMBEDDER, vocabulary=v)


GOLDEN = {
    "The refund policy, please": {
        ("agent", "covers", "entity"): {("books", "term:refund"), ("books", "term:policy")},
        ("entity", "co_occurs", "entity"): {
            ("term:refund", "term:policy"),
            ("term:policy", "term:refund"),
        },
    },
    "Which galaxy?": {
        ("agent", "covers", "entity"): {("stars", "term:galaxy")},
        ("entity", "co_occurs", "entity"): set(),
    },
    "Nothing that is known": {
        ("agent", "covers", "entity"): set(),
        ("entity", "co_occurs", "entity"): set(),
    },
}
MENTIONED = [("term:refund", "term:policy"), ("term:galaxy",), ()]


def typed_edges(graph):
    found = {}
    for s, t, relation in graph.edges(keys=True):
        found.setdefault((s[0], relation, t[0]), set()).add((s[1], t[1]))
    return found


@pytest.mark.checklist("AR1")
@pytest.mark.parametrize(("prompt", "mentioned"), list(zip(GOLDEN, MENTIONED, strict=True)))
def test_golden_graph_around_a_task(prompt, mentioned):
    """A task's edges are the rows of what it mentions: all else of it is the same for every task"""
    known, task = knowledge(), Task(id="t", prompt=prompt)
    rows = known.vocabulary.rows(find_mentions(task))
    assert {known.vocabulary.keys[i] for i in rows} == set(mentioned)
    whole = build_graph(known, CARDS, theta=0.3)
    seen = [v for v in whole if v[0] != "entity" or v[1] in mentioned]
    graph = whole.subgraph(seen)
    found = typed_edges(graph)
    for relation, pairs in GOLDEN[prompt].items():
        assert found.get(relation, set()) == pairs, relation
    assert found["agent", "has_skill", "skill"] == {("books", "money"), ("stars", "sky")}
    assert {v[0] for v in whole} == {"entity", "agent", "skill"}
    for s, t, relation, data in whole.edges(keys=True, data=True):
        assert whole[t][s][REVERSE[relation]]["weight"] == data["weight"]


def test_history_edges_carry_the_sign_of_the_success():
    graph = build_graph(knowledge(), CARDS, theta=0.3)
    good = graph["agent", "stars"]["entity", "term:galaxy"]["history"]["weight"]
    bad = graph["agent", "books"]["entity", "term:galaxy"]["history"]["weight"]
    assert good == pytest.approx(1.2 / 13)
    assert bad == pytest.approx(-1.2 / 13)


@pytest.mark.checklist("AR1")
def test_relation_nodes_by_flag():
    graph = build_graph(knowledge(), CARDS, relation_nodes=True)
    node = ("relation", "term:refund | term:policy")
    assert node in graph
    assert {k for _, _, k in graph.out_edges(node, keys=True)} == {"has_head", "has_tail"}
    assert ("entity", "co_occurs", "entity") not in typed_edges(graph)


@pytest.mark.checklist("AR1")
def test_the_same_graph_twice():
    one, two = (edge_arrays(build_graph(knowledge(), CARDS, theta=0.3)) for _ in range(2))
    assert one.keys() == two.keys() == set(STATIC)
    for r in STATIC:
        for a, b in zip(one[r], two[r], strict=True):
            np.testing.assert_array_equal(a, b)


def test_every_relation_has_a_reverse_among_the_relations():
    for s, r, t in STATIC:
        assert (t, REVERSE[r], s) in STATIC


def test_an_entity_is_embedded_by_its_words():
    assert text_of("feature:repo=a_b/c") == "repo a b/c"
    assert text_of("term:refund policy") == "refund policy"
