"""Whether it helps: outcome tables, environments, baselines, metrics, estimates."""
