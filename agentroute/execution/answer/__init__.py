"""What a run hands over: accepted or not, summed up, its files stamped and kept."""
