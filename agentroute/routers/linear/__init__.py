"""The supervised router: for users who have labels."""
