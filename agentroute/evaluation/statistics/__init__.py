"""What a ledger says of the agents: who wins how often, how good, what it costs, what it taught."""
