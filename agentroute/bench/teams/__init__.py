"""Who belongs in a team, and who joins what it says: recruiting and aggregators."""
