"""Affinity: a session or a user stays with the agent that served it, within a margin."""
