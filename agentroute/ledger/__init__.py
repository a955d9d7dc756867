"""What was decided: an append-only, hash-chained SQLite ledger."""
