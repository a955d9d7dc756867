"""What is talked about: frozen data that crosses folders. Import from the submodules."""
