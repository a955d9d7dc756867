"""Who does it: one file a router, and the one function that chooses."""
