"""What is learned from the ledger: folding, credit, versioned state."""
