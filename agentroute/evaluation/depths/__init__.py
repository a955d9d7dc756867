"""Depth policies on recorded outcomes: what asking more agents earns, and what it costs."""
