"""What another policy would have got, estimated from the ledger."""
