"""Recruiting by skill profiles that outcomes write: no gradient anywhere."""
