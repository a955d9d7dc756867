"""Tasks that are given to agents together, before any of them starts."""
