"""Many routers as one: how far to trust each, learned for each kind of task."""
