from agentroute.bench.ledger import FLAT_OUT, bench_ledger


def test_a_row_is_measured_beside_those_who_store_the_same():
    rows = {g.name: g for g in bench_ledger(rows=40, alone=3, blocks=1)}
    for kind in (
        FLAT_OUT, "  raw sqlite3, 250 a commit", "decision, each awaited",
        "  raw sqlite3, a commit a row", "  SQLModel, a commit a row",
        "  LangGraph's SqliteSaver, a step", "outcome, flat out",
    ):  # fmt: skip
        assert rows[f"{kind}: CPU a row"].value > 0
    whole, arrays = rows["bytes of a decision among 100"].value, rows["  of them the arrays"].value
    assert 1.0 < arrays < whole < 20.0
    verified = rows["verify: rows a second of CPU"]
    assert verified.value > 0 and verified.limit == 100_000 and not verified.at_most
