"""What ``ledger export`` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from agentroute.config.settings import Settings
from agentroute.evaluation.offpolicy.astable import effective_rows, ledger_table
from agentroute.evaluation.tables.writing import write_table
from agentroute.ledger import Ledger


def export_table(ledger: Ledger, folder: Path, settings: Settings) -> dict[str, Any]:
    """Write the table; what is in it and what is not."""
    found = ledger_table(
        ledger, weights=settings.feedback_weights.model_dump(), quota=settings.feedback_quota
    )
    files = write_table(found.table, folder)
    return {
        "files": [str(f) for f in files],
        "rows": len(found.table),
        "agents": [a.name for a in found.table.arms],
        "effective": effective_rows(found.table, np.arange(len(found.table))),
        "left_out": found.left_out,
    }
