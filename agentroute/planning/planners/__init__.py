"""Who splits words into tasks: one file a planner."""
