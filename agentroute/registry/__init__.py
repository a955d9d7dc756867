"""Who there is: the catalogue on disk, safe loading, live state of agents as arrays."""
