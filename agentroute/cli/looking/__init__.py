"""Commands that look at what was done: why, how often, as a page."""
