"""What the shape of the work is worth: a contest in simulated worlds, and makespans measured."""
