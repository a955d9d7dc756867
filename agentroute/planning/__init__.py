"""How to split, in what shape, how many (sans-IO)."""
