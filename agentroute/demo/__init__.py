"""What ``agentroute demo`` shows."""
