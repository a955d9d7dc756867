"""A plan as a LangGraph graph: executor, workers, resilience, budgets."""
