"""What a router sees: text embedding, feature vectors, the knowledge graph."""
