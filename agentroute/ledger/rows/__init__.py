"""Rows and contents as bytes, and back."""
