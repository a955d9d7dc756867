"""How the graph network is trained, with PyTorch Geometric."""
