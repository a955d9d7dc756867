"""The lead sees reports and gives orders; the depth says how many; pictures stay harmless."""

from __future__ import annotations

import numpy as np
import pytest

from agentroute.choosing.decide import decide
from agentroute.choosing.depth import Fixed, Overlap, make_depth
from agentroute.errors import ConfigError
from agentroute.model.scores import Scores
from agentroute.model.tasks import Task, TaskGraph
from agentroute.planning.graphfile import parse_graph, plan_of_text
from agentroute.planning.lead import Report, RuleLead
from agentroute.planning.mermaid import label, mermaid

GRAPH = TaskGraph(
    [
        Task(id="a", prompt="x"),
        Task(id="b", prompt="x"),
        Task(id="end", prompt="x", depends_on=["a", "b"]),
    ]
)


def ids(orders):
    return [o.task_id for o in orders]


def test_rounds_follow_the_dag_and_end():
    lead = RuleLead(GRAPH)
    reports = {}
    rounds = []
    while orders := lead.next(reports):
        rounds.append(ids(orders))
        reports |= {v: Report(v, "ok", ("x",)) for v in ids(orders)}
    assert rounds == [["a", "b"], ["end"]]


@pytest.mark.parametrize("status", ["failed", "abstained"])
def test_a_failed_task_goes_twice_to_others_before_its_dependants(status):
    lead = RuleLead(GRAPH)
    reports = {"a": Report("a", status, ("x",)), "b": Report("b", "ok", ("y",))}
    (again,) = lead.next(reports)
    assert (again.task_id, again.exclude) == ("a", ("x",))
    assert status in again.reason
    reports["a"] = Report("a", status, ("x", "z"), issued=2)
    (third,) = lead.next(reports)
    assert third.exclude == ("x", "z")
    reports["a"] = Report("a", status, ("x", "z", "w"), issued=3)
    assert ids(lead.next(reports)) == ["end"]
    reports["end"] = Report("end", "ok", ("y",))
    assert lead.next(reports) == ()


def test_nobody_called_is_not_issued_again():
    reports = {"a": Report("a", "abstained"), "b": Report("b", "ok", ("y",))}
    assert ids(RuleLead(GRAPH).next(reports)) == ["end"]


def choice_of(*means):
    scores = Scores(np.array(means), np.zeros(len(means)))
    return scores, decide(scores, rng=np.random.default_rng(0))


def test_depth_overlap_doubles_only_where_the_choice_is_ambiguous():
    assert Overlap().how_many(*choice_of(0.9, 0.2))[0] == 1
    k, why = Overlap().how_many(*choice_of(0.9, 0.89))
    assert (k, "ambiguous" in why) == (2, True)
    assert Fixed(3).how_many(*choice_of(0.9, 0.2))[0] == 3


@pytest.mark.parametrize("spec", ["", "deep", {"name": "fixed", "k": 0}, {"name": "one", "j": 1},
                                  {"name": "fixed", "k": True}])  # fmt: skip
def test_bad_depths_are_refused(spec):
    with pytest.raises(ConfigError):
        make_depth(spec)


def test_depths_by_name():
    assert make_depth("one") == Fixed(1)
    assert make_depth({"name": "fixed", "k": 3}).name == "fixed(3)"
    assert make_depth("overlap") == Overlap(2)


@pytest.mark.parametrize(
    "evil", ['"] --> x["', "<script>alert(1)</script>", "`a`;click b", "a\nb|c"]
)
def test_labels_lose_everything_that_mermaid_or_html_would_read(evil):
    assert not set(label(evil)) & set("<>\"'`;|[]{}#\n")


def test_a_plan_is_drawn_with_its_couplings():
    from agentroute.planning.graphfile import make_plan

    text = "tasks: [{id: a, prompt: x}, {id: b, prompt: y, depends_on: {a: 0.7}}]"
    drawn = mermaid(make_plan(parse_graph(text)))
    assert drawn.startswith("flowchart TD")
    assert "t0 -->|0.7| t1" in drawn
    assert mermaid(plan_of_text("hi")).count("\n") == 2
