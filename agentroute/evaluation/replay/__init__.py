"""Decisions of a ledger, taken again without calling anybody."""
