"""The ledger as plain SQL views, for whatever reads SQLite."""
