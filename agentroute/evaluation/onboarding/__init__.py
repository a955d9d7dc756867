"""A quiz for a new agent: which past tasks to ask of it, and what its answers teach."""
