"""``python -m agentroute``: the command line, where its script is not on the path."""

from agentroute.cli import main

if __name__ == "__main__":
    main()
