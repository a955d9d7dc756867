"""A plan carried out: runs, their tasks, the retry loop, workers, budgets."""
