"""Rounds: think, route a sub-query, read what came, until there is an answer (Router-R1)."""
