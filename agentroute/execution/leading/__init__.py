"""Rounds under a lead: each decided once, committed, then carried out."""
