"""A ledger of its own for each test."""

from __future__ import annotations

import pytest

from agentroute.ledger import Ledger


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(f"sqlite:///{tmp_path}/a.db") as led:
        yield led
