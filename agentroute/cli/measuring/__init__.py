"""What benches and evaluations print."""
