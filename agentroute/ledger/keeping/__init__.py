"""How long contents are kept."""
