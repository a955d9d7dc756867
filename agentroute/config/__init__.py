"""Settings from YAML and environment, and the one safe way to read a YAML file."""
