"""What is expected of an agent before its own parameters: card, words, examples, successes."""
