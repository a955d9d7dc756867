"""Charts and pages: everything from outside is escaped, the numbers are there."""

from agentroute.inspector.charts import bars, dag, lines, scatter, sparkline, ticks
from agentroute.inspector.page import Section, render

EVIL = "<script>alert(1)</script>"


def test_nothing_from_outside_becomes_markup():
    charts = [
        lines({EVIL: ([0, 1], [0, 1])}, title=EVIL),
        scatter({EVIL: [(0, 1, EVIL)]}, title=EVIL, xlabel=EVIL, ylabel=EVIL),
        bars([(EVIL, 1.0, (0.5, 1.5))], title=EVIL),
        dag([[EVIL]], [], title=EVIL, notes={EVIL: EVIL}),
    ]
    page = render(
        EVIL,
        [
            Section(EVIL, text=EVIL, chart=c, columns=(EVIL,), rows=[(EVIL,)], pre=EVIL)
            for c in charts
        ],
    )
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_dag_draws_every_node_and_edge():
    svg = dag([["a"], ["b", "c"]], [("a", "b"), ("a", "c")], title="t")
    assert svg.count("<rect") == 3
    assert svg.count('class="edge"') == 2


def test_wide_generations_say_what_is_left_out():
    assert "and 8 more" in dag([[f"n{i}" for i in range(20)]], [], title="t")


def test_sparkline_and_empty_charts():
    assert sparkline([0, 0.5, 1]) == "▁▅█"
    assert lines({}, title="t") == ""
    assert bars([], title="t") == ""


def test_ticks_are_round_and_inside():
    assert ticks(0.37, 0.53) == [0.4, 0.45, 0.5]
    assert ticks(0, 6067) == [0, 2000, 4000, 6000]
    assert ticks(-758, 656) == [-500, 0, 500]
