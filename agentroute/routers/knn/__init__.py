"""Nearest neighbours over stored outcomes: the honest baseline is also a product feature."""
