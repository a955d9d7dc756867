"""Commands that bring a new agent in: its card, and a quiz that teaches the routers of it."""
