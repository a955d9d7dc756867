"""Whether the ledger is what was written: every row, column, array and text."""
