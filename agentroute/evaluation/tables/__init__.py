"""Outcome tables: reading, splitting, one cut as arrays."""
