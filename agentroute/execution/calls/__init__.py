"""Calling one agent: inline, in a killable worker, or a chat model."""
