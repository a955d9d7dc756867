"""How one agent is called: Python callables, worker processes, chat models, runnables."""
