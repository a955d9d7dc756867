"""Text turned into vectors by an endpoint, and what keeps them."""
