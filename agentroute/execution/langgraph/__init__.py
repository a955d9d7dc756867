"""All that LangGraph sees of a run."""
