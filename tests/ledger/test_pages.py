"""A page is sound exactly where each of its rows is, whatever is bent in whichever row."""

from __future__ import annotations

import pytest

from agentroute.ledger import Ledger
from agentroute.ledger.chain import GENESIS
from agentroute.ledger.verifying.pages import in_order, pages, sound
from agentroute.ledger.verifying.report import BadRowError
from agentroute.ledger.verifying.row import check_row, references
from tests.ledger.sample import fill_mixed


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('pages')}/l.db"
    with Ledger.open(url) as ledger:
        fill_mixed(ledger, 40)
    with Ledger.open(url, read_only=True) as ledger, ledger._reader.connection() as con:
        return next(pages(con, ledger.head()[0]))


def row_by_row(page):
    """Links and references as the rows say one by one; None at the first bad one."""
    links, needed, prev = [], [], GENESIS
    for seq, (table, row) in enumerate(in_order(page), 1):
        if row[0] != seq:
            return None
        try:
            body = check_row(table, row, prev)
        except BadRowError:
            return None
        links.append((seq, prev, row[3]))
        needed += [(seq, sha, kind) for sha, kind in references(table, body)]
        prev = row[3]
    return links, sorted(needed)


def bent(value):
    """What could stand there in its place."""
    if isinstance(value, bytes):
        return [value[:-1], value + b" ", value.replace(b"a", b"b"), b"[]", b"{}", None, "text"]
    if isinstance(value, str):
        return [value + "x", None, 1]
    if value is None:
        return [b"", "", 0]
    return [value + 1, str(value), None]


def test_a_whole_page_is_what_its_rows_are(page):
    links, needed = sound(page, 0, GENESIS)
    assert (links, sorted(needed)) == row_by_row(page) and len(links) >= 40 and needed


def test_what_is_bent_in_one_row_is_refused_by_both(page):
    tried = 0
    for table, rows in page.items():
        for i, row in enumerate(rows[:6]):
            for at, value in enumerate(row):
                for other in bent(value):
                    if type(other) is type(value) and other == value:
                        continue
                    changed = [*rows]
                    changed[i] = (*row[:at], other, *row[at + 1 :])
                    if at == 0 and not isinstance(other, int):
                        continue  # the column is an integer key: SQLite keeps nothing else there
                    both = {**page, table: changed}
                    assert sound(both, 0, GENESIS) is None, (table, row[0], at, other)
                    assert row_by_row(both) is None
                    tried += 1
    assert tried > 300


@pytest.mark.parametrize("at", [0, 7, 20])
def test_a_row_that_is_gone_or_there_twice_is_refused(page, at):
    for change in (lambda rows, i: rows[:i] + rows[i + 1 :], lambda rows, i: [*rows, rows[i]]):
        table, row = in_order(page)[at]
        changed = {**page, table: change(page[table], page[table].index(row))}
        assert sound(changed, 0, GENESIS) is None and row_by_row(changed) is None


def test_a_page_follows_the_row_before_it(page):
    assert sound(page, 1, GENESIS) is None and sound(page, 0, bytes(31) + b"x") is None
