"""Fakes and conformance checks that users import too."""
