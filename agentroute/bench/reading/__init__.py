"""What reading a long ledger costs."""
