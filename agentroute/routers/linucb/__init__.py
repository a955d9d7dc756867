"""Contextual bandit with linear payoffs: exact LinUCB with a quality and a cost head."""
