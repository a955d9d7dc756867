"""Reason first, then name the agents: a chat model where there is one, evidence where not."""
