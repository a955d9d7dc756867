"""How one choice is made: the router protocol, policy, exploration, screening, depth."""
