"""HTML over a ledger: charts and one-file reports."""
