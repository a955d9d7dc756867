"""Seeded worlds with a known optimum."""
